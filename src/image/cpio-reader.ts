// The headers of a cpio "newc" archive, read one after the other from any source: names, attributes and where the contents are.

import { FormatError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { DeviceNumber } from './cpio.ts';
import { decodeBytes } from './entry-name.ts';
import { S_IFMT, S_IFREG } from './stat-mode.ts';

/** A member of a segment. */
export type CpioMember = {
  /** As the archive has it. */
  readonly path: string;
  /** Type and permission bits, as st_mode has them. */
  readonly mode: number;
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Of the file system that the member comes from: inode numbers are its own. */
  readonly dev: DeviceNumber;
  /** Of a device node. */
  readonly rdev: DeviceNumber;
  readonly headerAt: number;
  readonly dataAt: number;
  readonly size: number;
  /** Of the variant "crc" (070702): the sum of the bytes of a file. */
  readonly sum: number | undefined;
};

export const CPIO_HEADER_SIZE = 110;
export const CPIO_TRAILER = 'TRAILER!!!';
/** linux/limits.h: PATH_MAX, with its NUL. */
const MAX_CPIO_NAME = 4096;
/** Zeros are looked for in pieces of this size. */
const ZEROS_AT_ONCE = 4096;

/** Reads members in their order. Nothing but headers and names is read. Everything throws FormatError. */
export class CpioReader {
  readonly #source: ByteSource;
  #offset: number;

  constructor(source: ByteSource, offset = 0) {
    this.#source = source;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Goes on to the next byte that is not zero. False at the end of the archive. */
  skipZeros(): boolean {
    const { size } = this.#source;
    while (this.#offset < size) {
      const bytes = this.#source.read(this.#offset, Math.min(ZEROS_AT_ONCE, size - this.#offset));
      const found = bytes.findIndex((byte) => byte !== 0);
      this.#offset += found < 0 ? bytes.length : found;
      if (found >= 0) return true;
    }
    return false;
  }

  /** The next member, or undefined after the trailer of a segment. */
  member(): CpioMember | undefined {
    const start = this.#offset;
    const header = this.#take(CPIO_HEADER_SIZE, 'a cpio header').toString('latin1');
    const magic = header.slice(0, 6);
    if (magic !== '070701' && magic !== '070702') throw this.#error(start, 'the magic 070701 or 070702', JSON.stringify(magic));
    const field = (index: number): number => this.#hex(header, start, 6 + index * 8);
    const mode = field(1);
    const size = field(6);
    const nameSize = field(11);
    if (nameSize < 2 || nameSize > MAX_CPIO_NAME) throw this.#error(start + 94, `a name of 2 to ${MAX_CPIO_NAME} bytes`, `${nameSize}`);
    const name = this.#take(nameSize, 'a name');
    if (name.indexOf(0) !== nameSize - 1) throw this.#error(start + CPIO_HEADER_SIZE, 'one NUL at the end of the name', 'none or more');
    const path = decodeBytes(name.subarray(0, nameSize - 1));
    this.#align(start);
    const dataAt = this.#offset;
    this.#skip(size, `${size} bytes of ${JSON.stringify(path)}`);
    this.#align(start);
    if (path === CPIO_TRAILER) return undefined;
    return {
      path, mode, size, dataAt, headerAt: start, ino: field(0), uid: field(2), gid: field(3), nlink: field(4), mtime: field(5),
      dev: { major: field(7), minor: field(8) }, rdev: { major: field(9), minor: field(10) },
      // cpio(1) sums up files only; the kernel, too, checks nothing else.
      sum: magic === '070702' && (mode & S_IFMT) === S_IFREG ? field(12) : undefined,
    };
  }

  #take(length: number, expected: string): Buffer {
    const at = this.#offset;
    this.#skip(length, expected);
    const bytes = this.#source.read(at, length);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #skip(length: number, expected: string): void {
    const left = this.#source.size - this.#offset;
    if (length > left) throw this.#error(this.#offset, expected, `the end of the archive after ${left} bytes`);
    this.#offset += length;
  }

  /** Padding is to 4 bytes, counted from the header. The last one may be cut off. */
  #align(start: number): void {
    this.#offset = Math.min(this.#offset + ((4 - ((this.#offset - start) % 4)) % 4), this.#source.size);
  }

  #hex(header: string, start: number, at: number): number {
    const text = header.slice(at, at + 8);
    if (!/^[0-9A-Fa-f]{8}$/.test(text)) throw this.#error(start + at, 'eight hexadecimal digits', JSON.stringify(text));
    return Number.parseInt(text, 16);
  }

  #error(offset: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.#source.name, offset, expected, actual });
  }
}

/** Throws FormatError where the member has a sum and the contents do not. */
export function checkCpioSum(member: Pick<CpioMember, 'sum' | 'dataAt'>, data: Uint8Array, file: string): void {
  if (member.sum === undefined) return;
  let sum = 0;
  for (const byte of data) sum = (sum + byte) >>> 0;
  if (sum !== member.sum) throw new FormatError({ file, offset: member.dataAt, expected: `a sum of ${member.sum}`, actual: `${sum}` });
}
