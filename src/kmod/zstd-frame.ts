// The frames of a .zst file: where each begins and ends and how much it can make, without decompressing.

import { FormatError, LimitError } from '../errors.ts';

export type ZstdFrame = {
  readonly offset: number;
  readonly end: number;
  /** Skippable frames hold no data. */
  readonly skippable: boolean;
  /** The size in the frame header; absent when the compressor did not know it (`zstd` in a pipe). */
  readonly contentSize: number | undefined;
  /** No frame with these block headers makes more than this. */
  readonly bound: number;
};

/** The window that libzstd grants by default (ZSTD_WINDOWLOG_LIMIT_DEFAULT); it allocates that much. */
export const ZSTD_WINDOW_LIMIT = 128 * 1024 * 1024;

/*
 * frame:     28 B5 2F FD | descriptor | [window] | [dictionary ID] | [content size] | blocks | [checksum: 4]
 *            descriptor: bits 0-1 size of the dictionary ID, 2 checksum, 3 reserved, 5 single segment (no window
 *            byte), 6-7 size of the content size
 * block:     le24: bit 0 last, bits 1-2 raw, RLE, compressed, reserved; bits 3-23 size | contents
 * skippable: 5x 2A 4D 18 | size: le32 | anything
 * Source: RFC 8878.
 */
const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const BLOCK_SIZE_MAX = 128 * 1024;
const BLOCK_RAW = 0;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

/** All frames of a file, which fill it exactly. Throws FormatError, and LimitError for a window over ZSTD_WINDOW_LIMIT. */
export function readZstdFrames(data: Uint8Array, file: string): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  let offset = 0;
  do {
    const frame = readFrame(data, offset, file);
    frames.push(frame);
    offset = frame.end;
  } while (offset < data.length);
  return frames;
}

/** Where the frame at `offset` ends. Throws FormatError, and LimitError for a window over ZSTD_WINDOW_LIMIT. */
export function zstdFrameEnd(data: Uint8Array, offset: number, file: string): number {
  return readFrame(data, offset, file).end;
}

function readFrame(data: Uint8Array, offset: number, file: string): ZstdFrame {
  const magic = readLe(data, offset, 4, file);
  if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
    const end = offset + 8 + readLe(data, offset + 4, 4, file);
    if (end > data.length) throw cutShort(data, file, `a skippable frame up to offset ${end}`);
    return { offset, end, skippable: true, contentSize: 0, bound: 0 };
  }
  if (magic !== MAGIC) throw damaged(file, offset, 'a zstd frame', `the magic 0x${magic.toString(16).padStart(8, '0')}`);
  const header = readFrameHeader(data, offset + 4, file);
  const blocks = walkBlocks(data, header, file);
  const { contentSize } = header;
  if (contentSize !== undefined && contentSize > blocks.bound) {
    throw damaged(file, offset, `a content size of at most ${blocks.bound} bytes by the blocks`, `${contentSize}`);
  }
  return { offset, end: blocks.end, skippable: false, contentSize, bound: blocks.bound };
}

type FrameHeader = { readonly blocks: number; readonly window: number; readonly contentSize: number | undefined; readonly checksum: boolean };

function readFrameHeader(data: Uint8Array, offset: number, file: string): FrameHeader {
  const descriptor = readLe(data, offset, 1, file);
  if ((descriptor & 0x08) !== 0) throw damaged(file, offset, 'a frame descriptor', `0x${descriptor.toString(16)}`);
  const singleSegment = (descriptor & 0x20) !== 0;
  let position = offset + 1;
  const windowByte = singleSegment ? 0 : readLe(data, position, 1, file);
  if (!singleSegment) position += 1;

  const dictionarySize = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const dictionary = readLe(data, position, dictionarySize, file);
  if (dictionary !== 0) throw damaged(file, position, 'a frame without dictionary', `dictionary ${dictionary}`);
  position += dictionarySize;

  const sizeOfSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  // The two-byte form starts at 256, for the one-byte form reaches 255.
  const size = readLe(data, position, sizeOfSize, file) + (sizeOfSize === 2 ? 256 : 0);
  const contentSize = sizeOfSize === 0 ? undefined : size;
  const window = singleSegment ? size : 2 ** (10 + (windowByte >> 3)) * (1 + (windowByte & 7) / 8);
  if (window > ZSTD_WINDOW_LIMIT) throw new LimitError({ file, limit: 'zstd window', maximum: ZSTD_WINDOW_LIMIT, actual: window });
  return { blocks: position + sizeOfSize, window, contentSize, checksum: (descriptor & 0x04) !== 0 };
}

/** Finds the end of a frame by its block headers. Every block takes three bytes of the file, which bounds the walk. */
function walkBlocks(data: Uint8Array, header: FrameHeader, file: string): { readonly end: number; readonly bound: number } {
  const blockMax = Math.min(header.window, BLOCK_SIZE_MAX);
  let position = header.blocks;
  let bound = 0;
  for (let last = false; !last; ) {
    const word = readLe(data, position, 3, file);
    last = (word & 1) === 1;
    const type = (word >> 1) & 3;
    const size = word >> 3;
    if (type === BLOCK_RESERVED) throw damaged(file, position, 'a block of type 0, 1 or 2', '3');
    if (size > blockMax) throw damaged(file, position, `a block of at most ${blockMax} bytes`, `${size}`);
    bound += type === BLOCK_RAW || type === BLOCK_RLE ? size : blockMax;
    position += 3 + (type === BLOCK_RLE ? 1 : size);
  }
  const end = position + (header.checksum ? 4 : 0);
  if (end > data.length) throw cutShort(data, file, `a frame up to offset ${end}`);
  return { end, bound };
}

/** An unsigned number of up to 8 bytes; beyond 2^53 it is only near, which is far over any limit. */
function readLe(data: Uint8Array, offset: number, length: number, file: string): number {
  if (offset + length > data.length) throw cutShort(data, file, `${length} bytes at offset ${offset}`);
  let value = 0;
  for (let index = length - 1; index >= 0; index -= 1) value = value * 256 + (data[offset + index] ?? 0);
  return value;
}

function cutShort(data: Uint8Array, file: string, expected: string): FormatError {
  return damaged(file, data.length, expected, 'the end of the data');
}

function damaged(file: string, offset: number, expected: string, actual: string): FormatError {
  return new FormatError({ file, offset, expected, actual });
}
