// Which blocks of an ext4 image a file's blocks are: extent trees, and the block maps of ext2 and ext3.

import { crc32c } from './crc32c.ts';
import { EXT4_EXTENTS_FL } from './ext4-volume.ts';
import type { Ext4Inode, Ext4Volume } from './ext4-volume.ts';

/** Blocks of a file, counted from its start, that lie one after another in the image. */
export type BlockRun = { readonly logical: number; readonly physical: number; readonly count: number };

const EXT4_EXT_MAGIC = 0xf30a;
const EXTENT_HEADER_SIZE = 12;
const EXTENT_SIZE = 12;
/** fs/ext4/ext4_extents.h: EXT4_MAX_EXTENT_DEPTH. */
const MAX_EXTENT_DEPTH = 5;
/** fs/ext4/ext4_extents.h: EXT_INIT_MAX_LEN; a longer one is allocated and not yet written, so that it reads as zeros. */
const EXT_INIT_MAX_LEN = 0x8000;
/** Logical blocks have 32 bits. */
const MAX_LOGICAL_BLOCKS = 2 ** 32;

const DIRECT_BLOCKS = 12;

/** What is asked for, and what has been found of it. */
type Search = { readonly volume: Ext4Volume; readonly inode: Ext4Inode; readonly first: number; readonly end: number; readonly runs: BlockRun[] };

/**
 * The runs that hold a file's blocks from `first` to `end`, in their order; what is between them reads as zeros. A run may begin before
 * `first` and end after `end` where the tree has it so. Throws FormatError.
 */
export function blockRuns(volume: Ext4Volume, inode: Ext4Inode, first: number, end: number): readonly BlockRun[] {
  const search: Search = { volume, inode, first, end, runs: [] };
  if ((inode.flags & EXT4_EXTENTS_FL) !== 0) searchExtents(search, { bytes: inode.block, offset: inode.offset + 0x28 });
  else searchBlockMap(search);
  return search.runs;
}

/** A node of an extent tree, the logical blocks that its parent leaves to it, and how far it is above the leaves. */
type ExtentNode = { readonly bytes: Buffer; readonly offset: number; readonly low?: number; readonly high?: number; readonly depth?: number };

/**
 * ```
 * header  magic 2 | entries 2 | max 2 | depth 2 | generation 4
 * index   logical block 4 | physical block, low 4 | high 2 | unused 2          where depth > 0
 * extent  logical block 4 | length 2 | physical block, high 2 | low 4          where depth = 0
 * ```
 * Entries have to be in order and inside what the parent says. So a block can be in a tree only once, and the walk ends.
 */
function searchExtents(search: Search, node: ExtentNode): void {
  const { volume, first, end } = search;
  const { bytes, offset, low = 0, high = MAX_LOGICAL_BLOCKS } = node;
  const { entries, depth } = readExtentHeader(volume, node);
  let previous = low;
  for (let index = 0; index < entries; index += 1) {
    const at = EXTENT_HEADER_SIZE + index * EXTENT_SIZE;
    const logical = bytes.readUInt32LE(at);
    const length = depth > 0 ? 1 : bytes.readUInt16LE(at + 4);
    const count = length > EXT_INIT_MAX_LEN ? length - EXT_INIT_MAX_LEN : length;
    if (logical < previous || count === 0 || logical + count > high) {
      throw volume.error(offset + at, `blocks of a file between ${previous} and ${high}`, `${count} from ${logical}`);
    }
    previous = logical + count;
    if (logical >= end) return;
    if (depth > 0) {
      const next = index + 1 < entries ? bytes.readUInt32LE(at + EXTENT_SIZE) : high;
      if (next <= first) continue;
      const child = bytes.readUInt32LE(at + 4) + bytes.readUInt16LE(at + 8) * 2 ** 32;
      searchExtents(search, {
        bytes: readExtentBlock(search, child, offset + at), offset: volume.position(child, 1, offset + at), low: logical, high: next, depth: depth - 1,
      });
    } else if (length <= EXT_INIT_MAX_LEN && previous > first) {
      const physical = bytes.readUInt32LE(at + 8) + bytes.readUInt16LE(at + 6) * 2 ** 32;
      addRun(search, { logical, physical, count }, offset + at);
    }
  }
}

