// The records of a pax header: keywords and values that replace fields of the headers after it.

import { FormatError } from '../errors.ts';
import { decodeBytes } from './entry-name.ts';

/** By keyword. An empty value takes back what a global header said. */
export type PaxRecords = ReadonlyMap<string, string>;

/** The keywords that are of use to us; all that begin with GNU.sparse. are kept as GNU_SPARSE. */
const KEYWORDS = new Set(['path', 'linkpath', 'size', 'uid', 'gid', 'mtime']);
export const GNU_SPARSE = 'GNU.sparse';

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;
/** Digits of a length: far more than a header may have. */
const MAX_DIGITS = 8;

/**
 * The records that are of use to us: each is its own length in decimal, a space, `keyword=value`, a newline. `at` is where the bytes are in `file`. Throws FormatError. Source: pax(1), "pax Header Block".
 */
export function parsePax(bytes: Uint8Array, file: string, at: number): PaxRecords {
  const records = new Map<string, string>();
  for (let start = 0; start < bytes.length; ) {
    const space = bytes.indexOf(SPACE, start);
    const digits = space < 0 || space - start > MAX_DIGITS ? '' : String.fromCharCode(...bytes.subarray(start, space));
    const end = start + Number(digits);
    const equals = bytes.indexOf(EQUALS, space);
    if (!/^[0-9]+$/.test(digits) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== NEWLINE) {
      throw new FormatError({ file, offset: at + start, expected: 'a pax record', actual: JSON.stringify(decodeBytes(bytes.subarray(start, start + 40))) });
    }
    const value = decodeBytes(bytes.subarray(equals + 1, end - 1));
    const key = decodeBytes(bytes.subarray(space + 1, equals));
    if (KEYWORDS.has(key)) records.set(key, value);
    else if (key.startsWith(`${GNU_SPARSE}.`)) records.set(GNU_SPARSE, value);
    start = end;
  }
  return records;
}
