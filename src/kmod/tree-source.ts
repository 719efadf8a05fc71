// The modules of a release in a directory: /lib/modules/RELEASE, read through the file system.

import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

import type { System } from '../system.ts';
import type { IndexName, ModuleFile, ModuleSource } from './module-source.ts';

/** The directories below a root that hold module trees, in the order in which they are tried. */
const MODULE_DIRECTORIES = ['lib/modules', 'usr/lib/modules'];

/**
 * The tree of the system's release. Where it is in neither place, the tree is the first one and holds nothing:
 * kmod does not mind either, and reports what it cannot find by name.
 */
export function openTree(system: System): ModuleSource {
  const candidates = MODULE_DIRECTORIES.map((directory) => join(system.roots.modules || '/', directory, system.release));
  return openTreeDirectory(candidates.find((directory) => isDirectory(directory)) ?? candidates[0] ?? '', system.release);
}

/** The tree in this very directory. */
export function openTreeDirectory(directory: string, release: string): ModuleSource {
  const resolve = (path: string) => (isAbsolute(path) ? path : `${directory}/${path}`);
  return {
    kind: 'tree',
    release,
    name: directory,
    readIndex: (name) => readIndex(directory, name),
    resolve,
    exists: (path) => existsSync(resolve(path)),
    open: (path) => openModuleFile(resolve(path)),
  };
}

function readIndex(directory: string, name: IndexName): Uint8Array | undefined {
  const path = join(directory, name);
  // Asked first because half of the indexes are absent in most trees, and an exception costs more than a look.
  return existsSync(path) ? readFileSync(path) : undefined;
}

/** Opens one module file by its path. Throws Node's error, which has the shape of SystemError. */
export function openModuleFile(path: string): ModuleFile {
  const fd = openSync(path, 'r');
  const { size } = fstatSync(fd);
  return {
    path,
    size,
    fd,
    read(offset, length) {
      const buffer = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
      let done = 0;
      while (done < buffer.length) {
        const got = readSync(fd, buffer, done, buffer.length - done, offset + done);
        if (got === 0) break;
        done += got;
      }
      return buffer.subarray(0, done);
    },
    close: () => closeSync(fd),
  };
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
