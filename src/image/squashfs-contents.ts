// Contents of files in squashfs: whole blocks one after another, holes, and ends of files that share a fragment.

import { LimitError } from '../errors.ts';
import type { FileRange } from './file-range.ts';
import type { SquashfsContents } from './squashfs-inode.ts';
import type { SquashfsVolume, StoredBlock } from './squashfs-volume.ts';

/** A file as its inode describes it. */
export type SquashfsFile = { readonly size: number; readonly contents: SquashfsContents };

/** 4 MiB of block list: files of 4 GiB in the smallest blocks, of 128 GiB in the usual ones. */
const MAX_BLOCKS = 1024 * 1024;
const FRAGMENT_SIZE = 16;
const BLOCK_SIZE_FIELD = 4;

/** Bytes of a file. Unpacks only the blocks that hold them. Throws FormatError and LimitError. */
export function readSquashfsContents(volume: SquashfsVolume, file: SquashfsFile, { offset, length }: FileRange): Uint8Array {
  const { blockSize } = volume.superblock;
  const end = offset + length;
  const stored = storedBlocks(volume, file, Math.ceil(end / blockSize));
  const output = new Uint8Array(length);
  for (let index = Math.floor(offset / blockSize); index * blockSize < end; index += 1) {
    const start = index * blockSize;
    const from = Math.max(start, offset);
    const to = Math.min(start + blockSize, end);
    const size = Math.min(blockSize, file.size - start);
    const block = stored[index];
    if (block === undefined) output.set(readFragment(volume, file.contents, from - start, to - start), from - offset);
    else if (block.length > 0) output.set(readBlock(volume, block, size, from - start, to - start), from - offset);
  }
  return output;
}

/** Where a file lies in one piece: when nothing of it is compressed, and all of it is in blocks or all of it in a fragment. */
export function squashfsExtent(volume: SquashfsVolume, { size, contents }: SquashfsFile): FileRange | undefined {
  const { blockSize } = volume.superblock;
  if (size === 0) return undefined;
  const { fragment } = contents;
  if (fragment !== undefined) {
    const block = size < blockSize ? fragmentBlock(volume, fragment.index) : undefined;
    if (block === undefined || block.isCompressed || fragment.offset + size > block.length) return undefined;
    return { offset: block.position + fragment.offset, length: size };
  }
  const count = Math.ceil(size / blockSize);
  const blocks = storedBlocks(volume, { size, contents }, count);
  const isPlain = blocks.every((block, index) => !block.isCompressed && block.length === Math.min(blockSize, size - index * blockSize));
  return isPlain ? { offset: contents.start, length: size } : undefined;
}

/** The first `count` blocks, or all that the file has of its own. */
function storedBlocks(volume: SquashfsVolume, { size, contents }: SquashfsFile, count: number): StoredBlock[] {
  const { blockSize } = volume.superblock;
  const own = contents.fragment === undefined ? Math.ceil(size / blockSize) : Math.floor(size / blockSize);
  const wanted = Math.min(count, own);
  if (wanted > MAX_BLOCKS) throw new LimitError({ file: volume.source.name, limit: 'MAX_BLOCKS', maximum: MAX_BLOCKS, actual: wanted });
  const { bytes } = volume.metadata(contents.blockList, wanted * BLOCK_SIZE_FIELD);
  let position = contents.start;
  return Array.from({ length: wanted }, (_, index) => {
    const block = volume.storedBlock(position, bytes.readUInt32LE(index * BLOCK_SIZE_FIELD), contents.blockList.block);
    position += block.length;
    return block;
  });
}

function readBlock(volume: SquashfsVolume, block: StoredBlock, size: number, from: number, to: number): Uint8Array {
  const stored = volume.dataSize(block);
  if (stored !== size) throw volume.error(block.position, `a block of ${size} bytes`, `${stored}`);
  return volume.data(block, from, to);
}

function readFragment(volume: SquashfsVolume, contents: SquashfsContents, from: number, to: number): Uint8Array {
  const { index = 0, offset = 0 } = contents.fragment ?? {};
  const block = fragmentBlock(volume, index);
  const size = volume.dataSize(block);
  if (offset + to > size) throw volume.error(block.position, `a fragment of at least ${offset + to} bytes`, `${size}`);
  return volume.data(block, offset + from, offset + to);
}

/** `position 8 | length and whether it is compressed 4 | unused 4` */
function fragmentBlock(volume: SquashfsVolume, index: number): StoredBlock {
  const { fragmentTable, fragmentCount } = volume.superblock;
  if (index >= fragmentCount) throw volume.error(fragmentTable, `one of ${fragmentCount} fragments`, `${index}`);
  const entry = volume.tableEntry(fragmentTable, index, FRAGMENT_SIZE);
  return volume.storedBlock(Number(entry.readBigUInt64LE(0)), entry.readUInt32LE(8), fragmentTable);
}
