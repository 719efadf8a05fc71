// The .xz container: streams, their indexes and block headers, read from the end of the file to its start.

import { FormatError, UnsupportedError } from '../errors.ts';
import { crc32 } from './xz-check.ts';

/** One record of an index: where the block lies and how many bytes it makes. */
export type XzBlock = {
  readonly offset: number;
  /** Bytes from the block header to the end of the check, without the padding between. */
  readonly unpaddedSize: number;
  readonly uncompressedSize: number;
};

export type XzStream = {
  readonly offset: number;
  /** The check ID of the stream flags: 0 none, 1 CRC32, 4 CRC64, 10 SHA-256. */
  readonly check: number;
  readonly blocks: readonly XzBlock[];
};

export type XzBlockHeader = {
  /** Where the compressed data start. */
  readonly data: number;
  readonly compressedSize: number | undefined;
  readonly uncompressedSize: number | undefined;
  /** The x86 filter stands before LZMA2. */
  readonly x86: boolean;
};

/*
 * A file is one stream or several, each followed by padding of n * 4 zeros:
 *
 *   header  FD 37 7A 58 5A 00 | flags: 00, check | crc32 of the flags                                 12 bytes
 *   blocks  size/4-1 | flags | [compressed size] | [uncompressed size] | filters | zeros | crc32 | data | zeros | check
 *   index   00 | number of records | records: unpadded size, uncompressed size | zeros | crc32
 *   footer  crc32 | size of the index/4-1 | flags: 00, check | 59 5A                                  12 bytes
 *
 * Sizes in blocks and index are vli: 7 bits a byte, low ones first, 0x80 = more. Source: The .xz File Format 1.2.1.
 */
const HEADER_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const HEADER_SIZE = 12;
const FOOTER_SIZE = 12;
const CRC_SIZE = 4;
const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;
const FILTERS: Readonly<Record<number, string>> = {
  0x03: 'delta', 0x05: 'powerpc', 0x06: 'ia64', 0x07: 'arm', 0x08: 'armthumb', 0x09: 'sparc', 0x0a: 'arm64', 0x0b: 'riscv',
};
/** Check sizes by ID, of which only four are in use. */
export const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;

/**
 * The streams of a file, in order, with what their indexes claim of the blocks: nothing is decompressed. Headers,
 * footers and indexes are checked with their CRC32; the blocks of each stream fill it exactly. Throws FormatError.
 */
export function readXzStreams(data: Uint8Array, file: string): XzStream[] {
  checkHeader(data, 0, file);
  const streams: XzStream[] = [];
  let end = data.length;
  while (end > 0) {
    const footer = skipPadding(data, end, file);
    const stream = readStream(data, footer, file);
    streams.unshift(stream);
    end = stream.offset;
  }
  return streams;
}

/** The header of a block. Throws FormatError, and UnsupportedError for filters other than LZMA2 and x86. */
export function readBlockHeader(data: Uint8Array, block: XzBlock, file: string): XzBlockHeader {
  const { offset } = block;
  const size = ((data[offset] ?? 0) + 1) * 4;
  if (size === 4 || size > block.unpaddedSize) throw damaged(file, offset, 'the size of a block header', `${size}`);
  const end = offset + size - CRC_SIZE;
  checkCrc(data, offset, end, file, 'block header');
  const flags = data[offset + 1] ?? 0;
  if ((flags & 0x3c) !== 0) throw damaged(file, offset + 1, 'block flags', hex(flags));
  const cursor = { data, file, position: offset + 2, end };
  const compressedSize = (flags & 0x40) === 0 ? undefined : readVli(cursor);
  const uncompressedSize = (flags & 0x80) === 0 ? undefined : readVli(cursor);
  const x86 = readFilters(cursor, (flags & 3) + 1);
  checkZeros(data, cursor.position, end, file, 'block header padding');
  return { data: offset + size, compressedSize, uncompressedSize, x86 };
}

