// The directories of erofs: blocks of entries, each block with its names behind them.

import { FormatError } from '../errors.ts';
import { decodeName } from './entry-name.ts';

/** By name: the number of the inode. */
export type ErofsDirectory = ReadonlyMap<string, number>;

/*
 * A block: entries of 12 bytes, then their names without separators, the last one up to the block's end or a NUL.
 *
 *   0 nid: 64 | 8 nameoff: 16, in the block | 10 file_type: 8 | 11 reserved
 *
 * The first nameoff is where the names start, and so tells the number of entries. Source: linux/fs/erofs/dir.c.
 */
const DIRENT_SIZE = 12;

/** All entries but `.` and `..`, in their order, which is that of their bytes. `at` is where `bytes` are in `file`. Throws FormatError. */
export function parseErofsDirectory(bytes: Uint8Array, options: { readonly blockSize: number; readonly file: string; readonly at: number }): ErofsDirectory {
  const { blockSize, file, at } = options;
  const entries = new Map<string, number>();
  for (let start = 0; start < bytes.length; start += blockSize) {
    parseBlock(bytes.subarray(start, start + blockSize), entries, file, at + start);
  }
  return entries;
}

function parseBlock(block: Uint8Array, entries: Map<string, number>, file: string, at: number): void {
  const damaged = (offset: number, expected: string, actual: string) => new FormatError({ file, offset: at + offset, expected, actual });
  if (block.length < DIRENT_SIZE) throw damaged(0, 'an entry of a directory', `${block.length} bytes`);
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const names = view.getUint16(8, true);
  if (names < DIRENT_SIZE || names > block.length || names % DIRENT_SIZE !== 0) throw damaged(8, 'where the names of the block start', `${names}`);
  for (let entry = 0; entry < names; entry += DIRENT_SIZE) {
    const start = view.getUint16(entry + 8, true);
    const last = entry + DIRENT_SIZE === names;
    const end = last ? endOfLast(block, start) : view.getUint16(entry + DIRENT_SIZE + 8, true);
    if (start < names || end < start || end > block.length) throw damaged(entry + 8, 'a name inside the block', `${start} to ${end}`);
    const bytes = block.subarray(start, end);
    if (isDots(bytes)) continue;
    const name = decodeName(bytes, file, at + start);
    if (entries.has(name)) throw damaged(start, 'each name once', JSON.stringify(name));
    entries.set(name, view.getUint32(entry, true) + view.getUint32(entry + 4, true) * 2 ** 32);
  }
}

function endOfLast(block: Uint8Array, start: number): number {
  const end = block.indexOf(0, start);
  return end < 0 ? block.length : end;
}

/** `.` or `..` */
function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}
