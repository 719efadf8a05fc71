// The cpio "newc" archive: what the kernel unpacks as an initramfs. Writes deterministic segments and reads them back.

import { FormatError, LimitError } from '../errors.ts';
import { memorySource } from './byte-source.ts';
import { checkCpioSum, CPIO_HEADER_SIZE, CPIO_TRAILER, CpioReader } from './cpio-reader.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFMT } from './stat-mode.ts';

export { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from './stat-mode.ts';

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

/**
 * Every segment ends on this boundary. A segment that starts off a 4-byte boundary is dropped by the kernel
 * without a word when the one before it is compressed; 512 is also what cpio(1) writes.
 */
export const CPIO_BLOCK = 512;

const MAX_CPIO_ENTRIES = 1_000_000;
const MAX_CPIO_FILE = 0xffff_ffff;

/**
 * The members as one segment: sorted by path, parents added where they are missing, inode numbers from 1, every time 0.
 * Of two members with one path the later one wins, as it does when the kernel unpacks them.
 */
export function formatCpio(entries: Iterable<CpioEntry>): Buffer {
  return Buffer.concat([...cpioChunks<never>(entries)].filter((chunk) => chunk instanceof Uint8Array));
}

/** As formatCpio, in pieces, of any time. A member given by reference comes out as the reference itself, in the place of its contents. */
export function* cpioChunks<From>(
  entries: Iterable<CpioEntry | CpioReference<From>>, mtime = 0,
): Generator<Uint8Array | CpioReference<From>> {
  let offset = 0;
  let ino = 0;
  for (const entry of sortedWithParents(entries)) {
    const size = 'from' in entry ? entry.size : entry.data?.length ?? 0;
    const header = formatHeader(entry, ++ino, size, mtime);
    yield header;
    if ('from' in entry) yield entry;
    else if (entry.data && size > 0) yield entry.data;
    const padding = Buffer.alloc(paddingTo(4, size));
    if (padding.length > 0) yield padding;
    offset += header.length + size + padding.length;
  }
  const trailer = formatHeader({ path: CPIO_TRAILER, mode: 0 }, 0, 0);
  yield trailer;
  yield Buffer.alloc(paddingTo(CPIO_BLOCK, offset + trailer.length));
}

/**
 * The members of all segments in `bytes`, in their order; `file` names it in errors. Accepts zero padding between segments, as
 * the kernel does, and checks the sums of the "crc" variant (070702). Paths hold no `..`, no NUL and no leading slash.
 * Format: Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function parseCpio(bytes: Uint8Array, file = 'cpio archive'): ParsedCpioEntry[] {
  const reader = new CpioReader(memorySource(bytes, file));
  const entries: ParsedCpioEntry[] = [];
  while (reader.skipZeros()) {
    for (let member = reader.member(); member !== undefined; member = reader.member()) {
      const { path, mode, ino, uid, gid, nlink, mtime, rdev, dataAt, size, headerAt } = member;
      checkPath(path, file, headerAt + CPIO_HEADER_SIZE);
      const data = bytes.subarray(dataAt, dataAt + size);
      checkCpioSum(member, data, file);
      if (entries.length >= MAX_CPIO_ENTRIES) throw new LimitError({ file, limit: 'MAX_CPIO_ENTRIES', maximum: MAX_CPIO_ENTRIES });
      entries.push({ path, mode, data, ino, uid, gid, nlink, mtime, ...(isDevice(mode) ? { rdev } : {}) });
    }
  }
  return entries;
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
function formatHeader(entry: CpioAttributes, ino: number, size: number, mtime = 0): Buffer {
  const { path, mode, rdev } = entry;
  if (size > MAX_CPIO_FILE) throw new LimitError({ file: path, limit: 'MAX_CPIO_FILE', maximum: MAX_CPIO_FILE, actual: size });
  const name = Buffer.from(path);
  const nlink = (mode & S_IFMT) === S_IFDIR ? 2 : 1;
  const fields = [ino, mode, 0, 0, nlink, mtime, size, 0, 0, rdev?.major ?? 0, rdev?.minor ?? 0, name.length + 1, 0];
  const end = CPIO_HEADER_SIZE + name.length + 1;
  const header = Buffer.alloc(end + paddingTo(4, end));
  header.write('070701' + fields.map((field) => field.toString(16).padStart(8, '0')).join(''), 'latin1');
  name.copy(header, CPIO_HEADER_SIZE);
  return header;
}

function checkPath(path: string, file: string, offset: number): void {
  const parts = path.split('/');
  if (path !== '' && path !== CPIO_TRAILER && !path.startsWith('/') && !path.includes('\0') && !parts.includes('..')) return;
  throw new FormatError({ file, offset, expected: 'a relative path without ".."', actual: JSON.stringify(path) });
}

function isDevice(mode: number): boolean {
  return (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === S_IFBLK;
}

function paddingTo(boundary: number, length: number): number {
  return (boundary - (length % boundary)) % boundary;
}
