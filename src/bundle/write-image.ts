// Writes the contents of a bundle as an image: erofs and cpio by our own writers, ext4 and squashfs by the tools that are made for them.

import { closeSync, fdatasync, mkdirSync, mkdtempSync, openSync, rmSync, write as writeTo, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { type CpioReference, cpioChunks, S_IFREG } from '../image/cpio.ts';
import { erofsChunks } from '../image/erofs-write.ts';
import { VERSION } from '../version.ts';
import { requireTool } from '../vm/host-tool.ts';
import { type BundleContents, type BundleFile, fillFrom } from './contents.ts';
import { writeExt4 } from './ext4-by-tools.ts';
import { runImageTool, sizeOfFile } from './image-tool.ts';
import { formatManifest, type ListedFile, MANIFEST_NAME, manifestSize } from './manifest.ts';
import { breathe, replaceWhole } from './whole-file.ts';

export const BUNDLE_FORMATS = ['erofs', 'squashfs', 'ext4', 'cpio'] as const;
export type BundleFormat = (typeof BUNDLE_FORMATS)[number];

export type WriteOptions = {
  readonly format: BundleFormat;
  /** Seconds since 1970, of all files. */
  readonly mtime: number;
  /** What the modules were selected by, for the manifest. */
  readonly selected: readonly string[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
};

/** Throws UnsupportedError, which names the package, where a program that writes the format is not installed. */
export function requireWriter(format: BundleFormat): void {
  const tools = { erofs: [], cpio: [], squashfs: [['mksquashfs', 'squashfs-tools']], ext4: [['mke2fs', 'e2fsprogs'], ['debugfs', 'e2fsprogs']] } as const;
  for (const [name, debianPackage] of tools[format]) requireTool(name, debianPackage);
}

/** How files are copied, and after how many bytes the disk begins, or signals are heard. */
const PIECE = 1024 * 1024;
const BREATH = 16 * PIECE;

const flush = promisify(fdatasync);
const write = promisify(writeTo);

/** A file of the image, by its path there, and what is told of it while it is read. */
type PlacedFile = { readonly path: string; readonly size: number; readonly fill: (target: Uint8Array, offset: number) => void };

/**
 * Writes the image to `path`, whole or not at all, and gives its size. Its root is what is mounted on /lib/modules; a cpio has lib/modules itself.
 * The same contents give the same bytes. Throws UnsupportedError where a tool is not installed or fails, and Node's errors.
 */
export async function writeBundle(path: string, contents: BundleContents, options: WriteOptions): Promise<number> {
  const files = placedFiles(contents, options);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const counting = (bytes: number): void => options.onProgress?.(done = Math.min(total, done + bytes), total);
  return replaceWhole(path, options.signal, async (temporary) => {
    switch (options.format) {
      case 'erofs':
        return writeChunks(temporary, erofsChunks(files.map(({ path: at, size, fill }) => ({ path: at, kind: 'file', size, read: fill })), options), counting, options.signal);
      case 'cpio':
        return writeChunks(temporary, cpioPieces(files, options.mtime), counting, options.signal);
      case 'ext4':
        return staged(temporary, files, counting, options, (directory) => writeExt4(temporary, directory, files, options));
      case 'squashfs':
        return staged(temporary, files, counting, options, (directory) => writeSquashfs(temporary, directory, options));
    }
  });
}

/** All files by their paths in the image, the manifest among them: it is made when it is read, of sums that were computed while others were. */
function placedFiles({ release, files }: BundleContents, { format, selected }: WriteOptions): PlacedFile[] {
  const [top, firmware] = format === 'cpio' ? [`lib/modules/${release}/`, 'lib/'] : [`${release}/`, ''];
  const sums = new Map<BundleFile, { crc32: number; end: number }>();
  const { crc32 } = process.getBuiltinModule('node:zlib');
  const sumOf = (file: BundleFile): number => {
    const known = sums.get(file);
    if (known?.end === file.size) return known.crc32;
    const bytes = Buffer.alloc(file.size);
    fillFrom(file, bytes, 0);
    return crc32(bytes);
  };
  const placed = files.map((file): PlacedFile => ({
    path: (file.kind === 'firmware' ? firmware : top) + file.path,
    size: file.size,
    fill(target, offset) {
      fillFrom(file, target, offset);
      const known = sums.get(file) ?? { crc32: 0, end: 0 };
      if (known.end === offset) sums.set(file, { crc32: crc32(target, known.crc32), end: offset + target.length });
    },
  }));
  const facts = { builder: `tsmodprobe ${VERSION}`, release, selected };
  let manifest: Buffer | undefined;
  const summed = (): Buffer => formatManifest({ ...facts, files: files.map((file): ListedFile => ({ path: file.path, size: file.size, crc32: sumOf(file) })) });
  return [...placed, { path: top + MANIFEST_NAME, size: manifestSize({ ...facts, files }), fill: (target, offset) => void target.set((manifest ??= summed()).subarray(offset, offset + target.length)) }];
}

/** Writes each chunk while the next one is made, and has the disk begin with what is written: at the end all has to be on it. */
async function writeChunks(path: string, chunks: Iterable<Uint8Array>, counting: (bytes: number) => void, signal: AbortSignal | undefined): Promise<number> {
  const fd = openSync(path, 'wx', 0o644);
  let writing: Promise<unknown> = Promise.resolve();
  let flushing: Promise<unknown> | undefined;
  try {
    let size = 0;
    let breath = 0;
    for (const chunk of chunks) {
      throwFailure(await writing);
      signal?.throwIfAborted();
      writing = writeAll(fd, chunk).catch((error: unknown) => error);
      size += chunk.length;
      counting(chunk.length);
      if (size - breath < BREATH) continue;
      breath = size;
      flushing ??= flush(fd).then(() => (flushing = undefined), (error: unknown) => error);
    }
    throwFailure(await writing);
    throwFailure(await flushing);
    return size;
  } finally {
    // The file stays open for what has begun.
    await writing;
    await flushing;
    closeSync(fd);
  }
}

async function writeAll(fd: number, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length;) done += (await write(fd, chunk, done)).bytesWritten;
}

/** What a promise that nobody waits for yet gave in place of its error. */
function throwFailure(outcome: unknown): void {
  if (outcome instanceof Error) throw outcome;
}

/** Small pieces are gathered, large files cut. Two pieces in turn: one may still be written while the other is filled. */
function* cpioPieces(files: readonly PlacedFile[], mtime: number): Generator<Uint8Array> {
  let [piece, other] = [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)];
  let used = 0;
  const entries = files.map((file): CpioReference<PlacedFile> => ({ path: file.path, mode: S_IFREG | 0o644, size: file.size, from: file }));
  for (const chunk of cpioChunks<PlacedFile>(entries, mtime)) {
    const size = chunk instanceof Uint8Array ? chunk.length : chunk.size;
    for (let offset = 0; offset < size;) {
      const length = Math.min(size - offset, PIECE - used);
      if (chunk instanceof Uint8Array) piece.set(chunk.subarray(offset, offset + length), used);
      else chunk.from.fill(piece.subarray(used, used + length), offset);
      offset += length;
      used += length;
      if (used < PIECE) continue;
      yield piece;
      [piece, other] = [other, piece];
      used = 0;
    }
  }
  if (used > 0) yield piece.subarray(0, used);
}

