// The cpio "newc" archive: what the kernel unpacks as an initramfs. Writes deterministic segments and reads them back.

import { FormatError, LimitError } from '../errors.ts';

/** One member whose contents are in memory. */
export type CpioEntry = CpioAttributes & {
  /** The contents of a file, the target of a symbolic link; absent for everything else. */
  readonly data?: Uint8Array;
};

/** One member whose contents the consumer of the chunks writes itself: `size` bytes of `from`. */
export type CpioReference<From> = CpioAttributes & { readonly size: number; readonly from: From };

export type CpioAttributes = {
  /** Relative to the root of the archive, without a leading slash. */
  readonly path: string;
  /** Type and permission bits, as st_mode has them. */
  readonly mode: number;
  /** Device number of a character or block device. */
  readonly rdev?: DeviceNumber;
};

export type DeviceNumber = { readonly major: number; readonly minor: number };

/** A member as parseCpio gives it. */
export type ParsedCpioEntry = CpioAttributes & {
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** A view of the archive, not a copy. */
  readonly data: Uint8Array;
};

/** sys/stat.h: the type bits of st_mode. */
export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

/**
 * Every segment ends on this boundary. A segment that starts off a 4-byte boundary is dropped by the kernel
 * without a word when the one before it is compressed; 512 is also what cpio(1) writes.
 */
export const CPIO_BLOCK = 512;

const MAX_CPIO_ENTRIES = 1_000_000;
/** linux/limits.h: PATH_MAX, with its NUL. */
const MAX_CPIO_NAME = 4096;
const MAX_CPIO_FILE = 0xffff_ffff;

const HEADER_SIZE = 110;
const TRAILER = 'TRAILER!!!';

/**
 * The members as one segment: sorted by path, parents added where they are missing, inode numbers from 1, every time 0.
 * Of two members with one path the later one wins, as it does when the kernel unpacks them.
 */
export function formatCpio(entries: Iterable<CpioEntry>): Buffer {
  return Buffer.concat([...cpioChunks<never>(entries)].filter((chunk) => chunk instanceof Uint8Array));
}

/** As formatCpio, in pieces. A member given by reference comes out as the reference itself, in the place of its contents. */
export function* cpioChunks<From>(
  entries: Iterable<CpioEntry | CpioReference<From>>,
): Generator<Uint8Array | CpioReference<From>> {
  let offset = 0;
  let ino = 0;
  for (const entry of sortedWithParents(entries)) {
    const size = 'from' in entry ? entry.size : entry.data?.length ?? 0;
    const header = formatHeader(entry, ++ino, size);
    yield header;
    if ('from' in entry) yield entry;
    else if (entry.data && size > 0) yield entry.data;
    const padding = Buffer.alloc(paddingTo(4, size));
    if (padding.length > 0) yield padding;
    offset += header.length + size + padding.length;
  }
  const trailer = formatHeader({ path: TRAILER, mode: 0 }, 0, 0);
  yield trailer;
  yield Buffer.alloc(paddingTo(CPIO_BLOCK, offset + trailer.length));
}

/**
 * The members of all segments in `bytes`, in their order; `file` names it in errors. Accepts zero padding between segments, as
 * the kernel does, and checks the sums of the "crc" variant (070702). Paths hold no `..`, no NUL and no leading slash.
 * Format: Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function parseCpio(bytes: Uint8Array, file = 'cpio archive'): ParsedCpioEntry[] {
  const reader = new Reader(bytes, file);
  const entries: ParsedCpioEntry[] = [];
  let inSegment = false;
  for (;;) {
    if (!inSegment) {
      if (!reader.skipZeros()) return entries;
      inSegment = true;
    }
    const entry = reader.entry();
    if (entry === undefined) {
      inSegment = false;
      continue;
    }
    if (entries.length >= MAX_CPIO_ENTRIES) {
      throw new LimitError({ file, limit: 'MAX_CPIO_ENTRIES', maximum: MAX_CPIO_ENTRIES });
    }
    entries.push(entry);
  }
}

function sortedWithParents<From>(entries: Iterable<CpioEntry | CpioReference<From>>): (CpioEntry | CpioReference<From>)[] {
  const byPath = new Map<string, CpioEntry | CpioReference<From>>();
  for (const entry of entries) {
    checkPath(entry.path, 'cpio member', 0);
    byPath.set(entry.path, entry);
  }
  for (const path of byPath.keys()) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      if (byPath.has(parent)) break;
      byPath.set(parent, { path: parent, mode: S_IFDIR | 0o755 });
    }
  }
  // A parent is a prefix of its children, so any order of strings puts it first.
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/**
 * ```
 * magic 6 | ino 8 | mode 8 | uid 8 | gid 8 | nlink 8 | mtime 8 | filesize 8 | dev major 8 | dev minor 8
 *         | rdev major 8 | rdev minor 8 | namesize 8 (with its NUL) | check 8 | name NUL | pad to 4 | data | pad to 4
 * ```
 * All numbers are hexadecimal text.
 */