/** Checks that the bytes are padding. Throws FormatError. */
export function checkZeros(data: Uint8Array, start: number, end: number, file: string, what: string): void {
  for (let position = start; position < end; position += 1) {
    if (data[position] !== 0) throw damaged(file, position, `${what} of zeros`, hex(data[position]));
  }
}

type Cursor = { readonly data: Uint8Array; readonly file: string; position: number; readonly end: number };

/** Checks magic, flags and CRC of a stream header; gives the check ID. */
function checkHeader(data: Uint8Array, offset: number, file: string): number {
  const magic = data.subarray(offset, offset + HEADER_MAGIC.length);
  if (HEADER_MAGIC.some((byte, index) => magic[index] !== byte)) {
    throw damaged(file, offset, `the xz magic ${hex(...HEADER_MAGIC)}`, hex(...magic));
  }
  if (offset + HEADER_SIZE > data.length) throw damaged(file, data.length, 'a stream header of 12 bytes', 'the end of the data');
  checkCrc(data, offset + 6, offset + 8, file, 'stream header');
  return readStreamFlags(data, offset + 6, file);
}

function readStreamFlags(data: Uint8Array, offset: number, file: string): number {
  const [zero = 0, check = 0] = data.subarray(offset, offset + 2);
  if (zero !== 0 || check >= CHECK_SIZES.length) throw damaged(file, offset, 'stream flags', hex(zero, check));
  return check;
}

/** The position of the footer below `end`, with only stream padding between. */
function skipPadding(data: Uint8Array, end: number, file: string): number {
  let position = end;
  while (position > 0 && data[position - 1] === 0) position -= 1;
  if ((end - position) % 4 !== 0) throw damaged(file, position, 'stream padding of n * 4 zeros', `${end - position} zeros`);
  if (position < HEADER_SIZE + FOOTER_SIZE) throw damaged(file, position, 'a stream footer', 'the end of the data');
  return position - FOOTER_SIZE;
}

/** The stream whose footer is at `footer`. */
function readStream(data: Uint8Array, footer: number, file: string): XzStream {
  if (data[footer + 10] !== 0x59 || data[footer + 11] !== 0x5a) {
    throw damaged(file, footer + 10, 'the footer magic 59 5a', hex(...data.subarray(footer + 10, footer + 12)));
  }
  const stored = le32(data, footer);
  const computed = crc32(data.subarray(footer + 4, footer + 10));
  if (stored !== computed) throw damaged(file, footer, `the CRC32 of the stream footer, ${hex32(computed)}`, hex32(stored));
  const check = readStreamFlags(data, footer + 8, file);
  const index = footer - (le32(data, footer + 4) + 1) * 4;
  if (index < HEADER_SIZE) throw damaged(file, footer + 4, 'a backward size within the file', `${footer - index}`);
  const records = readIndex(data, index, footer, file);

  let offset = index;
  for (const record of records) offset -= Math.ceil(record.unpaddedSize / 4) * 4;
  offset -= HEADER_SIZE;
  if (offset < 0) throw damaged(file, index, 'an index of blocks within the file', `${index - offset} bytes of blocks`);
  if (checkHeader(data, offset, file) !== check) throw damaged(file, footer + 8, 'the flags of the stream header', hex(0, check));

  let position = offset + HEADER_SIZE;
  const blocks = records.map((record) => {
    const block = { ...record, offset: position };
    position += Math.ceil(record.unpaddedSize / 4) * 4;
    return block;
  });
  return { offset, check, blocks };
}

