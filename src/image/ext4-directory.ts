// Directories of ext4: their names and inode numbers, out of linear, indexed and inline ones.

import { LimitError, UnsupportedError } from '../errors.ts';
import { bufferView } from './buffer-view.ts';
import { crc32c } from './crc32c.ts';
import { compareNames, decodeName } from './entry-name.ts';
import { blockRuns } from './ext4-blocks.ts';
import { inlineParts } from './ext4-inline.ts';
import { EXT4_CASEFOLD_FL, EXT4_ENCRYPT_FL, EXT4_INDEX_FL, EXT4_INLINE_DATA_FL } from './ext4-volume.ts';
import type { Ext4Inode, Ext4Volume } from './ext4-volume.ts';

/** Inode numbers by name, in the order of the names' bytes. */
export type Ext4Directory = ReadonlyMap<string, number>;

/** Room for a million names, more than a directory of modules or firmware has by far. */
const MAX_DIRECTORY_SIZE = 64 * 1024 * 1024;

const ENTRY_HEADER_SIZE = 8;
/** An entry without a name whose file type is 0xde holds the checksum of its block. */
const TAIL_SIZE = 12;
const EXT4_FT_DIR_CSUM = 0xde;
/** The parent's number, before the entries. */
const INLINE_DOTDOT_SIZE = 4;
/** The fake entries `.` and `..`, and what the root of an index says of itself. */
const DX_ROOT_SIZE = 32;
const DX_NODE_SIZE = 8;
const DX_ENTRY_SIZE = 8;
const DX_TAIL_SIZE = 8;

/**
 * All names of a directory but `.` and `..`. The index of a large one is not used: its blocks look like empty ones, on purpose, and
 * all other blocks are wanted sooner or later. Throws FormatError, LimitError, and UnsupportedError for encrypted and case-folding ones.
 *
 * Layout: Documentation/filesystems/ext4/directory.rst.
 */
export function readExt4Directory(volume: Ext4Volume, inode: Ext4Inode): Ext4Directory {
  checkReadable(volume, inode);
  const numbers = new Map<string, number>();
  if ((inode.flags & EXT4_INLINE_DATA_FL) !== 0) {
    const [block, attribute] = inlineParts(volume, inode);
    readEntries(volume, { bytes: block.subarray(INLINE_DOTDOT_SIZE), offset: inode.offset + 0x28 + INLINE_DOTDOT_SIZE }, numbers);
    readEntries(volume, { bytes: attribute, offset: inode.offset }, numbers);
  } else {
    for (const block of directoryBlocks(volume, inode)) {
      if (volume.superblock.checksumSeed !== undefined) checkBlock(volume, inode, block);
      readEntries(volume, block, numbers);
    }
  }
  return new Map([...numbers].sort(([a], [b]) => compareNames(a, b)));
}

function checkReadable(volume: Ext4Volume, { flags, number }: Ext4Inode): void {
  const unread = (flags & EXT4_ENCRYPT_FL) !== 0 ? 'encrypted' : (flags & EXT4_CASEFOLD_FL) !== 0 ? 'case-folding' : undefined;
  if (unread === undefined) return;
  throw new UnsupportedError(`${volume.source.name}: the directory of inode ${number} is ${unread}, which is not read here; mount the image instead`);
}

/** Bytes and where they are in the image; `index` counts the blocks of a directory. */
type Piece = { readonly bytes: Buffer; readonly offset: number; readonly index?: number };

function* directoryBlocks(volume: Ext4Volume, inode: Ext4Inode): Generator<Piece> {
  const { source, superblock: { blockSize } } = volume;
  if (inode.size > MAX_DIRECTORY_SIZE) {
    throw new LimitError({ file: source.name, limit: 'MAX_DIRECTORY_SIZE', maximum: MAX_DIRECTORY_SIZE, actual: inode.size });
  }
  const count = inode.size / blockSize;
  const runs = blockRuns(volume, inode, 0, Math.ceil(count));
  const mapped = runs.reduce((sum, run) => sum + Math.max(0, Math.min(run.count, count - run.logical)), 0);
  if (mapped !== count) throw volume.error(inode.offset + 0x4, `a directory of ${mapped} blocks of ${blockSize}`, `${inode.size} bytes`);
  for (const run of runs) {
    for (let index = run.logical; index < Math.min(run.logical + run.count, count); index += 1) {
      const offset = (run.physical + index - run.logical) * blockSize;
      yield { bytes: bufferView(source.read(offset, blockSize)), offset, index };
    }
  }
}

