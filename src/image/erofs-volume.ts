// The superblock and the inodes of an erofs image.

import { FormatError, UnsupportedError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { crc32c } from './crc32c.ts';
import type { ImageEntry } from './image-tree.ts';
import { kindOfMode } from './stat-mode.ts';

/** How the data of an inode lie: linux/fs/erofs/erofs_fs.h. */
export const EROFS_INODE_FLAT_PLAIN = 0;
export const EROFS_INODE_COMPRESSED_FULL = 1;
export const EROFS_INODE_FLAT_INLINE = 2;
export const EROFS_INODE_COMPRESSED_COMPACT = 3;
export const EROFS_INODE_CHUNK_BASED = 4;

export const EROFS_SUPER_OFFSET = 1024;
export const EROFS_SUPER_SIZE = 128;
export const EROFS_SUPER_MAGIC = 0xe0f5e1e2;
export const EROFS_INODE_SLOT = 32;

export const FEATURE_COMPAT_SB_CHKSUM = 0x1;
export const FEATURE_COMPAT_MTIME = 0x2;
export const FEATURE_INCOMPAT_ZERO_PADDING = 0x1;

export type ErofsInode = {
  readonly nid: number;
  readonly kind: ImageEntry['kind'];
  /** One of EROFS_INODE_*. */
  readonly layout: number;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  /** The union i_u: the first block of flat data, or what the chunks are like. */
  readonly union: number;
  /** Where the inode and its extended attributes end: inline data or indexes follow. */
  readonly end: number;
};

export type ErofsVolume = {
  readonly source: ByteSource;
  readonly blockBits: number;
  readonly blockSize: number;
  readonly rootNid: number;
  /** The inode that holds fragments of other files, or undefined. */
  readonly packedNid: number | undefined;
  /** Compressed data end where their blocks end, rather than starting where they start. */
  readonly zeroPadding: boolean;
  inode(nid: number): ErofsInode;
};

/*
 * The superblock, at 1024, little-endian:
 *
 *   0 magic | 4 crc32c | 8 feature_compat | 12 blkszbits: 8 | 13 sb_extslots: 8 | 14 root_nid: 16 | 16 inos: 64
 *   24 build_time: 64 | 32 build_time_nsec | 36 blocks | 40 meta_blkaddr | 44 xattr_blkaddr | 48 uuid: 16 bytes
 *   64 volume_name: 16 bytes | 80 feature_incompat | 84 compression algorithms: 16 | 86 extra_devices: 16
 *   88 devt_slotoff: 16 | 90 dirblkbits: 8 | 91 xattr_prefix_count: 8 | 92 xattr_prefix_start | 96 packed_nid: 64
 *
 * An inode is at meta_blkaddr * block size + nid * 32:
 *
 *   compact   0 format: 16 | 2 xattr_icount: 16 | 4 mode: 16 | 6 nlink: 16 | 8 size | 16 union | 20 ino | 24 uid: 16 | 26 gid: 16
 *   extended  0 format: 16 | 2 xattr_icount: 16 | 4 mode: 16 | 8 size: 64 | 16 union | 20 ino | 24 uid | 28 gid | 32 mtime: 64
 *             40 mtime_nsec | 44 nlink
 *   format    bit 0 extended, bits 1-3 layout
 *
 * Source: linux/fs/erofs/erofs_fs.h, Documentation/filesystems/erofs.rst.
 */
const MIN_BLOCK_BITS = 9;
const MAX_BLOCK_BITS = 16;
const COMPACT_SIZE = 32;
const EXTENDED_SIZE = 64;
/** The names of the bits of feature_incompat that we know, and what is to be said of those that we do not read. */
const KNOWN_INCOMPAT = 0x7f;
const UNREAD_INCOMPAT: ReadonlyMap<number, string> = new Map([[0x80, '48bit'], [0x100, 'metabox']]);
const INCOMPAT_FRAGMENTS = 0x20;

/** Reads and checks the superblock. Throws FormatError, and UnsupportedError for features that we do not read. */
export function openErofsVolume(source: ByteSource): ErofsVolume {
  const head = viewOf(source.read(EROFS_SUPER_OFFSET, EROFS_SUPER_SIZE));
  const damaged = (at: number, expected: string, actual: string) => new FormatError({ file: source.name, offset: EROFS_SUPER_OFFSET + at, expected, actual });
  if (head.getUint32(0, true) !== EROFS_SUPER_MAGIC) throw damaged(0, 'the magic of erofs', `0x${head.getUint32(0, true).toString(16)}`);
  const blockBits = head.getUint8(12);
  if (blockBits < MIN_BLOCK_BITS || blockBits > MAX_BLOCK_BITS) throw damaged(12, `a block size of 2^${MIN_BLOCK_BITS} to 2^${MAX_BLOCK_BITS}`, `2^${blockBits}`);
  const blockSize = 2 ** blockBits;
  if ((head.getUint32(8, true) & FEATURE_COMPAT_SB_CHKSUM) !== 0) checkSum(source, blockSize);
  const incompat = head.getUint32(80, true);
  checkFeatures(source.name, incompat, head.getUint16(86, true));
  if (head.getUint8(90) !== 0) throw damaged(90, 'directory blocks of the size of blocks', `dirblkbits ${head.getUint8(90)}`);

  const metaOffset = head.getUint32(40, true) * blockSize;
  const buildTime = secondsAt(head, 24);
  const packedNid = (incompat & INCOMPAT_FRAGMENTS) === 0 ? undefined : numberAt(head, 96);
  return {
    source,
    blockBits,
    blockSize,
    rootNid: head.getUint16(14, true),
    packedNid: packedNid === 0 ? undefined : packedNid,
    zeroPadding: (incompat & FEATURE_INCOMPAT_ZERO_PADDING) !== 0,
    inode: (nid) => readInode(source, nid, metaOffset + nid * EROFS_INODE_SLOT, buildTime),
  };
}

/** The superblock's sum, over the rest of the first block, its own field as zeros. */
export function erofsChecksum(bytes: Uint8Array): number {
  const copy = Buffer.from(bytes);
  copy.fill(0, 4, 8);
  return crc32c(~0, copy);
}

function checkSum(source: ByteSource, blockSize: number): void {
  const bytes = source.read(EROFS_SUPER_OFFSET, blockSize > EROFS_SUPER_OFFSET ? blockSize - EROFS_SUPER_OFFSET : blockSize);
  const stored = viewOf(bytes).getUint32(4, true);
  const computed = erofsChecksum(bytes);
  if (stored === computed) return;
  throw new FormatError({
    file: source.name, offset: EROFS_SUPER_OFFSET + 4, expected: `the CRC-32C of the superblock, 0x${computed.toString(16)}`, actual: `0x${stored.toString(16)}`,
  });
}

function checkFeatures(file: string, incompat: number, extraDevices: number): void {
  const unknown = (incompat & ~KNOWN_INCOMPAT) >>> 0;
  if (unknown !== 0) {
    const names = [...UNREAD_INCOMPAT].filter(([bit]) => (unknown & bit) !== 0).map(([, name]) => name).join(', ');
    throw new UnsupportedError(`${file}: erofs with ${names || `the features 0x${unknown.toString(16)}`} is not read; write it without`);
  }
  if (extraDevices > 0) throw new UnsupportedError(`${file}: erofs with data on extra devices is not read; write it without --blobdev`);
}

function readInode(source: ByteSource, nid: number, offset: number, buildTime: number): ErofsInode {
  const damaged = (at: number, expected: string, actual: string) => new FormatError({ file: source.name, offset: offset + at, expected, actual });
  const first = viewOf(source.read(offset, COMPACT_SIZE));
  const format = first.getUint16(0, true);
  const extended = (format & 1) !== 0;
  const layout = (format >> 1) & 7;
  if (layout > EROFS_INODE_CHUNK_BASED || format >> 4 !== 0) throw damaged(0, 'the format of an inode', `0x${format.toString(16)}`);
  const fixed = extended ? EXTENDED_SIZE : COMPACT_SIZE;
  const view = extended ? viewOf(source.read(offset, EXTENDED_SIZE)) : first;
  const attributes = view.getUint16(2, true);
  const mode = view.getUint16(4, true);
  const size = extended ? numberAt(view, 8) : view.getUint32(8, true);
  if (!Number.isSafeInteger(size)) throw damaged(8, 'a size below 2^53', `${size}`);
  return {
    nid,
    kind: kindOfMode(mode),
    layout,
    size,
    mode: mode & 0o7777,
    uid: extended ? view.getUint32(24, true) : view.getUint16(24, true),
    gid: extended ? view.getUint32(28, true) : view.getUint16(26, true),
    mtime: extended ? secondsAt(view, 32) : buildTime,
    union: view.getUint32(16, true),
    end: offset + fixed + (attributes === 0 ? 0 : 12 + 4 * (attributes - 1)),
  };
}

/** An unsigned number of 64 bits; beyond 2^53 it is only near, which is outside every image. */
function numberAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function secondsAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getInt32(at + 4, true) * 2 ** 32;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