/** The root may be empty, no other node is. */
function readExtentHeader(volume: Ext4Volume, node: ExtentNode): { readonly entries: number; readonly depth: number } {
  const { bytes, offset } = node;
  const [magic, entries, max, depth] = [0, 2, 4, 6].map((at) => bytes.readUInt16LE(at)) as [number, number, number, number];
  if (magic !== EXT4_EXT_MAGIC) throw volume.error(offset, `the magic of extents, ${EXT4_EXT_MAGIC}`, `${magic}`);
  if (depth > MAX_EXTENT_DEPTH || depth !== (node.depth ?? depth)) throw volume.error(offset + 6, 'the depth below its parent', `${depth}`);
  const capacity = Math.floor((bytes.length - EXTENT_HEADER_SIZE) / EXTENT_SIZE);
  if (entries > max || max > capacity || (entries === 0 && node.depth !== undefined)) {
    throw volume.error(offset + 2, `up to ${capacity} extents`, `${entries} of ${max}`);
  }
  return { entries, depth };
}

/** The checksum follows the last extent that there is room for. */
function readExtentBlock({ volume, inode }: Search, block: number, from: number): Buffer {
  const bytes = volume.block(block, from);
  if (volume.superblock.checksumSeed === undefined) return bytes;
  const tail = Math.min(EXTENT_HEADER_SIZE + bytes.readUInt16LE(4) * EXTENT_SIZE, bytes.length - 4);
  volume.checkSum(volume.position(block, 1, from) + tail, bytes.readUInt32LE(tail), crc32c(inode.checksumSeed, bytes.subarray(0, tail)));
  return bytes;
}

/** Twelve blocks, then one block of pointers to blocks, then one of pointers to such, then one of pointers to those. */
function searchBlockMap(search: Search): void {
  const { volume, inode } = search;
  const perBlock = volume.superblock.blockSize / 4;
  searchPointers(search, { bytes: inode.block.subarray(0, DIRECT_BLOCKS * 4), offset: inode.offset + 0x28, base: 0, span: 1 });
  let base = DIRECT_BLOCKS;
  for (let level = 0; level < 3; level += 1) {
    const at = (DIRECT_BLOCKS + level) * 4;
    const span = perBlock ** (level + 1);
    searchPointers(search, { bytes: inode.block.subarray(at, at + 4), offset: inode.offset + 0x28 + at, base, span });
    base += span;
  }
}

/** Block numbers, each for `span` blocks of the file, from `base` on. */
type Pointers = { readonly bytes: Buffer; readonly offset: number; readonly base: number; readonly span: number };

function searchPointers(search: Search, { bytes, offset, base, span }: Pointers): void {
  const { volume, first, end } = search;
  const perBlock = volume.superblock.blockSize / 4;
  const last = Math.min(bytes.length / 4, Math.ceil((end - base) / span));
  for (let index = Math.max(0, Math.floor((first - base) / span)); index < last; index += 1) {
    const block = bytes.readUInt32LE(index * 4);
    const logical = base + index * span;
    if (block === 0) continue;
    if (span === 1) addRun(search, { logical, physical: block, count: 1 }, offset + index * 4);
    else {
      const from = offset + index * 4;
      searchPointers(search, { bytes: volume.block(block, from), offset: volume.position(block, 1, from), base: logical, span: span / perBlock });
    }
  }
}

/** What goes on where the last run ends is a part of it. */
function addRun({ volume, runs }: Search, run: BlockRun, from: number): void {
  volume.position(run.physical, run.count, from);
  const last = runs.at(-1);
  if (last !== undefined && last.logical + last.count === run.logical && last.physical + last.count === run.physical) {
    runs[runs.length - 1] = { ...last, count: last.count + run.count };
  } else runs.push(run);
}