function readIndex(data: Uint8Array, start: number, footer: number, file: string): Omit<XzBlock, 'offset'>[] {
  const end = footer - CRC_SIZE;
  checkCrc(data, start, end, file, 'index');
  if (data[start] !== 0) throw damaged(file, start, 'an index indicator of 00', hex(data[start]));
  const cursor = { data, file, position: start + 1, end };
  const count = readVli(cursor);
  // A record takes two bytes at least, so that the file's own size bounds the count.
  if (count > (end - cursor.position) / 2) throw damaged(file, start + 1, 'a number of records that fits the index', `${count}`);
  const records: Omit<XzBlock, 'offset'>[] = [];
  for (let number = 0; number < count; number += 1) {
    const unpaddedSize = readVli(cursor);
    if (unpaddedSize < 5) throw damaged(file, cursor.position, 'an unpadded size of 5 or more', `${unpaddedSize}`);
    records.push({ unpaddedSize, uncompressedSize: readVli(cursor) });
  }
  if (end - cursor.position > 3) throw damaged(file, cursor.position, 'the end of the index', `${end - cursor.position} more bytes`);
  checkZeros(data, cursor.position, end, file, 'index padding');
  return records;
}

/** Reads `count` filters, of which the last must be LZMA2 and one before it may be x86: says whether it is there. */
function readFilters(cursor: Cursor, count: number): boolean {
  const { file } = cursor;
  let x86 = false;
  for (let number = 1; number <= count; number += 1) {
    const at = cursor.position;
    const id = readVli(cursor);
    const size = readVli(cursor);
    const properties = cursor.data.subarray(cursor.position, Math.min(cursor.end, cursor.position + size));
    if (properties.length < size) throw damaged(file, at, 'filter properties within the block header', `${size} bytes`);
    cursor.position += size;
    if (id === FILTER_LZMA2 && number === count) {
      // The dictionary size, 0 to 40, needs no more than a look: the dictionary is the output itself.
      if (size !== 1 || (properties[0] ?? 0xff) > 40) throw damaged(file, at, 'a dictionary size of LZMA2', hex(...properties));
    } else if (id === FILTER_X86 && number === 1 && count === 2) {
      if (size !== 0) throw new UnsupportedError(`${file}: the xz filter x86 with a start offset is not supported; recompress it without`);
      x86 = true;
    } else if (id === FILTER_LZMA2 || id === FILTER_X86) {
      throw damaged(file, at, 'LZMA2 as the last filter', `filter ${hex(id)} as number ${number} of ${count}`);
    } else {
      const name = FILTERS[id] ?? `0x${id.toString(16)}`;
      throw new UnsupportedError(`${file}: the xz filter ${name} is not supported; recompress it with xz --check=crc32`);
    }
  }
  return x86;
}

function readVli(cursor: Cursor): number {
  const start = cursor.position;
  let value = 0;
  for (let scale = 1; scale <= Number.MAX_SAFE_INTEGER; scale *= 128) {
    const byte = cursor.position < cursor.end ? cursor.data[cursor.position] : undefined;
    if (byte === undefined) throw damaged(cursor.file, start, 'a number', 'the end of its field');
    cursor.position += 1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if ((byte === 0 && scale > 1) || !Number.isSafeInteger(value)) break;
      return value;
    }
  }
  throw damaged(cursor.file, start, 'a number in its shortest form, below 2^53', hex(...cursor.data.subarray(start, cursor.position)));
}

function checkCrc(data: Uint8Array, start: number, end: number, file: string, what: string): void {
  if (end < start || end + CRC_SIZE > data.length) throw damaged(file, data.length, `a ${what}`, 'the end of the data');
  const computed = crc32(data.subarray(start, end));
  const stored = le32(data, end);
  if (stored !== computed) throw damaged(file, end, `the CRC32 of the ${what}, ${hex32(computed)}`, hex32(stored));
}

function le32(data: Uint8Array, offset: number): number {
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(offset, true);
}

function hex(...bytes: readonly (number | undefined)[]): string {
  return bytes.map((byte) => byte === undefined ? '(nothing)' : byte.toString(16).padStart(2, '0')).join(' ') || '(nothing)';
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

function damaged(file: string, offset: number, expected: string, actual: string): FormatError {
  return new FormatError({ file, offset, expected, actual });
}