/** Copies the files to a directory beside the image, of which a tool makes it. */
async function staged(
  temporary: string, files: readonly PlacedFile[], counting: (bytes: number) => void, { signal }: WriteOptions, make: (directory: string) => Promise<number>,
): Promise<number> {
  const directory = mkdtempSync(`${temporary}.`);
  try {
    const buffer = Buffer.allocUnsafeSlow(PIECE);
    let breath = 0;
    for (const { path, size, fill } of files) {
      const target = join(directory, path);
      mkdirSync(dirname(target), { recursive: true });
      const fd = openSync(target, 'wx', 0o644);
      try {
        for (let offset = 0; offset < size; offset += PIECE) {
          const part = buffer.subarray(0, Math.min(PIECE, size - offset));
          fill(part, offset);
          for (let done = 0; done < part.length;) done += writeSync(fd, part, done);
        }
      } finally {
        closeSync(fd);
      }
      counting(size);
      breath += size;
      if (breath < BREATH) continue;
      breath = 0;
      await breathe(signal);
    }
    return await make(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** gzip, which every kernel with squashfs and every Node can unpack; what is compressed already stays as it is. */
async function writeSquashfs(image: string, directory: string, { mtime, signal }: WriteOptions): Promise<number> {
  const times = ['-mkfs-time', `${mtime}`, '-all-time', `${mtime}`];
  await runImageTool('mksquashfs', 'squashfs-tools', [directory, image, '-noappend', '-quiet', '-no-progress', '-no-xattrs', '-all-root', '-comp', 'gzip', ...times], {
    // It refuses to take the time from two places.
    signal, env: { SOURCE_DATE_EPOCH: undefined },
  });
  return sizeOfFile(image);
}
