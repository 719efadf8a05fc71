// Blocks, group descriptors and inodes of an ext4 image, by number.

import { FormatError } from '../errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import { bufferView } from './buffer-view.ts';
import type { ByteSource } from './byte-source.ts';
import { crc32c } from './crc32c.ts';
import { EXT4_SUPERBLOCK_OFFSET, readExt4Superblock } from './ext4-superblock.ts';
import type { Ext4Superblock } from './ext4-superblock.ts';
import { S_IFMT, S_IFREG } from './stat-mode.ts';

export type Ext4Inode = {
  readonly number: number;
  /** Where it is in the image, for messages. */
  readonly offset: number;
  /** Type and permission bits, as st_mode has them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly flags: number;
  /** i_block: the root of the extent tree, the block map, the target of a short symlink or the first bytes of inline data. */
  readonly block: Buffer;
  /** What is left of the inode after its fields: extended attributes. */
  readonly attributes: Buffer;
  /** What the checksums of its blocks start from. */
  readonly checksumSeed: number;
};

/** fs/ext4/ext4.h: the flags of inodes that say how to read them. */
export const EXT4_ENCRYPT_FL = 0x800;
export const EXT4_INDEX_FL = 0x1000;
export const EXT4_EXTENTS_FL = 0x80000;
export const EXT4_INLINE_DATA_FL = 0x10000000;
export const EXT4_CASEFOLD_FL = 0x40000000;
/** fs/ext4/ext4.h: what lies in i_block. */
export const EXT4_I_BLOCK_SIZE = 60;

const GOOD_OLD_INODE_SIZE = 128;
const CHECKSUM_LO = 0x7c;
const CHECKSUM_HI = 0x82;
const DESCRIPTOR_CHECKSUM = 0x1e;
/** Inodes and places of inode tables that are kept. */
const KEPT_INODES = 4096;
const KEPT_TABLES = 1024;

export class Ext4Volume {
  readonly source: ByteSource;
  readonly superblock: Ext4Superblock;
  readonly #inodes = new BoundedCache<Ext4Inode>({ limit: KEPT_INODES, weightOf: () => 1 });
  readonly #tables = new BoundedCache<number>({ limit: KEPT_TABLES, weightOf: () => 1 });

  constructor(source: ByteSource) {
    this.source = source;
    this.superblock = readExt4Superblock(source);
  }

  /** Where blocks begin in the image. Throws FormatError unless all are in the file system; `from` is where their number was read. */
  position(first: number, count: number, from: number): number {
    const { blocksCount, blockSize } = this.superblock;
    if (first > 0 && first + count <= blocksCount) return first * blockSize;
    throw this.error(from, `blocks from 1 to ${blocksCount - 1}`, `${first} and ${count - 1} more`);
  }

  /** One block of metadata. */
  block(number: number, from: number): Buffer {
    return bufferView(this.source.read(this.position(number, 1, from), this.superblock.blockSize));
  }

  inode(number: number): Ext4Inode {
    return this.#inodes.get(number, () => this.#readInode(number));
  }

