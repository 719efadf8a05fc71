// The header block of a member of a tar archive.

import { FormatError } from '../errors.ts';
import { decodeBytes } from './entry-name.ts';

export type TarHeader = {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** '0' for a file, also in the oldest format, which has NUL. */
  readonly type: string;
  readonly link: string;
};

export const TAR_BLOCK = 512;

/*
 * Numbers are octal text, or, where the first bit is set, binary, big-endian:
 *
 *   0 name: 100 | 100 mode: 8 | 108 uid: 8 | 116 gid: 8 | 124 size: 12 | 136 mtime: 12 | 148 checksum: 8 | 156 type: 1 | 157 link: 100
 *   257 magic: "ustar" NUL "00", or "ustar  " NUL of GNU | 265 user: 32 | 297 group: 32 | 329 devices: 16 | 345 prefix of the name: 155, not with GNU
 *
 * The checksum is the sum of all bytes, its own field as spaces. Source: pax(1), tar(5).
 */
const CHECKSUM = { at: 148, length: 8 };
const SPACE = 0x20;

/** The header in a block; undefined for a block of zeros, which ends the archive. Throws FormatError. */
export function parseTarHeader(block: Uint8Array, file: string, offset: number): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const stored = numberAt(block, CHECKSUM.at, CHECKSUM.length);
  if (stored !== checksumOf(block)) throw new FormatError({ file, offset: offset + CHECKSUM.at, expected: `the checksum of the header, ${checksumOf(block).toString(8)}`, actual: `${stored?.toString(8) ?? 'no number'}` });
  const number = (at: number, length: number, what: string): number => {
    const value = numberAt(block, at, length);
    if (value !== undefined && Number.isSafeInteger(value) && (value >= 0 || what === 'time')) return value;
    throw new FormatError({ file, offset: offset + at, expected: `a ${what}`, actual: value === undefined ? 'no number' : `${value}` });
  };
  const name = text(block, 0, 100);
  const prefix = text(block, 257, 8) === 'ustar' ? text(block, 345, 155) : '';
  const type = block[156] ?? 0;
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(100, 8, 'mode'),
    uid: number(108, 8, 'user'),
    gid: number(116, 8, 'group'),
    size: number(124, 12, 'size'),
    mtime: number(136, 12, 'time'),
    type: type === 0 ? '0' : String.fromCharCode(type),
    link: text(block, 157, 100),
  };
}

function checksumOf(block: Uint8Array): number {
  let sum = CHECKSUM.length * SPACE;
  for (let index = 0; index < TAR_BLOCK; index++) {
    if (index < CHECKSUM.at || index >= CHECKSUM.at + CHECKSUM.length) sum += block[index] ?? 0;
  }
  return sum;
}

function text(block: Uint8Array, at: number, length: number): string {
  const bytes = block.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return decodeBytes(end < 0 ? bytes : bytes.subarray(0, end));
}

/** An empty field is 0. undefined for what is no number. */
function numberAt(block: Uint8Array, at: number, length: number): number | undefined {
  const field = block.subarray(at, at + length);
  const first = field[0] ?? 0;
  if (first < 0x80) {
    const digits = String.fromCharCode(...field).replace(/\0.*$/s, '').trim();
    if (digits === '') return 0;
    return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
  }
  // 0x80 begins a positive number, 0xff a negative one in two's complement.
  let value = (first & 0x40) === 0 ? first & 0x3f : (first & 0x7f) - 0x80;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return value;
}
