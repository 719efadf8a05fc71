// Files and links that others see whole or not at all: made under another name, then renamed.

import { closeSync, existsSync, fchmodSync, lstatSync, mkdirSync, openSync, renameSync, symlinkSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

import { codeOf } from '../errors.ts';

/** A name that is taken is another writer's: that many in a row are none. */
const ATTEMPTS = 16;
/** What begins so is no record, link or tag; a reader passes it over. */
const TEMPORARY_PREFIX = '.#';

/** True for a name that is no entry: of a temporary file, which a killed process may have left, or of a lock. */
export function isHidden(name: string): boolean {
  return name.startsWith('.');
}

/** Writes a file of exactly this mode and makes its directory. Throws Node's errors; what it replaces stays then, and nothing else is left. */
export function replaceFile(path: string, text: string, mode: number): void {
  replace(path, (temporary) => {
    const fd = openSync(temporary, 'wx', mode);
    try {
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
      // The umask took bits, and open(2) the sticky one.
      fchmodSync(fd, mode);
    } finally {
      closeSync(fd);
    }
  });
}

/** Makes a symbolic link where there was one, or nothing, and its directory. Throws Node's errors. */
export function replaceLink(path: string, target: string): void {
  replace(path, (temporary) => symlinkSync(target, temporary));
}

/** Makes a directory and those above it, 0755. That it is there is no error. */
export function makeDirectory(path: string): void {
  // An error that is thrown costs ten times this look, and a coldplug asks a thousand times.
  if (existsSync(path)) return;
  try {
    // Nearly always there but for the last component.
    mkdirSync(path, 0o755);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    if (codeOf(error) !== 'ENOENT') throw error;
    mkdirSync(path, { recursive: true, mode: 0o755 });
  }
}

/** Removes a file or link; false where there was none. */
export function removeFile(path: string): boolean {
  try {
    if (!lstatSync(path, { throwIfNoEntry: false })) return false;
    unlinkSync(path);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw error;
    return false;
  }
}

function replace(path: string, make: (temporary: string) => void): void {
  const temporary = makeTemporary(dirname(path), make);
  try {
    renameSync(temporary, path);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** The name of what `make` made in the directory, which is nearly always there. */
function makeTemporary(directory: string, make: (temporary: string) => void): string {
  let isMade = false;
  for (let attempt = 1; ; attempt++) {
    const temporary = `${directory}/${TEMPORARY_PREFIX}${Math.random().toString(36).slice(2)}`;
    try {
      make(temporary);
      return temporary;
    } catch (error) {
      const isTaken = codeOf(error) === 'EEXIST';
      if (isTaken && attempt < ATTEMPTS) continue;
      if (codeOf(error) === 'ENOENT' && !isMade) {
        isMade = true;
        makeDirectory(directory);
        continue;
      }
      // Half of a file, where the disk is full.
      if (!isTaken) removeFile(temporary);
      throw error;
    }
  }
}