function formatHeader(entry: CpioAttributes, ino: number, size: number): Buffer {
  const { path, mode, rdev } = entry;
  if (size > MAX_CPIO_FILE) throw new LimitError({ file: path, limit: 'MAX_CPIO_FILE', maximum: MAX_CPIO_FILE, actual: size });
  const name = Buffer.from(path);
  const nlink = (mode & S_IFMT) === S_IFDIR ? 2 : 1;
  const fields = [ino, mode, 0, 0, nlink, 0, size, 0, 0, rdev?.major ?? 0, rdev?.minor ?? 0, name.length + 1, 0];
  const end = HEADER_SIZE + name.length + 1;
  const header = Buffer.alloc(end + paddingTo(4, end));
  header.write('070701' + fields.map((field) => field.toString(16).padStart(8, '0')).join(''), 'latin1');
  name.copy(header, HEADER_SIZE);
  return header;
}

class Reader {
  private readonly bytes: Buffer;
  private readonly file: string;
  private offset = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.file = file;
  }

  /** False at the end of the archive. */
  skipZeros(): boolean {
    while (this.offset < this.bytes.length && this.bytes[this.offset] === 0) this.offset++;
    return this.offset < this.bytes.length;
  }

  /** The next member, or undefined after the trailer of a segment. */
  entry(): ParsedCpioEntry | undefined {
    const start = this.offset;
    const magic = this.take(HEADER_SIZE, 'a cpio header').toString('latin1', 0, 6);
    if (magic !== '070701' && magic !== '070702') throw this.error(start, 'the magic 070701 or 070702', JSON.stringify(magic));
    const field = (index: number): number => this.hex(start + 6 + index * 8);
    const mode = field(1);
    const size = field(6);
    const nameSize = field(11);
    if (nameSize < 2 || nameSize > MAX_CPIO_NAME) throw this.error(start + 94, `a name of 2 to ${MAX_CPIO_NAME} bytes`, `${nameSize}`);
    const name = this.take(nameSize, 'a name');
    if (name.indexOf(0) !== nameSize - 1) throw this.error(start + HEADER_SIZE, 'one NUL at the end of the name', 'none or more');
    const path = name.toString('utf8', 0, nameSize - 1);
    this.align(start);
    const dataAt = this.offset;
    const data = this.take(size, `${size} bytes of ${JSON.stringify(path)}`);
    this.align(start);
    if (path === TRAILER) return undefined;
    checkPath(path, this.file, start + HEADER_SIZE);
    // cpio(1) sums up files only; the kernel, too, checks nothing else.
    if (magic === '070702' && (mode & S_IFMT) === S_IFREG) this.checkSum(data, field(12), dataAt);
    return {
      path, mode, data, ino: field(0), uid: field(2), gid: field(3), nlink: field(4), mtime: field(5),
      ...(isDevice(mode) ? { rdev: { major: field(9), minor: field(10) } } : {}),
    };
  }

  private take(length: number, expected: string): Buffer {
    const left = this.bytes.length - this.offset;
    if (length > left) throw this.error(this.offset, expected, `the end of the archive after ${left} bytes`);
    this.offset += length;
    return this.bytes.subarray(this.offset - length, this.offset);
  }

  /** Padding is to 4 bytes, counted from the header. The last one may be cut off. */
  private align(start: number): void {
    this.offset = Math.min(this.offset + paddingTo(4, this.offset - start), this.bytes.length);
  }

  private hex(at: number): number {
    const text = this.bytes.toString('latin1', at, at + 8);
    if (!/^[0-9A-Fa-f]{8}$/.test(text)) throw this.error(at, 'eight hexadecimal digits', JSON.stringify(text));
    return Number.parseInt(text, 16);
  }

  private checkSum(data: Uint8Array, expected: number, offset: number): void {
    let sum = 0;
    for (const byte of data) sum = (sum + byte) >>> 0;
    if (sum !== expected) throw this.error(offset, `a sum of ${expected}`, `${sum}`);
  }

  private error(offset: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.file, offset, expected, actual });
  }
}

function checkPath(path: string, file: string, offset: number): void {
  const parts = path.split('/');
  if (path !== '' && path !== TRAILER && !path.startsWith('/') && !path.includes('\0') && !parts.includes('..')) return;
  throw new FormatError({ file, offset, expected: 'a relative path without ".."', actual: JSON.stringify(path) });
}

function isDevice(mode: number): boolean {
  return (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === S_IFBLK;
}

function paddingTo(boundary: number, length: number): number {
  return (boundary - (length % boundary)) % boundary;
}
