// Brings hwdb.bin up to date with the .hwdb files of a machine.

import { chmodSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { codeOf, LimitError } from '../errors.ts';
import type { System } from '../system.ts';
import { compileHwdb } from './hwdb-compile.ts';
import { parseHwdb } from './hwdb-parse.ts';
import type { HwdbProblem } from './hwdb-parse.ts';

export type HwdbUpdateOptions = {
  /** Write the database of the distribution, below lib/udev, instead of that of the administrator, below etc/udev. */
  readonly usr?: boolean;
};

export type HwdbUpdate = {
  /** Where the database is. */
  readonly path: string;
  /** `removed`: there are no .hwdb files, and no database any more; `absent`: nor was there one. */
  readonly outcome: 'written' | 'removed' | 'absent';
  readonly problems: readonly HwdbProblem[];
};

/** Of files with one name the first counts; `lib` before `usr/lib`, as Debian 12's paths go into the database. */
const HWDB_DIRECTORIES = ['etc', 'run', 'usr/local/lib', 'lib', 'usr/lib'].map((directory) => `${directory}/udev/hwdb.d`);

/** Debian's largest has 4 MB. */
const MAX_TEXT = 128 * 1024 * 1024;

/** Readable for all, as libudev reads it in every program; and nobody edits it. */
const HWDB_MODE = 0o444;

/** Throws the errors of Node's file functions, and LimitError. */
export function updateHwdb(system: System, options: HwdbUpdateOptions = {}): HwdbUpdate {
  const top = system.roots.config;
  const path = join(top === '' ? '/' : top, options.usr ? 'lib/udev/hwdb.bin' : 'etc/udev/hwdb.bin');
  const texts = hwdbFiles(top).map((file) => {
    const { size } = statSync(file);
    if (size > MAX_TEXT) throw new LimitError({ file, limit: 'size', maximum: MAX_TEXT, actual: size });
    return parseHwdb(readFileSync(file, 'latin1'), file);
  });
  const problems = texts.flatMap((text) => text.problems);
  if (texts.length === 0) {
    const isThere = statSync(path, { throwIfNoEntry: false }) !== undefined;
    rmSync(path, { force: true });
    return { path, outcome: isThere ? 'removed' : 'absent', problems };
  }
  replaceFile(path, compileHwdb(texts));
  return { path, outcome: 'written', problems };
}

/** Full paths, sorted by name. A link to the null device, or an empty file, hides those of its name in later directories. */
function hwdbFiles(top: string): string[] {
  const files = new Map<string, string>();
  for (const directory of HWDB_DIRECTORIES) {
    const parent = `${top}/${directory}`;
    for (const name of namesIn(parent)) {
      if (name.endsWith('.hwdb') && !files.has(name)) files.set(name, `${parent}/${name}`);
    }
  }
  return [...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path).filter(isText);
}

function isText(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.size > 0;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return [];
  }
}

/** Readers see the old file or the new one, never half of it. */
function replaceFile(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = join(realpathSync(dirname(path)), `.#hwdb.bin.${process.pid}`);
  try {
    writeFileSync(temporary, bytes, { mode: 0o600 });
    chmodSync(temporary, HWDB_MODE);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}
