// The modules of a release in a directory: /lib/modules/RELEASE, read through the file system.

import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';

import type { System } from '../system.ts';
import type { IndexName, IndexReader, ModuleFile, ModuleSource } from './module-source.ts';
import { isDirectory, readLatin1 } from './text-file.ts';

/** Where the modules of a release are below a root, in the order in which the places are tried. */
function belowRoot(release: string): readonly string[] {
  return [`lib/modules/${release}`, `usr/lib/modules/${release}`];
}

/** The same for a place that may also be a directory of trees, such as /lib/modules itself. */
export function placesOf(release: string): readonly string[] {
  return [...belowRoot(release), release];
}

/**
 * The tree of the system's release. Where it is in neither place, the tree is the first one and holds nothing:
 * kmod does not mind either, and reports what it cannot find by name.
 */
export function openTree(system: System): ModuleSource {
  // No join(): it would take a short program as long as reading an index, and kmod shows a directory as it was typed.
  const [directory = '', other = ''] = belowRoot(system.release).map((place) => `${system.roots.modules}/${place}`);
  return openTreeDirectory(!isDirectory(directory) && isDirectory(other) ? other : directory, system.release);
}

/** The tree in this very directory. */
export function openTreeDirectory(directory: string, release: string): ModuleSource {
  const resolve = (path: string) => (path.startsWith('/') ? path : `${directory}/${path}`);
  return {
    kind: 'tree',
    release,
    name: directory,
    readIndex: (name) => readIndex(directory, name),
    openIndex: (name) => openIndex(directory, name),
    readText: (name) => (existsSync(`${directory}/${name}`) ? readLatin1(`${directory}/${name}`) : undefined),
    resolve,
    exists: (path) => existsSync(resolve(path)),
    open: (path) => openModuleFile(resolve(path)),
  };
}

function readIndex(directory: string, name: IndexName): Uint8Array | undefined {
  const path = `${directory}/${name}`;
  // Asked first because half of the indexes are absent in most trees, and an exception costs more than a look.
  return existsSync(path) ? readFileSync(path) : undefined;
}

function openIndex(directory: string, name: IndexName): IndexReader | undefined {
  const path = `${directory}/${name}`;
  if (!existsSync(path)) return undefined;
  const fd = openSync(path, 'r');
  let open = true;
  return {
    read: (into, offset) => readFully(fd, into, offset),
    size: () => fstatSync(fd).size,
    all() {
      const bytes = Buffer.alloc(fstatSync(fd).size);
      return bytes.subarray(0, readFully(fd, bytes, 0));
    },
    close() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

function readFully(fd: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const wanted = into.length - done;
    const got = readSync(fd, into, done, wanted, offset + done);
    done += got;
    // Of a file less than was asked for is what there is up to its end.
    if (got < wanted) break;
  }
  return done;
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
      return buffer.subarray(0, readFully(fd, buffer, offset));
    },
    close: () => closeSync(fd),
  };
}
