// A directory with every kind of file that readers of images meet, and what such a directory looks like as a list.

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  chmodSync, chownSync, closeSync, ftruncateSync, linkSync, lstatSync, lutimesSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, readSync,
  symlinkSync, writeFileSync, writeSync,
} from 'node:fs';
import { join } from 'node:path';

import type { ByteSource } from '../../src/image/byte-source.ts';
import { decodeBytes, encodeName } from '../../src/image/entry-name.ts';
import { type ImageEntry, type ImageTree, walk } from '../../src/image/image-tree.ts';
import { random } from '../random.ts';

/** An entry without what an image may choose, and its contents as a hash or as the target. */
export type Listed = Omit<ImageEntry, 'inode' | 'size'> & { readonly content: string };

const TIME = 1_600_000_000;
/** More than blocks, fragments, inodes and short symlinks hold, less, and exactly that. */
const SIZES = [0, 1, 59, 60, 61, 100, 160, 161, 1023, 1024, 1025, 4095, 4096, 4097, 65_535, 65_536, 131_072, 131_073, 300_001];

/** Makes the directory. Its files are the same in each run. */
export function makeImageFiles(root: string): void {
  const next = random(5);
  const noise = (size: number) => Buffer.from(Array.from({ length: size }, () => next(256)));
  const text = (size: number) => Buffer.alloc(size, 'text that can be compressed well, ');
  for (const directory of ['empty', 'sizes', 'links', 'holes', 'many', 'a/b/c/d/e/f/g/h']) mkdirSync(join(root, directory), { recursive: true });
  for (const size of SIZES) {
    writeFileSync(join(root, `sizes/noise-${size}`), noise(size));
    writeFileSync(join(root, `sizes/text-${size}`), text(size));
  }
  writeFileSync(join(root, 'sizes/same'), text(300_001));
  writeManyFiles(join(root, 'many'), 60);
  writeFileSync(join(root, 'a/b/c/d/e/f/g/h/deep'), 'deep');
  writeFileSync(Buffer.concat([Buffer.from(join(root, 'a/')), Buffer.from([0x66, 0xfc, 0x72])]), 'not UTF-8');
  writeFileSync(join(root, 'a/für'), 'UTF-8');
  writeFileSync(join(root, 'a', 'n'.repeat(255)), 'the longest name');
  for (const length of [1, 59, 60, 61, 900]) symlinkSync('x'.repeat(length), join(root, `links/${length}`));
  symlinkSync('../sizes/text-100', join(root, 'links/good'));
  symlinkSync('/sizes/text-100', join(root, 'links/absolute'));
  symlinkSync('../../../../etc/passwd', join(root, 'links/out'));
  symlinkSync('loop', join(root, 'links/loop'));
  linkSync(join(root, 'sizes/text-4097'), join(root, 'links/hard'));
  execFileSync('mkfifo', [join(root, 'links/fifo')]);
  // Every second KiB: more extents than two levels hold in blocks of 1 KiB.
  writeHoles(join(root, 'holes/combed'), 1024 * 1024, Array.from({ length: 512 }, (_, index) => [index * 2048, noise(1024)]));
  writeHoles(join(root, 'holes/few'), 1024 * 1024 + 5, [[0, noise(10)], [300_000, noise(70_000)], [1_048_570, noise(5)]]);
  writeHoles(join(root, 'holes/nothing'), 1_000_000, []);
  chmodSync(join(root, 'sizes/text-1'), 0o4751);
  chmodSync(join(root, 'empty'), 0o1777);
  if (process.getuid?.() === 0) chownSync(join(root, 'sizes/text-60'), 70_000, 80_000);
  for (const path of pathsOf(root)) lutimesSync(below(root, path), TIME, TIME + path.length);
}

/** The directory as the system shows it, sorted by path. */
export function listDirectory(root: string): Listed[] {
  return sorted(pathsOf(root).map((path) => {
    const file = below(root, path);
    const stat = lstatSync(file);
    const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other';
    const content = kind === 'file' ? hash(readFileSync(file)) : kind === 'symlink' ? readlinkSync(file) : '';
    return { path, kind, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: Math.floor(stat.mtimeMs / 1000), content };
  }));
}

/** The image as our reader shows it. Checks on the way that `extent`, where it gives one, holds the contents, and that parts are parts. */
export function listImage(tree: ImageTree, source: ByteSource, skip: readonly string[] = []): Listed[] {
  const entries = [...walk(tree)].filter(({ path }) => !skip.includes(path));
  return sorted(entries.map((entry) => {
    const { inode: _inode, size, ...rest } = entry;
    return { ...rest, content: entry.kind === 'file' ? hash(wholeFile(tree, source, entry)) : entry.kind === 'symlink' ? linkTarget(tree, entry, size) : '' };
  }));
}

/** A file, of which only what is asked for is read. */
export function withFileSource<T>(path: string, use: (source: ByteSource) => T): T {
  const fd = openSync(path, 'r');
  try {
    return use({
      name: 'image', size: lstatSync(path).size,
      read(offset, length) {
        const bytes = Buffer.alloc(length);
        if (readSync(fd, bytes, 0, length, offset) !== length) throw new Error(`read past the end: ${length} at ${offset}`);
        return bytes;
      },
    });
  } finally {
    closeSync(fd);
  }
}

/** '' and everything below it. */
function pathsOf(root: string, path = ''): string[] {
  if (!lstatSync(below(root, path)).isDirectory()) return [path];
  const names = readdirSync(below(root, path), { encoding: 'buffer' }).map((name) => decodeBytes(name));
  return [path, ...names.flatMap((name) => pathsOf(root, path === '' ? name : `${path}/${name}`))];
}

function below(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), encodeName(path)]);
}

function wholeFile(tree: ImageTree, source: ByteSource, entry: ImageEntry): Uint8Array {
  const whole = tree.read(entry);
  if (whole.length !== entry.size) throw new Error(`${entry.path}: ${whole.length} of ${entry.size} bytes`);
  const extent = tree.extent(entry);
  if (extent !== undefined && !Buffer.from(whole).equals(source.read(extent.offset, extent.length))) throw new Error(`${entry.path}: not in its extent`);
  for (const [offset, length] of [[0, 64], [1000, 5000], [entry.size - 10, 100], [entry.size, 5]] as const) {
    const part = whole.subarray(Math.max(0, offset), Math.max(0, offset) + length);
    if (!Buffer.from(part).equals(tree.read(entry, Math.max(0, offset), length))) throw new Error(`${entry.path}: wrong part at ${offset}`);
  }
  return whole;
}

function linkTarget(tree: ImageTree, entry: ImageEntry, size: number): string {
  const target = tree.readlink(entry);
  if (encodeName(target).length !== size) throw new Error(`${entry.path}: a target of ${size} bytes`);
  return target;
}

/** Files with names of 200 bytes. */
export function writeManyFiles(directory: string, count: number): void {
  for (let index = 0; index < count; index += 1) writeFileSync(join(directory, `${index}-`.padEnd(200, 'name')), `${index}`);
}

/** A file of `size` bytes that has only these pieces. */
export function writeHoles(path: string, size: number, pieces: readonly (readonly [number, Uint8Array])[]): void {
  const fd = openSync(path, 'w');
  for (const [offset, bytes] of pieces) writeSync(fd, bytes, 0, bytes.length, offset);
  ftruncateSync(fd, size);
  closeSync(fd);
}

function hash(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

function sorted(list: Listed[]): Listed[] {
  return list.sort((a, b) => (a.path < b.path ? -1 : 1));
}
