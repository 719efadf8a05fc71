// One key of the kernel's command line, as IMPORT{cmdline} asks for it.

import { splitCommand } from './program-words.ts';

/** The last value given; '1' for a key without one; undefined when it is not there. `-` and `_` are the same in keys, as for the kernel. */
export function kernelCmdlineValue(cmdline: string, key: string): string | undefined {
  let found: string | undefined;
  const wanted = key.replaceAll('-', '_');
  for (const word of splitCommand(cmdline)) {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    if (name.replaceAll('-', '_') !== wanted) continue;
    if (equals >= 0) found = word.slice(equals + 1);
    else found ??= '1';
  }
  return found;
}
