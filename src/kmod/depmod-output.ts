// Writes what depmod makes, and reads the files that come with a kernel.

import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { reasonOf } from './depmod-scan.ts';
import { DEPMOD_FILES, type DepmodData, type DepmodFile, formatFile, type FormattedFile } from './depmod-write.ts';
import type { IndexLayout } from './index-build.ts';

/** A request that cannot be carried out at all: a FATAL of kmod's. */
export class DepmodError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'DepmodError';
  }
}

export type OutputOptions = {
  /** The tree, for messages. */
  readonly directory: string;
  readonly outdir: string;
  readonly layout: IndexLayout;
  readonly warnDuplicates: boolean;
  /** Takes the text files instead of the disk. */
  readonly print: ((name: string, text: string) => void) | undefined;
  /** Files that are on the disk already as they would be written. */
  readonly current: ReadonlySet<DepmodFile>;
  /** Files that have been formatted already, by name. */
  readonly made: ReadonlyMap<string, FormattedFile>;
  /** Hears of each file that was written without anything to tell of it. */
  readonly onWritten: ((file: DepmodFile, content: Uint8Array) => void) | undefined;
};

/** One of the files that come with a kernel, as latin1; undefined where it is absent, which is logged where a log is given. */
export function readInput(directory: string, name: string, system?: System): string | undefined {
  try {
    return readFileSync(join(directory, name), 'latin1');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system?.log.warn({ code: 'no-input', file: join(directory, name), message: `could not open ${name} at ${directory}: ${reasonOf(error)}` });
    return undefined;
  }
}

/** Writes or prints all files, in kmod's order. Throws DepmodError. */
export function writeOutputs(data: DepmodData, options: OutputOptions, system: System): void {
  const { print, directory, outdir, current, made, onWritten } = options;
  const formatted = (file: DepmodFile): FormattedFile => {
    const output = made.get(file.name) ?? formatFile(file, data, options);
    for (const { level, message } of output.reports) system.log[level]({ code: level === 'warn' ? 'left-out' : 'bad-entry', message });
    return output;
  };
  if (!print) makeDirectory(outdir);
  for (const file of DEPMOD_FILES) {
    const { name, kind } = file;
    if (print) {
      if (kind === 'text') print(name, Buffer.from(formatted(file).content).toString());
      continue;
    }
    if (current.has(file)) {
      touch(join(outdir, name));
      continue;
    }
    // What is missing is told of when its turn comes.
    if (name === 'modules.builtin.bin' && data.builtin === undefined) readInput(directory, 'modules.builtin', system);
    if (name === 'modules.builtin.alias.bin' && data.builtinModinfo === undefined) readInput(directory, 'modules.builtin.modinfo', system);
    const { content, reports } = formatted(file);
    replaceFile(outdir, name, content);
    if (reports.length === 0) onWritten?.(file, content);
  }
}

/** As new as if it had been written: the time of modules.dep is what -A goes by. */
function touch(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw new DepmodError(`could not open directory ${directory}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Writes beside the file and renames, so that a reader finds the old one or the new one whole. */
function replaceFile(directory: string, name: string, content: Uint8Array): void {
  const path = join(directory, name);
  const temporary = temporaryName(path);
  try {
    const fd = openSync(temporary, 'w', 0o644);
    try {
      writeAll(fd, content);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new DepmodError(`could not write ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Writes to the end. */
export function writeAll(fd: number, content: Uint8Array): void {
  for (let done = 0; done < content.length;) done += writeSync(fd, content, done);
}

/** Beside the file, so that a rename puts it in place. */
export function temporaryName(path: string): string {
  return `${path}.${process.pid}.tmp`;
}
