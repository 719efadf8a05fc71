// Compressed module files: which format the bytes are in, and the bytes inside, whatever decoder this Node and machine offer.

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError } from '../errors.ts';
import type { Compression } from '../image/compression-magic.ts';
import type { NativeCodec } from '../system.ts';
import { unxz, readXzClaim } from './xz.ts';
import { readZstdFrames } from './zstd-frame.ts';
import type { ZstdFrame } from './zstd-frame.ts';

export { type Compression, compressionOf } from '../image/compression-magic.ts';

export type DecompressOptions = {
  /** What messages call the data. */
  readonly file: string;
  /** The most bytes that may come out; MAX_MODULE_SIZE when absent. */
  readonly limit?: number;
  /** Libraries to use where they are better than what we have: xz for speed, zstd where node:zlib lacks it. */
  readonly codecs?: { readonly xz?: NativeCodec | undefined; readonly zstd?: NativeCodec | undefined };
};

/** The largest module we unpack: room for debug information. The largest of Debian's kernels, amdgpu, has 28 MiB without. */
export const MAX_MODULE_SIZE = 512 * 1024 * 1024;

/**
 * The bytes inside, all members, streams or frames of them, with every checksum verified.
 *
 * Throws FormatError for damage, LimitError when more than `limit` bytes would come out, UnsupportedError where no
 * decoder is at hand.
 */
export function decompress(data: Uint8Array, compression: Compression, options: DecompressOptions): Uint8Array {
  const { file, limit = MAX_MODULE_SIZE, codecs } = options;
  switch (compression) {
    case 'gzip':
      return decompressGzip(data, file, limit);
    case 'xz':
      return decompressXz(data, file, limit, codecs?.xz);
    case 'zstd':
      return decompressZstd(data, file, limit, codecs?.zstd);
  }
}

/** What zlib's synchronous functions return with `info: true`. */
type WithInfo = { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };

/** node:zlib, loaded by the first file that needs it: that takes 3 ms, as much as a whole dry run. */
function zlib(): typeof import('node:zlib') & { zstdDecompressSync?: (data: Uint8Array, options: { maxOutputLength: number }) => Uint8Array } {
  return process.getBuiltinModule('node:zlib');
}

function decompressGzip(data: Uint8Array, file: string, limit: number): Uint8Array {
  try {
    const result: unknown = zlib().gunzipSync(data, { maxOutputLength: Math.max(limit, 1), info: true });
    const { buffer, engine } = result as WithInfo;
    // zlib stops at a zero byte after a member. gzip(1) takes zeros to the end as padding; nothing else may follow.
    const junk = data.subarray(engine.bytesWritten).findIndex((byte) => byte !== 0);
    if (junk >= 0) {
      throw new FormatError({ file, offset: engine.bytesWritten + junk, expected: 'the end of the gzip data', actual: 'more bytes' });
    }
    if (buffer.length > limit) throw overLimit(file, limit);
    return buffer;
  } catch (error) {
    throw translated(error, { file, limit, offset: 0, end: data.length, expected: 'valid gzip data' });
  }
}

/** liblzma is quicker, above all for the first module; where it refuses, our decoder says what is wrong and where. */
function decompressXz(data: Uint8Array, file: string, limit: number, codec: NativeCodec | undefined): Uint8Array {
  if (codec !== undefined) {
    const { size } = readXzClaim(data, { file, limit });
    const output = refusedAsUndefined(() => codec.decompress(data, size));
    if (output?.length === size) return output;
  }
  return unxz(data, { file, limit });
}

function refusedAsUndefined(decode: () => Uint8Array): Uint8Array | undefined {
  try {
    return decode();
  } catch {
    // Not swallowed: the caller decodes the same bytes itself, which either works or throws the error with its offset.
    return undefined;
  }
}

/** Frame by frame: zstdDecompressSync of Node 22 and 24 ends after the first one without a word. */
function decompressZstd(data: Uint8Array, file: string, limit: number, codec: NativeCodec | undefined): Uint8Array {
  const frames = readZstdFrames(data, file).filter((frame) => !frame.skippable);
  const claimed = frames.reduce((sum, frame) => sum + (frame.contentSize ?? 0), 0);
  if (claimed > limit) throw overLimit(file, limit, claimed);
  const decodeFrame = zstdDecoder(file, codec);
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const frame of frames) {
    const part = decodeZstdFrame(data, frame, { file, limit, left: limit - size, decodeFrame });
    size += part.length;
    parts.push(part);
  }
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
}

type FrameDecoder = (frame: Uint8Array, limit: number) => Uint8Array;

function zstdDecoder(file: string, codec: NativeCodec | undefined): FrameDecoder {
  const { zstdDecompressSync } = zlib();
  if (zstdDecompressSync !== undefined) {
    return (frame, limit) => zstdDecompressSync(frame, { maxOutputLength: limit });
  }
  if (codec !== undefined) return (frame, limit) => codec.decompress(frame, limit);
  throw new UnsupportedError(
    `${file}: zstd needs Node 22.15 or newer, or the library libzstd.so.1 (Debian: apt install libzstd1; Alpine: apk add zstd-libs)`,
  );
}

function decodeZstdFrame(
  data: Uint8Array,
  frame: ZstdFrame,
  options: { readonly file: string; readonly limit: number; readonly left: number; readonly decodeFrame: FrameDecoder },
): Uint8Array {
  const { file, limit, left, decodeFrame } = options;
  const { offset, end, bound, contentSize } = frame;
  // Frames of unknown size before this one may have used up what it claims.
  if (contentSize !== undefined && contentSize > left) throw overLimit(file, limit);
  try {
    // The codecs want a limit above zero, also for an empty frame.
    const part = decodeFrame(data.subarray(offset, end), Math.max(1, Math.min(left, contentSize ?? bound)));
    if (part.length > left) throw overLimit(file, limit);
    if (contentSize !== undefined && part.length !== contentSize) {
      throw new FormatError({ file, offset, expected: `a zstd frame of ${contentSize} bytes`, actual: `${part.length}` });
    }
    return part;
  } catch (error) {
    // A frame that promised its size broke the promise; one that did not has met the limit.
    const frameLimit = contentSize === undefined ? limit : undefined;
    throw translated(error, { file, limit: frameLimit, offset, end, expected: 'a valid zstd frame' });
  }
}

/** An error of zlib or of a codec in our own classes. `limit` is undefined where exceeding it is damage. */
function translated(
  error: unknown,
  options: { readonly file: string; readonly limit: number | undefined; readonly offset: number; readonly end: number; readonly expected: string },
): Error {
  const { file, limit, offset, end, expected } = options;
  if (error instanceof FormatError || (error instanceof LimitError && error.file === file)) return error;
  const full = codeOf(error) === 'ERR_BUFFER_TOO_LARGE' || error instanceof LimitError;
  if (full && limit !== undefined) return overLimit(file, limit);
  const truncated = codeOf(error) === 'Z_BUF_ERROR';
  return new FormatError({ file, offset: truncated ? end : offset, expected, actual: truncated ? 'the end of the data' : messageOf(error) });
}

function overLimit(file: string, limit: number, actual?: number): LimitError {
  return new LimitError({ file, limit: 'limit of decompressed bytes', maximum: limit, ...(actual === undefined ? {} : { actual }) });
}
