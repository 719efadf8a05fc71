// LZMA2: the chunks of a compressed block, first measured, then decoded.

import { FormatError } from '../errors.ts';
import { decodeLzmaChunk } from './lzma.ts';
import { LCLP_MAX, newLzmaState, resetLzmaState } from './lzma-state.ts';
import type { LzmaState } from './lzma-state.ts';

/** What the chunk headers say of a block's data: where it ends in the file and how many bytes it makes. */
export type Lzma2Extent = { readonly end: number; readonly size: number };

/** A block: its LZMA2 data from `start` in `input`, its bytes from `outStart` to `outEnd` in `output`. */
export type Lzma2Block = {
  readonly file: string;
  readonly input: Uint8Array;
  readonly start: number;
  readonly output: Uint8Array;
  readonly outStart: number;
  readonly outEnd: number;
};

/*
 * A chunk:
 *   00                                        end of the block
 *   01 | 02          size-1 (be16)  bytes     stored; 01 resets the dictionary
 *   1RRSSSSS ssss    csize-1 (be16) [props]   LZMA of SSSSSssss + 1 bytes from csize bytes;
 *                                             RR = 1 resets the state, 2 and new props, 3 and the dictionary
 */
type Chunk = {
  readonly end: number;
  readonly data: number;
  readonly size: number;
  readonly lzma: boolean;
  readonly reset: 'none' | 'state' | 'props' | 'dict';
};

/** Walks the chunk headers from `start`, without decoding, and checks that they may follow each other. Throws FormatError. */
export function measureLzma2(input: Uint8Array, start: number, file: string): Lzma2Extent {
  let position = start;
  let size = 0;
  let needs: Chunk['reset'] = 'dict';
  for (;;) {
    const chunk = readChunk(input, position, file);
    if (chunk === undefined) return { end: position + 1, size };
    if (needs === 'dict' && chunk.reset !== 'dict') throw damaged(file, position, 'a chunk that resets the dictionary', input[position]);
    if (chunk.reset === 'dict') needs = 'props';
    if (chunk.lzma) {
      if (needs === 'props' && chunk.reset !== 'props' && chunk.reset !== 'dict') {
        throw damaged(file, position, 'a chunk with new properties', input[position]);
      }
      needs = 'none';
    }
    size += chunk.size;
    position = chunk.end;
  }
}

/** Decodes a block that measureLzma2 has accepted and whose size it gave. Throws FormatError. */
export function decodeLzma2(block: Lzma2Block): void {
  const { file, input, output, outEnd } = block;
  const lzma = newLzmaState();
  let position = block.start;
  let out = block.outStart;
  let dictStart = out;
  for (;;) {
    const chunk = readChunk(input, position, file);
    if (chunk === undefined) return;
    const end = out + chunk.size;
    if (end > outEnd) throw damaged(file, position, `no more than ${outEnd - out} bytes of data`, chunk.size);
    if (chunk.reset === 'dict') dictStart = out;
    if (chunk.lzma) {
      if (chunk.reset === 'props' || chunk.reset === 'dict') setProperties(lzma, input, chunk.data - 1, file);
      if (chunk.reset !== 'none') resetLzmaState(lzma);
      decodeLzmaChunk(lzma, { file, input, start: chunk.data, end: chunk.end, output, outStart: out, outEnd: end, dictStart });
    } else {
      output.set(input.subarray(chunk.data, chunk.end), out);
    }
    out = end;
    position = chunk.end;
  }
}

/** The chunk at `position`, or undefined for the mark that ends the block. */
function readChunk(input: Uint8Array, position: number, file: string): Chunk | undefined {
  const control = input[position];
  if (control === 0) return undefined;
  if (control === undefined) throw damaged(file, position, 'an LZMA2 chunk', undefined);
  if (control > 2 && control < 0x80) throw damaged(file, position, 'an LZMA2 control byte', control);
  const lzma = control >= 0x80;
  const level = lzma ? (control >> 5) & 3 : 0;
  const reset = level === 3 || control === 1 ? 'dict' : level === 2 ? 'props' : level === 1 ? 'state' : 'none';
  const data = position + (!lzma ? 3 : level >= 2 ? 6 : 5);
  const low = be16(input, position + 1) + 1;
  const size = lzma ? ((control & 0x1f) << 16) + low : low;
  const end = data + (lzma ? be16(input, position + 3) + 1 : low);
  if (end > input.length) throw damaged(file, position, `a chunk up to offset ${end}`, `the end at ${input.length}`);
  return { end, data, size, lzma, reset };
}

/** The byte `(pb * 5 + lp) * 9 + lc`. */
function setProperties(lzma: LzmaState, input: Uint8Array, position: number, file: string): void {
  const byte = input[position] ?? 0xff;
  const lc = byte % 9;
  const lp = Math.trunc(byte / 9) % 5;
  const pb = Math.trunc(byte / 45);
  if (pb > 4 || lc + lp > LCLP_MAX) throw damaged(file, position, 'LZMA properties with lc + lp <= 4 and pb <= 4', byte);
  lzma.literalContextBits = lc;
  lzma.literalPositionMask = (1 << lp) - 1;
  lzma.positionMask = (1 << pb) - 1;
}

function be16(input: Uint8Array, position: number): number {
  return ((input[position] ?? 0) << 8) | (input[position + 1] ?? 0);
}

function damaged(file: string, offset: number, expected: string, actual: number | string | undefined): FormatError {
  return new FormatError({ file, offset, expected, actual: actual === undefined ? 'the end of the data' : String(actual) });
}
