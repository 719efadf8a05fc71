// Where compressed data end that other data follow, as in an initramfs of several archives.

import { codeOf, FormatError, LimitError, messageOf } from '../errors.ts';
import { type Compression, compressionOf } from '../image/compression-magic.ts';
import { measureLzma2 } from './lzma2.ts';
import { CHECK_SIZES, readBlockHeader } from './xz-container.ts';
import { zstdFrameEnd } from './zstd-frame.ts';

/** zlib's `info`: how much of the input was used. */
type WithInfo = { readonly engine: { readonly bytesWritten: number } };

/*
 * A member of gzip: 1F 8B 08 | flags | time: 4 | 2 | [extra: le16 and as many] | [name NUL] | [comment NUL] | [crc: 2] | deflate | crc32 | size: 4
 * Source: RFC 1952.
 */
const GZIP_HEADER = 10;
const GZIP_TRAILER = 8;
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;
/** As much as we would unpack of one archive. */
const MAX_CONTENTS = 1024 * 1024 * 1024;
const XZ_HEADER = 12;
const XZ_FOOTER = 12;

/**
 * The number of bytes at the beginning of `data` that belong to compressed data: all members, streams or frames of one kind up to the first byte
 * that begins no other. Nothing but their lengths is checked. Throws FormatError and LimitError.
 */
export function compressedEnd(data: Uint8Array, compression: Compression, file: string): number {
  const endOf = { gzip: gzipEnd, xz: xzEnd, zstd: zstdFrameEnd }[compression];
  let end = 0;
  do {
    end = endOf(data, end, file);
    if (end > data.length) throw damaged(file, data.length, `compressed data up to offset ${end}`);
  } while (end < data.length && compressionOf(data.subarray(end)) === compression);
  return end;
}

function gzipEnd(data: Uint8Array, start: number, file: string): number {
  const flags = data[start + 3] ?? 0;
  let at = start + GZIP_HEADER;
  if ((flags & FEXTRA) !== 0) at += 2 + ((data[at] ?? 0) | ((data[at + 1] ?? 0) << 8));
  for (const flag of [FNAME, FCOMMENT]) {
    if ((flags & flag) === 0) continue;
    const end = data.indexOf(0, at);
    if (end < 0) throw damaged(file, at, 'a name in the gzip header');
    at = end + 1;
  }
  if ((flags & FHCRC) !== 0) at += 2;
  try {
    const result: unknown = process.getBuiltinModule('node:zlib').inflateRawSync(data.subarray(at), { info: true, maxOutputLength: MAX_CONTENTS });
    return at + (result as WithInfo).engine.bytesWritten + GZIP_TRAILER;
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') throw new LimitError({ file, limit: 'MAX_CONTENTS', maximum: MAX_CONTENTS });
    throw new FormatError({ file, offset: at, expected: 'valid gzip data', actual: messageOf(error) });
  }
}

/** Blocks are measured by the headers of their chunks, for their own headers need not tell their sizes. */
function xzEnd(data: Uint8Array, start: number, file: string): number {
  const checkSize = CHECK_SIZES[(data[start + 7] ?? 0) & 15] ?? 0;
  let at = start + XZ_HEADER;
  while ((data[at] ?? 0) !== 0) {
    const header = readBlockHeader(data, { offset: at, unpaddedSize: Infinity, uncompressedSize: 0 }, file);
    const { end } = measureLzma2(data, header.data, file);
    at += Math.ceil((end - at) / 4) * 4 + checkSize;
  }
  return xzIndexEnd(data, at, file) + XZ_FOOTER;
}

/** An index: 00 | number of records | two numbers each | zeros to 4 | crc32. */
function xzIndexEnd(data: Uint8Array, start: number, file: string): number {
  let at = start + 1;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = data[at];
      if (byte === undefined || scale > 2 ** 56) throw damaged(file, at, 'a number in the index of an xz stream');
      at++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  // Each takes a byte at least, so that the data bound the count.
  for (let left = 2 * number(); left > 0; left--) number();
  return start + Math.ceil((at - start) / 4) * 4 + 4;
}

function damaged(file: string, offset: number, expected: string): FormatError {
  return new FormatError({ file, offset, expected, actual: 'the end of the data' });
}
