// Compressed parts of archives, in memory.

import { FormatError, LimitError, UnsupportedError } from '../errors.ts';
import { type ByteSource, memorySource } from './byte-source.ts';
import { type Compression, compressionOf, unreadCompressionOf } from './compression-magic.ts';

/** How compressed data are read; the decoders are the caller's, which knows the libraries of the machine. */
export type Decompressor = {
  /** The bytes inside. Throws FormatError, LimitError over `limit`, UnsupportedError where no decoder is at hand. */
  decompress(data: Uint8Array, compression: Compression, options: { readonly file: string; readonly limit: number }): Uint8Array;
  /** Where the compressed data end that begin `data`: something else may follow. All of `data` when absent. */
  compressedEnd?(data: Uint8Array, compression: Compression, file: string): number;
};

export type Segment = {
  readonly source: ByteSource;
  /** Where the compressed data end in the image. */
  readonly end: number;
};

/** What may come out of one compressed part, and what may go into it: a whole distribution's initramfs has less. */
const MAX_SEGMENT = 1024 * 1024 * 1024;
/** The longest magic that we know. */
export const MAGIC_SIZE = 6;

/** The contents of the compressed data at `offset`; undefined where they are not compressed. */
export function expandSegment(source: ByteSource, offset: number, decompressor: Decompressor | undefined): Segment | undefined {
  const { name, size } = source;
  const head = source.read(offset, Math.min(MAGIC_SIZE, size - offset));
  const compression = compressionOf(head);
  if (compression === undefined) {
    const unread = unreadCompressionOf(head);
    if (unread === undefined) return undefined;
    throw new UnsupportedError(`${name}: data compressed with ${unread} is not read; decompress it first, or use gzip, xz or zstd`);
  }
  if (decompressor === undefined) throw new UnsupportedError(`${name}: compressed with ${compression}, and no decompressor was given`);
  if (size - offset > MAX_SEGMENT) throw new LimitError({ file: name, limit: 'MAX_SEGMENT', maximum: MAX_SEGMENT, actual: size - offset });
  const data = source.read(offset, size - offset);
  const end = decompressor.compressedEnd?.(data, compression, name) ?? data.length;
  if (end <= 0 || end > data.length) throw new FormatError({ file: name, offset, expected: `compressed data of up to ${data.length} bytes`, actual: `${end}` });
  const bytes = decompressor.decompress(data.subarray(0, end), compression, { file: name, limit: MAX_SEGMENT });
  return { source: memorySource(bytes, `${name} (${compression} at ${offset})`), end: offset + end };
}
