// Images that the real tools write of one tree, and what is in the tree.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

import { unpackedFromSuite, unpackedPackage } from '../../scripts/debian-package.mjs';
import { type ImageTree, walk } from '../../src/image/image-tree.ts';
import { random } from '../random.ts';

export const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-images-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A path and what is there: the sum of a file, the target of a symlink, or the kind. */
export type Listing = Readonly<Record<string, string>>;

/** A tree with files of sizes around those of blocks, that compress well, badly and in parts; links, many names, a pipe. */
export function makeTree(): string {
  const top = join(scratch, 'tree');
  mkdirSync(join(top, 'many'), { recursive: true });
  const below = random(7);
  const noise = (size: number) => Buffer.from(Uint8Array.from({ length: size }, () => below(256)));
  const words = (size: number) => Buffer.from(Array.from({ length: size }, () => ['alias ', 'pci:v', '0000', 'd\n'][below(4)]).join('').slice(0, size));
  for (const size of [0, 1, 4095, 4096, 4097, 10_000, 65_536, 200_001]) {
    mkdirSync(join(top, `${size}/deeper`), { recursive: true });
    writeFileSync(join(top, `${size}/noise`), noise(size));
    writeFileSync(join(top, `${size}/words`), words(size));
    writeFileSync(join(top, `${size}/deeper/mixed`), Buffer.concat([words(size >> 1), noise(size >> 2), Buffer.alloc(size >> 2), words(size >> 3)]));
    writeFileSync(join(top, `${size}/deeper/zeros`), Buffer.alloc(size));
  }
  for (let index = 0; index < 150; index++) writeFileSync(join(top, `many/a name that is not the shortest, ${index}`), `${index}`.repeat(index));
  writeFileSync(join(top, 'many/naïve'), 'utf-8');
  writeFileSync(join(top, `many/${'x'.repeat(200)}`), 'long');
  symlinkSync('10000/words', join(top, 'link'));
  symlinkSync('y'.repeat(1000), join(top, 'many/far'));
  linkSync(join(top, '10000/words'), join(top, 'many/hard'));
  execFileSync('mkfifo', [join(top, 'pipe')]);
  return top;
}

export function listingOfDirectory(top: string): Listing {
  const paths = readdirSync(top, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(paths.map((path) => {
    const file = join(top, path);
    const stat = lstatSync(file);
    if (stat.isFile()) return [path, sumOf(readFileSync(file))];
    return [path, stat.isSymbolicLink() ? `-> ${readlinkSync(file)}` : stat.isDirectory() ? 'directory' : 'other'];
  }));
}

export function listingOfImage(tree: ImageTree): Listing {
  const entries = Array.from(walk(tree)).filter(({ path }) => path !== '').map((entry): [string, string] => {
    if (entry.kind === 'file') return [entry.path, sumOf(tree.read(entry))];
    return [entry.path, entry.kind === 'symlink' ? `-> ${tree.readlink(entry)}` : entry.kind];
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function sumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Runs a shell command in a directory; the command's `$OUT` is the image, whose path it gives. */
export function imageBy(command: string, cwd: string): string {
  const image = join(scratch, `image-${readdirSync(scratch).length}`);
  const { status, stderr } = spawnSync('sh', ['-c', `set -e; ${command}`], { cwd, encoding: 'utf8', env: { ...process.env, OUT: image } });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return image;
}

/** A set of erofs-utils: how its programs are run. */
export type ErofsUtils = { readonly name: string; readonly command: (program: string) => string };

/** Debian 12's. */
export function erofsUtils15(): ErofsUtils {
  const directory = unpackedPackage('erofs-utils');
  return { name: 'erofs-utils 1.5', command: (program) => join(directory, 'usr/bin', program) };
}

/** Debian 13's, with its own libraries. */
export function erofsUtils18(): ErofsUtils {
  const directory = unpackedFromSuite('trixie', ['erofs-utils', 'libc6', 'liblz4-1', 'libzstd1', 'libuuid1', 'libselinux1', 'libpcre2-8-0', 'liblzma5', 'libdeflate0', 'libxxhash0', 'zlib1g']);
  const libraries = join(directory, 'usr/lib/x86_64-linux-gnu');
  return { name: 'erofs-utils 1.8', command: (program) => `${join(libraries, 'ld-linux-x86-64.so.2')} --library-path ${libraries} ${join(directory, 'usr/bin', program)}` };
}