/** Blocks of an index and blocks of entries have their checksums in different places. */
function checkBlock(volume: Ext4Volume, inode: Ext4Inode, block: Piece): void {
  const { bytes, offset, index } = block;
  if ((inode.flags & EXT4_INDEX_FL) !== 0) {
    const isNode = bytes.readUInt32LE(0) === 0 && recordLength(bytes, 0) === bytes.length;
    if (index === 0 || isNode) return checkIndexBlock(volume, inode, block, index === 0 ? DX_ROOT_SIZE : DX_NODE_SIZE);
  }
  const tail = bytes.length - TAIL_SIZE;
  if (bytes.readUInt32LE(tail) !== 0 || bytes.readUInt16LE(tail + 4) !== TAIL_SIZE || bytes[tail + 7] !== EXT4_FT_DIR_CSUM) {
    throw volume.error(offset + tail, 'the checksum of a directory', 'something else');
  }
  volume.checkSum(offset + tail + 8, bytes.readUInt32LE(tail + 8), crc32c(inode.checksumSeed, bytes.subarray(0, tail)));
}

/** The index has room for `limit` entries and uses `count`; the checksum is over these, and follows the room. */
function checkIndexBlock(volume: Ext4Volume, inode: Ext4Inode, { bytes, offset }: Piece, start: number): void {
  const limit = bytes.readUInt16LE(start);
  const count = bytes.readUInt16LE(start + 2);
  const tail = start + limit * DX_ENTRY_SIZE;
  if (count > limit || tail + DX_TAIL_SIZE > bytes.length) throw volume.error(offset + start, 'an index inside its block', `${count} of ${limit}`);
  const used = crc32c(inode.checksumSeed, bytes.subarray(0, start + count * DX_ENTRY_SIZE));
  const computed = crc32c(crc32c(used, bytes.subarray(tail, tail + 4)), Buffer.alloc(4));
  volume.checkSum(offset + tail + 4, bytes.readUInt32LE(tail + 4), computed);
}

/** `inode 4 | record length 2 | name length 1 | file type 1 | name | pad to 4`. Without an inode, an entry is a gap. */
function readEntries(volume: Ext4Volume, { bytes, offset }: Piece, numbers: Map<string, number>): void {
  const file = volume.source.name;
  const { inodesCount } = volume.superblock;
  for (let at = 0; at < bytes.length;) {
    const left = bytes.length - at;
    const length = left < ENTRY_HEADER_SIZE ? 0 : recordLength(bytes, at);
    const nameLength = bytes[at + 6] ?? 0;
    const number = length === 0 ? 0 : bytes.readUInt32LE(at);
    if (length < ENTRY_HEADER_SIZE || length > left || length % 4 !== 0 || (number !== 0 && ENTRY_HEADER_SIZE + nameLength > length)) {
      throw volume.error(offset + at, 'an entry inside its directory', `one of ${length} bytes`);
    }
    if (number !== 0) {
      const name = bytes.subarray(at + ENTRY_HEADER_SIZE, at + ENTRY_HEADER_SIZE + nameLength);
      if (!isDots(name)) {
        if (number > inodesCount) throw volume.error(offset + at, `an inode up to ${inodesCount}`, `${number}`);
        const decoded = decodeName(name, file, offset + at + ENTRY_HEADER_SIZE);
        // The first one wins, as it does in the kernel.
        if (!numbers.has(decoded)) numbers.set(decoded, number);
      }
    }
    at += length;
  }
}

function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

/** Blocks of 64 KiB do not fit into 16 bits: their two lowest bits, always 0 otherwise, are the highest. */
function recordLength(bytes: Buffer, at: number): number {
  const stored = bytes.readUInt16LE(at + 4);
  if (bytes.length < 0x1_0000) return stored;
  return stored === 0xffff || stored === 0 ? 0x1_0000 : (stored & 0xfffc) | ((stored & 3) << 16);
}