  error(offset: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.source.name, offset, expected, actual });
  }

  /** Throws FormatError where `computed` is not what is stored at `offset`. */
  checkSum(offset: number, stored: number, computed: number): void {
    if (stored !== computed) throw this.error(offset, `the checksum ${computed}`, `${stored}`);
  }

  /** Layout: Documentation/filesystems/ext4/inodes.rst. */
  #readInode(number: number): Ext4Inode {
    const { inodesPerGroup, inodeSize, checksumSeed } = this.superblock;
    const group = Math.floor((number - 1) / inodesPerGroup);
    const offset = this.#tables.get(group, () => this.#inodeTable(group)) + ((number - 1) % inodesPerGroup) * inodeSize;
    const bytes = bufferView(this.source.read(offset, inodeSize));
    const fieldsEnd = this.#fieldsEnd(bytes, offset);
    const generation = bytes.subarray(0x64, 0x68);
    const seed = checksumSeed === undefined ? 0 : crc32c(crc32c(checksumSeed, littleEndian(number)), generation);
    if (checksumSeed !== undefined) this.#checkInode(bytes, offset, seed, fieldsEnd);
    const mode = bytes.readUInt16LE(0);
    const sizeHigh = hasLargeSize(mode, this.superblock) ? bytes.readUInt32LE(0x6c) : 0;
    const mtimeEpoch = fieldsEnd >= 0x8c ? bytes.readUInt32LE(0x88) & 3 : 0;
    return {
      number, offset, mode,
      uid: bytes.readUInt16LE(0x2) + bytes.readUInt16LE(0x78) * 0x1_0000,
      gid: bytes.readUInt16LE(0x18) + bytes.readUInt16LE(0x7a) * 0x1_0000,
      size: bytes.readUInt32LE(0x4) + sizeHigh * 2 ** 32,
      mtime: bytes.readInt32LE(0x10) + mtimeEpoch * 2 ** 32,
      flags: bytes.readUInt32LE(0x20),
      block: bytes.subarray(0x28, 0x28 + EXT4_I_BLOCK_SIZE),
      attributes: bytes.subarray(fieldsEnd),
      checksumSeed: seed,
    };
  }

  /** The end of the fields in a larger inode, or 128. */
  #fieldsEnd(bytes: Buffer, offset: number): number {
    if (bytes.length <= GOOD_OLD_INODE_SIZE) return GOOD_OLD_INODE_SIZE;
    const extra = bytes.readUInt16LE(0x80);
    if (extra % 4 === 0 && extra <= bytes.length - GOOD_OLD_INODE_SIZE) return GOOD_OLD_INODE_SIZE + extra;
    throw this.error(offset + 0x80, `extra fields inside an inode of ${bytes.length} bytes`, `${extra}`);
  }

  /** The checksum is over the inode with zeros in its place; its upper half is there only in larger inodes. */
  #checkInode(bytes: Buffer, offset: number, seed: number, fieldsEnd: number): void {
    const hasHigh = fieldsEnd >= CHECKSUM_HI + 2;
    const stored = bytes.readUInt16LE(CHECKSUM_LO) + (hasHigh ? bytes.readUInt16LE(CHECKSUM_HI) * 0x1_0000 : 0);
    const zeroed = Buffer.from(bytes);
    zeroed.writeUInt16LE(0, CHECKSUM_LO);
    if (hasHigh) zeroed.writeUInt16LE(0, CHECKSUM_HI);
    const computed = crc32c(seed, zeroed);
    this.checkSum(offset + CHECKSUM_LO, stored, hasHigh ? computed : computed & 0xffff);
  }

  /** Where the inodes of a group begin. Layout: Documentation/filesystems/ext4/group_descr.rst. */
  #inodeTable(group: number): number {
    const { inodesPerGroup, inodeSize, blockSize, descriptorSize, checksumSeed } = this.superblock;
    const offset = this.#descriptorPosition(group);
    const bytes = bufferView(this.source.read(offset, descriptorSize));
    if (checksumSeed !== undefined) {
      const zeroed = Buffer.from(bytes);
      zeroed.writeUInt16LE(0, DESCRIPTOR_CHECKSUM);
      const computed = crc32c(crc32c(checksumSeed, littleEndian(group)), zeroed) & 0xffff;
      this.checkSum(offset + DESCRIPTOR_CHECKSUM, bytes.readUInt16LE(DESCRIPTOR_CHECKSUM), computed);
    }
    const table = bytes.readUInt32LE(0x8) + (descriptorSize >= 64 ? bytes.readUInt32LE(0x28) * 2 ** 32 : 0);
    return this.position(table, Math.ceil((inodesPerGroup * inodeSize) / blockSize), offset + 0x8);
  }

  /** After the first superblock; with meta_bg, from some block of descriptors on, each in the first of the groups that it describes. */
  #descriptorPosition(group: number): number {
    const { blockSize, descriptorSize, firstMetaBlockGroup, blocksPerGroup, firstDataBlock } = this.superblock;
    const perBlock = blockSize / descriptorSize;
    const index = Math.floor(group / perBlock);
    const inBlock = (group % perBlock) * descriptorSize;
    const superblockBlock = Math.floor(EXT4_SUPERBLOCK_OFFSET / blockSize);
    if (index < firstMetaBlockGroup) return this.position(superblockBlock + 1 + index, 1, EXT4_SUPERBLOCK_OFFSET) + inBlock;
    const home = index * perBlock;
    // Of small blocks without an offset, as bigalloc has them, block 0 is the boot block's and block 1 the superblock's.
    const copy = (hasSuperblock(this.superblock, home) ? 1 : 0) + (home === 0 && blockSize === 1024 && firstDataBlock === 0 ? 1 : 0);
    return this.position(home * blocksPerGroup + firstDataBlock + copy, 1, EXT4_SUPERBLOCK_OFFSET + 0x104) + inBlock;
  }
}

/** The upper half of the size is something else in other inodes. */
function hasLargeSize(mode: number, superblock: Ext4Superblock): boolean {
  return (mode & S_IFMT) === S_IFREG || superblock.hasLargeDirectories;
}

function hasSuperblock({ superblockCopies }: Ext4Superblock, group: number): boolean {
  if (group === 0 || superblockCopies === 'all') return true;
  if (superblockCopies !== 'sparse') return superblockCopies.includes(group);
  return group === 1 || [3, 5, 7].some((base) => isPowerOf(base, group));
}

function isPowerOf(base: number, value: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
