// The superblock of ext2, ext3 and ext4: what the file system looks like, and whether this reader knows all of it.

import { FormatError, UnsupportedError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { crc32c } from './crc32c.ts';

export type Ext4Superblock = {
  readonly blockSize: number;
  readonly blocksCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly inodesCount: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  readonly descriptorSize: number;
  /** The first block of group descriptors that lies in its own groups; infinite without the feature meta_bg. */
  readonly firstMetaBlockGroup: number;
  /** Which groups hold a copy of the superblock, and so have their descriptors after it. */
  readonly superblockCopies: 'all' | 'sparse' | readonly number[];
  readonly hasLargeDirectories: boolean;
  /** What all checksums start from; undefined without the feature metadata_csum. */
  readonly checksumSeed: number | undefined;
};

export const EXT4_SUPERBLOCK_OFFSET = 1024;
export const EXT4_ROOT_INO = 2;
const SUPERBLOCK_SIZE = 1024;
const CHECKSUM_OFFSET = 0x3fc;
const EXT4_SUPER_MAGIC = 0xef53;
const EXT4_CRC32C_CHKSUM = 1;
/** 64 KiB: the largest block of the format. */
const MAX_LOG_BLOCK_SIZE = 6;
const GOOD_OLD_INODE_SIZE = 128;
const MIN_DESCRIPTOR_SIZE = 32;
const MIN_DESCRIPTOR_SIZE_64BIT = 64;
const MAX_DESCRIPTOR_SIZE = 1024;

const COMPAT_SPARSE_SUPER2 = 0x200;
const RO_COMPAT_SPARSE_SUPER = 0x1;
const RO_COMPAT_METADATA_CSUM = 0x400;
const INCOMPAT_RECOVER = 0x4;
const INCOMPAT_META_BG = 0x10;
const INCOMPAT_64BIT = 0x80;
const INCOMPAT_CSUM_SEED = 0x2000;
const INCOMPAT_LARGEDIR = 0x4000;
/** By bit: what a reader may not ignore, and whether this one knows it. Documentation/filesystems/ext4/globals.rst; e2fsprogs' names. */
const INCOMPAT_FEATURES: readonly (readonly [name: string, known: boolean])[] = [
  ['compression', false], ['filetype', true], ['needs_recovery', true], ['journal_dev', false], ['meta_bg', true], ['FEATURE_I5', false],
  ['extent', true], ['64bit', true], ['mmp', true], ['flex_bg', true], ['ea_inode', true], ['FEATURE_I11', false],
  ['dirdata', false], ['metadata_csum_seed', true], ['large_dir', true], ['inline_data', true], ['encrypt', true], ['casefold', true],
];

/**
 * The superblock, checked. Throws FormatError for damage and for an image that ends before its file system does, UnsupportedError for
 * features that change the layout in a way this reader does not know, and for a journal that has to be replayed first.
 *
 * Layout: Documentation/filesystems/ext4/super.rst.
 */
export function readExt4Superblock(source: ByteSource): Ext4Superblock {
  const file = source.name;
  const bytes = Buffer.from(source.read(EXT4_SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE));
  const check = (good: boolean, at: number, expected: string, actual: number): void => {
    if (!good) throw new FormatError({ file, offset: EXT4_SUPERBLOCK_OFFSET + at, expected, actual: `${actual}` });
  };
  const magic = bytes.readUInt16LE(0x38);
  check(magic === EXT4_SUPER_MAGIC, 0x38, `the magic of ext4, ${EXT4_SUPER_MAGIC}`, magic);
  // Revision 0 has neither features nor a size of inodes.
  const dynamic = bytes.readUInt32LE(0x4c) > 0;
  const [compat, incompat, readOnly] = [0x5c, 0x60, 0x64].map((at) => (dynamic ? bytes.readUInt32LE(at) : 0)) as [number, number, number];
  const hasChecksums = (readOnly & RO_COMPAT_METADATA_CSUM) !== 0;
  if (hasChecksums) {
    check(bytes[0x175] === EXT4_CRC32C_CHKSUM, 0x175, 'the type of checksums, 1', bytes[0x175] ?? 0);
    const computed = crc32c(~0, bytes.subarray(0, CHECKSUM_OFFSET));
    check(bytes.readUInt32LE(CHECKSUM_OFFSET) === computed, CHECKSUM_OFFSET, `the checksum ${computed}`, bytes.readUInt32LE(CHECKSUM_OFFSET));
  }
  checkFeatures(file, incompat);

  const logBlockSize = bytes.readUInt32LE(0x18);
  check(logBlockSize <= MAX_LOG_BLOCK_SIZE, 0x18, `a block size of up to 2^${10 + MAX_LOG_BLOCK_SIZE}`, logBlockSize);
  const blockSize = 1024 << logBlockSize;
  const is64Bit = (incompat & INCOMPAT_64BIT) !== 0;
  const blocksCount = bytes.readUInt32LE(0x4) + (is64Bit ? bytes.readUInt32LE(0x150) * 2 ** 32 : 0);
  check(blocksCount * blockSize <= source.size, 0x4, `as many blocks of ${blockSize} as ${source.size} bytes hold`, blocksCount);
  const firstDataBlock = bytes.readUInt32LE(0x14);
  check(firstDataBlock <= 1 && firstDataBlock < blocksCount, 0x14, 'the first data block, 0 or 1', firstDataBlock);
  const blocksPerGroup = bytes.readUInt32LE(0x20);
  check(blocksPerGroup > 0, 0x20, 'the number of blocks in a group', blocksPerGroup);
  const inodesPerGroup = bytes.readUInt32LE(0x28);
  check(inodesPerGroup > 0 && inodesPerGroup <= blockSize * 8, 0x28, 'as many inodes in a group as a block has bits', inodesPerGroup);
  const inodesCount = bytes.readUInt32LE(0);
  const groups = Math.ceil((blocksCount - firstDataBlock) / blocksPerGroup);
  check(inodesCount >= EXT4_ROOT_INO && inodesCount <= groups * inodesPerGroup, 0, `inodes of ${groups} groups`, inodesCount);
  const inodeSize = dynamic ? bytes.readUInt16LE(0x58) : GOOD_OLD_INODE_SIZE;
  check(isPowerOfTwo(inodeSize) && inodeSize >= GOOD_OLD_INODE_SIZE && inodeSize <= blockSize, 0x58, 'a power of two as the size of inodes', inodeSize);
  const descriptorSize = is64Bit ? bytes.readUInt16LE(0xfe) : MIN_DESCRIPTOR_SIZE;
  const minimum = is64Bit ? MIN_DESCRIPTOR_SIZE_64BIT : MIN_DESCRIPTOR_SIZE;
  check(isPowerOfTwo(descriptorSize) && descriptorSize >= minimum && descriptorSize <= MAX_DESCRIPTOR_SIZE, 0xfe, 'the size of a descriptor', descriptorSize);

  const uuid = bytes.subarray(0x68, 0x78);
  const seed = (incompat & INCOMPAT_CSUM_SEED) !== 0 ? bytes.readUInt32LE(0x270) : crc32c(~0, uuid);
  return {
    blockSize, blocksCount, firstDataBlock, blocksPerGroup, inodesCount, inodesPerGroup, inodeSize, descriptorSize,
    firstMetaBlockGroup: (incompat & INCOMPAT_META_BG) !== 0 ? bytes.readUInt32LE(0x104) : Infinity,
    superblockCopies: (compat & COMPAT_SPARSE_SUPER2) !== 0 ? [bytes.readUInt32LE(0x24c), bytes.readUInt32LE(0x250)]
      : (readOnly & RO_COMPAT_SPARSE_SUPER) !== 0 ? 'sparse' : 'all',
    hasLargeDirectories: (incompat & INCOMPAT_LARGEDIR) !== 0,
    checksumSeed: hasChecksums ? seed : undefined,
  };
}

function checkFeatures(file: string, incompat: number): void {
  for (let bit = 0; bit < 32; bit += 1) {
    const [name, known] = INCOMPAT_FEATURES[bit] ?? [`FEATURE_I${bit}`, false];
    if ((incompat & (1 << bit)) !== 0 && !known) throw new UnsupportedError(`${file}: the ext4 feature ${name} is not read here; mount the image instead`);
  }
  // What the journal holds may be newer than what is in its place, and older than what is in another one: no state that ever was.
  if ((incompat & INCOMPAT_RECOVER) !== 0) {
    throw new UnsupportedError(`${file}: the ext4 file system was not unmounted, its journal has to be replayed first: e2fsck -p ${file}`);
  }
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
