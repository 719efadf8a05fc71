// Rules and settings that systemd hands over as credentials (systemd.system-credentials(7)), put where udev reads them.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { makeDirectory, replaceFile } from '../udev/atomic-file.ts';

/** Credentials are small (systemd bounds them at a megabyte); text here. */
const KINDS = [
  { prefix: 'udev.conf.', directory: 'udev.conf.d', suffix: '.conf' },
  { prefix: 'udev.rules.', directory: 'rules.d', suffix: '.rules' },
];

/** The files that were written below /run/udev. `directory` is $CREDENTIALS_DIRECTORY. Throws as node:fs does where one cannot be written. */
export function loadCredentials(system: System, directory: string): readonly string[] {
  const written: string[] = [];
  for (const name of namesIn(directory)) {
    const kind = KINDS.find(({ prefix }) => name.startsWith(prefix));
    if (!kind) continue;
    const target = join(system.roots.run, 'udev', kind.directory);
    makeDirectory(target);
    const path = join(target, `${name.slice(kind.prefix.length)}${kind.suffix}`);
    replaceFile(path, readFileSync(join(directory, name), 'utf8'), 0o644);
    written.push(path);
  }
  return written;
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return [];
  }
}
