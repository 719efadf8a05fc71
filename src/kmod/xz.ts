// Decompression of whole .xz files: plan from the indexes, check the plan against the blocks, then decode.

import { FormatError, LimitError, UnsupportedError } from '../errors.ts';
import { unfilterX86 } from './bcj-x86.ts';
import { decodeLzma2, measureLzma2 } from './lzma2.ts';
import { CHECK_SIZES, checkZeros, readBlockHeader, readXzStreams } from './xz-container.ts';
import type { XzBlock, XzStream } from './xz-container.ts';
import { crc32, XZ_CHECKS } from './xz-check.ts';

/** The check ID of a CRC32, and its bytes. */
const CHECK_CRC32 = 1;
const CRC32_SIZE = 4;

export type UnxzOptions = {
  /** What messages call the data. */
  readonly file: string;
  /** The most bytes that may come out. */
  readonly limit: number;
};

/** What the indexes say of the contents, before anything is decompressed. */
export type XzClaim = {
  readonly size: number;
  /** Of each block its size and its stored CRC32; undefined where some block has another check. */
  readonly crc32s: readonly { readonly size: number; readonly crc32: number }[] | undefined;
};

/** A block whose sizes agree in index, block header and chunk headers. */
type PlannedBlock = {
  readonly data: number;
  readonly size: number;
  readonly x86: boolean;
  /** Where the check is. */
  readonly checkAt: number;
  readonly check: number;
};

/**
 * The contents of an .xz file: all its streams and blocks, every CRC and check verified. Nothing is allocated before
 * the indexes, the block headers and the LZMA2 chunk headers agree on the size.
 *
 * Throws FormatError for damage, LimitError when `limit` would be exceeded, UnsupportedError for unusual filters.
 */
export function unxz(data: Uint8Array, options: UnxzOptions): Uint8Array {
  const { file } = options;
  const streams = readXzStreams(data, file);
  const size = sumOfSizes(streams, options);
  const plan = streams.flatMap((stream) => stream.blocks.map((block) => planBlock(data, stream, block, file)));
  const output = new Uint8Array(size);
  let out = 0;
  for (const block of plan) {
    const outEnd = out + block.size;
    decodeLzma2({ file, input: data, start: block.data, output, outStart: out, outEnd });
    const contents = output.subarray(out, outEnd);
    if (block.x86) unfilterX86(contents);
    verify(data, block, contents, file);
    out = outEnd;
  }
  return output;
}

/** How many bytes unxz would give, and their checks, from the indexes alone. Throws FormatError and LimitError. */
export function readXzClaim(data: Uint8Array, options: UnxzOptions): XzClaim {
  const streams = readXzStreams(data, options.file);
  const size = sumOfSizes(streams, options);
  if (streams.some(({ check }) => check !== CHECK_CRC32)) return { size, crc32s: undefined };
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  // The check ends the block, behind the padding.
  const crc32s = streams.flatMap(({ blocks }) => blocks.map(({ offset, unpaddedSize, uncompressedSize }) => (
    { size: uncompressedSize, crc32: view.getUint32(offset + Math.ceil(unpaddedSize / 4) * 4 - CRC32_SIZE, true) })));
  return { size, crc32s };
}

/** Whether each block has the CRC32 that it claims: liblzma up to 5.4 takes a twentieth of its time for that, zlib a tenth of this. */
export function keepsXzClaim(contents: Uint8Array, { crc32s = [] }: XzClaim): boolean {
  let start = 0;
  return crc32s.every((block) => crc32(contents.subarray(start, start += block.size)) === block.crc32);
}

function sumOfSizes(streams: readonly XzStream[], options: UnxzOptions): number {
  let size = 0;
  for (const stream of streams) for (const block of stream.blocks) size += block.uncompressedSize;
  if (size > options.limit) {
    throw new LimitError({ file: options.file, limit: 'limit of decompressed bytes', maximum: options.limit, actual: size });
  }
  return size;
}

function planBlock(data: Uint8Array, stream: XzStream, block: XzBlock, file: string): PlannedBlock {
  const header = readBlockHeader(data, block, file);
  const extent = measureLzma2(data, header.data, file);
  const compressed = extent.end - header.data;
  const unpadded = extent.end - block.offset + (CHECK_SIZES[stream.check] ?? 0);
  agree(file, block.offset, 'unpadded size of the index', block.unpaddedSize, unpadded);
  agree(file, block.offset, 'uncompressed size of the index', block.uncompressedSize, extent.size);
  agree(file, block.offset, 'compressed size of the block header', header.compressedSize, compressed);
  agree(file, block.offset, 'uncompressed size of the block header', header.uncompressedSize, extent.size);
  const checkAt = header.data + Math.ceil(compressed / 4) * 4;
  checkZeros(data, extent.end, checkAt, file, 'block padding');
  return { data: header.data, size: extent.size, x86: header.x86, checkAt, check: stream.check };
}

function agree(file: string, offset: number, what: string, claimed: number | undefined, actual: number): void {
  if (claimed === undefined || claimed === actual) return;
  throw new FormatError({ file, offset, expected: `a block of ${claimed} bytes by the ${what}`, actual: `${actual}` });
}

function verify(data: Uint8Array, block: PlannedBlock, contents: Uint8Array, file: string): void {
  const check = XZ_CHECKS.get(block.check);
  if (check === undefined) throw new UnsupportedError(`${file}: the xz check number ${block.check} is not supported; recompress it with xz --check=crc32`);
  const computed = Buffer.from(check.compute(contents)).toString('hex');
  const stored = Buffer.from(data.subarray(block.checkAt, block.checkAt + computed.length / 2)).toString('hex');
  if (stored === computed) return;
  throw new FormatError({ file, offset: block.checkAt, expected: `the ${check.name} of the block, ${computed}`, actual: stored });
}
