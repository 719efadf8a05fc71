// What the kernel command line says about modules: `module.param=value` and `modprobe.blacklist=a,b`.

import { normalizeAlias } from './alias.ts';
import type { ConfigBuilder } from './config.ts';

/** The kernel's own limit on most machines; kmod reads no more. */
const MAX_CMDLINE = 4095;

const OTHER_SPACES = ['\t', '\n', '\v', '\f', '\r', '\u00a0'];

/**
 * Reads a kernel command line into `into`, as directives of `file`. What is not about a module is passed over. `strict`: exactly
 * as kmod, oversights included.
 * Source: kmod's and the kernel's Documentation/admin-guide/kernel-parameters.rst.
 */
export function parseKernelCmdline(text: string, file: string, into: ConfigBuilder, { strict = false } = {}): void {
  for (const word of splitQuoted(text.slice(0, MAX_CMDLINE))) takeWord(word, file, into, strict);
}

/** Words end at white space outside of double quotes. */
function splitQuoted(text: string): string[] {
  const line = text.endsWith('\n') ? text.slice(0, -1) : text;
  // What every start reads is split by V8 itself, at a tenth of the cost.
  if (!OTHER_SPACES.some((space) => line.includes(space)) && !line.includes('"')) return line.split(' ');
  return text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
}

function takeWord(word: string, file: string, into: ConfigBuilder, strict: boolean): void {
  // Most are not about modules.
  if (!word.includes('.')) return;
  const { name, value } = splitAssignment(unquoteWhole(word));
  const dot = name.indexOf('.');
  const module = dot < 1 ? undefined : normalizeAlias(name.slice(0, dot));
  const param = name.slice(dot + 1);
  if (module === undefined || param === '' || param.includes('.') || name.includes('"')) return;
  const source = { file };
  if (module === 'modprobe' && param === 'blacklist') {
    // kmod does not normalise these names, so that `usb-storage` has no effect there; here it means what it says.
    for (const blacklisted of (value ?? '').split(',')) {
      const normalized = blacklisted === '' || strict ? blacklisted : normalizeAlias(blacklisted);
      if (normalized) into.blacklist.push({ module: normalized, source });
    }
    return;
  }
  into.options.push({ module, params: value === undefined ? param : `${param}=${value}`, source });
}

/** grub quotes the whole word: `"mod.param=a b"` means `mod.param="a b"`. */
function unquoteWhole(word: string): string {
  if (!word.startsWith('"')) return word;
  const match = /^"([^"=]*)=([^"]*)"$/.exec(word);
  return match ? `${match[1]}="${match[2]}"` : word;
}

function splitAssignment(word: string): { name: string; value: string | undefined } {
  const equals = word.indexOf('=');
  return equals < 0 ? { name: word, value: undefined } : { name: word.slice(0, equals), value: word.slice(equals + 1) };
}
