// Unpacks files of a bundle below a directory, which nothing of the image leads out of.

import { chmodSync, closeSync, lstatSync, mkdirSync, openSync, rmSync, symlinkSync, utimesSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { UnsupportedError } from '../errors.ts';
import { checkFileSize } from '../image/file-range.ts';
import { walk, type ImageEntry } from '../image/image-tree.ts';
import { breathe } from './whole-file.ts';
import type { OpenBundle } from './read-bundle.ts';

export type ExtractOptions = {
  /** Of paths in the image; all when absent. */
  readonly matches?: ((path: string) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
};

export type Extracted = { readonly files: number; readonly bytes: number; /** Devices and links that lead out, by path. */ readonly leftOut: readonly string[] };

const PIECE = 4 * 1024 * 1024;

/**
 * Writes the files, directories and symlinks that match below `directory`, with their permissions (not setuid, setgid and sticky) and times; what
 * is there is replaced. Links in `directory` are not followed, those of the image are made last and only where they stay inside. Throws
 * UnsupportedError for a path on which something stands that is no directory, what reading the image throws, and Node's errors.
 */
export async function extractBundle({ image }: OpenBundle, directory: string, { matches, signal, onProgress }: ExtractOptions = {}): Promise<Extracted> {
  const { tree } = image;
  const wanted = [...walk(tree)].filter(({ kind, path }) => kind !== 'directory' && (matches?.(path) ?? true));
  const files = wanted.filter(({ kind }) => kind === 'file');
  const total = files.reduce((sum, { size }) => sum + size, 0);
  for (const { size } of files) checkFileSize(image, size);
  const leftOut = wanted.filter(({ kind }) => kind === 'other').map(({ path }) => path);
  const made = new Set<string>();
  mkdirSync(directory, { recursive: true });
  let bytes = 0;
  for (const entry of files) {
    const target = placeFor(directory, entry, made);
    const fd = openSync(target, 'wx', 0o600);
    try {
      for (let offset = 0; offset < entry.size; offset += PIECE) {
        const piece = tree.read(entry, offset, PIECE);
        for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
        bytes += piece.length;
        onProgress?.(bytes, total);
        if (offset > 0) await breathe(signal);
      }
    } finally {
      closeSync(fd);
    }
    chmodSync(target, entry.mode & 0o777);
    utimesSync(target, entry.mtime, entry.mtime);
    await breathe(signal);
  }
  let links = 0;
  for (const entry of wanted) {
    if (entry.kind !== 'symlink') continue;
    const to = tree.readlink(entry);
    if (!staysInside(entry.path, to)) {
      leftOut.push(entry.path);
      continue;
    }
    symlinkSync(to, placeFor(directory, entry, made));
    links++;
  }
  return { files: files.length + links, bytes, leftOut: leftOut.sort() };
}

/** Where the entry goes: its directories are there, and nothing is in its place. */
function placeFor(directory: string, { path }: ImageEntry, made: Set<string>): string {
  const parent = dirname(path);
  if (parent !== '.' && !made.has(parent)) {
    let at = directory;
    for (const name of parent.split('/')) {
      at = join(at, name);
      const stat = lstatSync(at, { throwIfNoEntry: false });
      if (stat === undefined) mkdirSync(at, 0o755);
      else if (!stat.isDirectory()) throw new UnsupportedError(`${at}: it is in the way: no directory`);
    }
    made.add(parent);
  }
  const target = join(directory, path);
  const old = lstatSync(target, { throwIfNoEntry: false });
  if (old?.isDirectory()) throw new UnsupportedError(`${target}: it is in the way: a directory`);
  if (old) rmSync(target);
  return target;
}

/** Whether a link at `path` leads to a place in the image. */
function staysInside(path: string, target: string): boolean {
  if (target.startsWith('/')) return false;
  let depth = path.split('/').length - 1;
  for (const name of target.split('/')) {
    if (name === '..') depth--;
    else if (name !== '' && name !== '.') depth++;
    if (depth < 0) return false;
  }
  return true;
}
