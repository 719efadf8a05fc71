// The superblock of squashfs 4.0: where its tables are, and how its blocks are compressed.

import { FormatError, UnsupportedError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';

export type SquashfsCompression = 'gzip' | 'lzma' | 'lzo' | 'xz' | 'lz4' | 'zstd';

export type SquashfsSuperblock = {
  readonly compression: SquashfsCompression;
  /** Bytes in a block of a file, the last one but. */
  readonly blockSize: number;
  /** The file system's size. What follows is padding. */
  readonly bytesUsed: number;
  readonly fragmentCount: number;
  readonly idCount: number;
  /** The root directory's inode, as other inodes' are written: block of the inode table and offset in it. */
  readonly root: number;
  /** Positions in the image. */
  readonly idTable: number;
  readonly inodeTable: number;
  readonly directoryTable: number;
  readonly fragmentTable: number;
};

export const SQUASHFS_SUPERBLOCK_SIZE = 96;
const SQUASHFS_MAGIC = 0x73717368;
/** By their numbers. */
const COMPRESSIONS: readonly (SquashfsCompression | undefined)[] = [undefined, 'gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd'];
const MIN_BLOCK_LOG = 12;
const MAX_BLOCK_LOG = 20;

/**
 * The superblock, checked. Throws FormatError for damage and for an image that ends before its file system does, UnsupportedError for
 * other versions.
 *
 * Layout: fs/squashfs/squashfs_fs.h; Documentation/filesystems/squashfs.rst.
 */
export function readSquashfsSuperblock(source: ByteSource): SquashfsSuperblock {
  const file = source.name;
  const bytes = Buffer.from(source.read(0, SQUASHFS_SUPERBLOCK_SIZE));
  const check = (good: boolean, offset: number, expected: string, actual: number | string): void => {
    if (!good) throw new FormatError({ file, offset, expected, actual: `${actual}` });
  };
  const magic = bytes.readUInt32LE(0);
  check(magic === SQUASHFS_MAGIC, 0, `the magic of squashfs, ${SQUASHFS_MAGIC}`, magic);
  const [major, minor] = [bytes.readUInt16LE(28), bytes.readUInt16LE(30)];
  if (major !== 4 || minor !== 0) throw new UnsupportedError(`${file}: squashfs ${major}.${minor} is not read, only 4.0`);
  const blockSize = bytes.readUInt32LE(12);
  const blockLog = bytes.readUInt16LE(22);
  check(blockLog >= MIN_BLOCK_LOG && blockLog <= MAX_BLOCK_LOG, 22, `a block size of 2^${MIN_BLOCK_LOG} to 2^${MAX_BLOCK_LOG}`, blockLog);
  check(blockSize === 2 ** blockLog, 12, `the block size 2^${blockLog}`, blockSize);
  const compressor = bytes.readUInt16LE(20);
  const compression = COMPRESSIONS[compressor];
  if (compression === undefined) throw new FormatError({ file, offset: 20, expected: 'a compressor from 1 to 6', actual: `${compressor}` });

  const position = (at: number): number => Number(bytes.readBigUInt64LE(at));
  const bytesUsed = position(40);
  check(bytesUsed >= SQUASHFS_SUPERBLOCK_SIZE && bytesUsed <= source.size, 40, `a file system inside ${source.size} bytes`, bytesUsed);
  const fragmentCount = bytes.readUInt32LE(16);
  const idCount = bytes.readUInt16LE(26);
  const [idTable, inodeTable, directoryTable, fragmentTable] = [position(48), position(64), position(72), position(80)] as [number, number, number, number];
  check(inodeTable >= SQUASHFS_SUPERBLOCK_SIZE && inodeTable < directoryTable, 64, 'the inode table before the directory table', inodeTable);
  check(directoryTable < bytesUsed, 72, `a table inside ${bytesUsed} bytes`, directoryTable);
  check(idCount > 0, 26, 'the number of user and group ids', idCount);
  check(idTable < bytesUsed, 48, `a table inside ${bytesUsed} bytes`, idTable);
  check(fragmentCount === 0 || fragmentTable < bytesUsed, 80, `a table inside ${bytesUsed} bytes`, fragmentTable);
  return { compression, blockSize, bytesUsed, fragmentCount, idCount, root: position(32), idTable, inodeTable, directoryTable, fragmentTable };
}
