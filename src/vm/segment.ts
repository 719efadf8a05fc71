// Segments of an initramfs as files: written by streaming, kept in the cache by what identifies their contents, and joined.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { FormatError } from '../errors.ts';
import { cpioChunks } from '../image/cpio.ts';
import { cached, pruneCache } from './cache.ts';
import type { GuestEntry, SourceFile } from './guest-tree.ts';

/** Small pieces are gathered to writes of this size. */
const WRITE_SIZE = 1024 * 1024;

/** The path of a segment in the cache, written when no segment of the same paths, sizes and times is there. */
export async function cachedSegment(cacheDirectory: string, name: string, entries: readonly GuestEntry[]): Promise<string> {
  const hash = createHash('sha256');
  for (const entry of entries) {
    const identity = 'from' in entry ? [entry.from.path, entry.from.mtimeMs, entry.size] : [Buffer.from(entry.data ?? []).toString('base64')];
    hash.update(JSON.stringify([entry.path, entry.mode, ...identity]));
  }
  const directory = join(cacheDirectory, 'segments');
  await mkdir(directory, { recursive: true });
  return cached(join(directory, `${name}-${hash.digest('hex').slice(0, 24)}.cpio`), async (temporary) => {
    await pruneCache(directory);
    appendSegment(temporary, entries);
  });
}

/** Appends one segment to the file at `path`, which is made when it is not there. */
export function appendSegment(path: string, entries: Iterable<GuestEntry>): void {
  const output = openSync(path, 'a');
  let gathered: Uint8Array[] = [];
  let size = 0;
  const flush = (): void => {
    writeAll(output, Buffer.concat(gathered));
    gathered = [];
    size = 0;
  };
  try {
    for (const chunk of cpioChunks<SourceFile>(entries)) {
      if ('from' in chunk && chunk.size > WRITE_SIZE) {
        flush();
        copyContents(chunk.from.path, chunk.size, output);
        continue;
      }
      const bytes = 'from' in chunk ? readExactly(chunk.from.path, chunk.size) : chunk;
      gathered.push(bytes);
      size += bytes.length;
      if (size > WRITE_SIZE) flush();
    }
    flush();
  } finally {
    closeSync(output);
  }
}

/** Makes `path` of segments, one after the other. */
export async function joinSegments(path: string, [first, ...others]: readonly string[]): Promise<void> {
  if (first === undefined) return;
  // copyFile shares the blocks where the file system can do that; the largest segment comes first.
  await copyFile(first, path);
  const output = openSync(path, 'a');
  try {
    for (const other of others) copyContents(other, statSync(other).size, output);
  } finally {
    closeSync(output);
  }
}

function readExactly(path: string, size: number): Uint8Array {
  const bytes = readFileSync(path);
  if (bytes.length !== size) throw changed(path, size, bytes.length);
  return bytes;
}

function copyContents(path: string, size: number, output: number): void {
  const input = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(WRITE_SIZE * 4);
    let copied = 0;
    for (let count = readSync(input, buffer); count > 0; count = readSync(input, buffer)) {
      copied += count;
      if (copied > size) break;
      writeAll(output, buffer.subarray(0, count));
    }
    if (copied !== size) throw changed(path, size, copied);
  } finally {
    closeSync(input);
  }
}

function writeAll(output: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(output, bytes, done);
}

function changed(path: string, expected: number, actual: number): FormatError {
  return new FormatError({ file: path, offset: 0, expected: `${expected} bytes, as before`, actual: `${actual}` });
}
