// Inodes of squashfs: basic and extended ones of files, directories, symlinks and all others.

import { LimitError } from '../errors.ts';
import { decodeBytes } from './entry-name.ts';
import type { ImageEntry } from './image-tree.ts';
import type { MetadataPlace, SquashfsVolume } from './squashfs-volume.ts';

export type SquashfsInode = SquashfsInodeHeader & (
  | { readonly kind: 'directory'; /** Where its listing is, and the bytes in it. */ readonly listing: MetadataPlace; readonly size: number }
  | { readonly kind: 'file'; readonly size: number; readonly contents: SquashfsContents }
  | { readonly kind: 'symlink'; readonly size: number; readonly target: string }
  | { readonly kind: 'other'; readonly size: 0 }
);

export type SquashfsInodeHeader = Pick<ImageEntry, 'mode' | 'uid' | 'gid' | 'mtime' | 'inode'>;

/** Where the contents of a file are: its blocks lie one after another from `start`, their sizes in a list; its end may be in a fragment. */
export type SquashfsContents = {
  readonly start: number;
  readonly blockList: MetadataPlace;
  /** Which entry of the fragment table, and the offset in the fragment's block; undefined where the last block is one of its own. */
  readonly fragment: { readonly index: number; readonly offset: number } | undefined;
};

const HEADER_SIZE = 16;
/** The types of inodes: basic ones, and from LDIR on the same ones with more fields. fs/squashfs/squashfs_fs.h. */
const DIR = 1;
const REG = 2;
const SYMLINK = 3;
const SOCKET = 7;
const LDIR = 8;
const LREG = 9;
const LSYMLINK = 10;
const LSOCKET = 14;
const NO_FRAGMENT = 0xffff_ffff;
/** What the size of a listing counts beyond its bytes: the entries `.` and `..`, which are not there. */
const LISTING_EXTRA = 3;
const ID_SIZE = 4;
/** linux/limits.h: PATH_MAX. */
const MAX_SYMLINK_TARGET = 4096;

/** The inode that `reference` leads to: `position in the inode table << 16 | offset in the block there`. Throws FormatError. */
export function readSquashfsInode(volume: SquashfsVolume, reference: number): SquashfsInode {
  const block = volume.superblock.inodeTable + Math.floor(reference / 0x1_0000);
  const { bytes, next } = volume.metadata({ block, offset: reference % 0x1_0000 }, HEADER_SIZE);
  const type = bytes.readUInt16LE(0);
  const header: SquashfsInodeHeader = {
    mode: bytes.readUInt16LE(2) & 0o7777,
    uid: readId(volume, bytes.readUInt16LE(4), block),
    gid: readId(volume, bytes.readUInt16LE(6), block),
    mtime: bytes.readUInt32LE(8),
    inode: bytes.readUInt32LE(12),
  };
  switch (type) {
    case DIR:
    case LDIR:
      return { ...header, kind: 'directory', ...readDirectoryFields(volume, next, type === LDIR) };
    case REG:
    case LREG:
      return { ...header, kind: 'file', ...readFileFields(volume, next, type === LREG) };
    case SYMLINK:
    case LSYMLINK:
      return { ...header, kind: 'symlink', ...readTarget(volume, next) };
  }
  if (type < DIR || type > LSOCKET) throw volume.error(block, `a type of inode from ${DIR} to ${LSOCKET}, ${SOCKET} of them basic`, `${type}`);
  return { ...header, kind: 'other', size: 0 };
}

function readId(volume: SquashfsVolume, index: number, from: number): number {
  const { idTable, idCount } = volume.superblock;
  if (index >= idCount) throw volume.error(from, `one of ${idCount} ids`, `${index}`);
  return volume.tableEntry(idTable, index, ID_SIZE).readUInt32LE(0);
}

/**
 * ```
 * basic     block 4 | links 4 | size 2 | offset 2 | parent 4
 * extended  links 4 | size 4 | block 4 | parent 4 | entries of its index 2 | offset 2 | attributes 4 | index
 * ```
 */
function readDirectoryFields(volume: SquashfsVolume, place: MetadataPlace, extended: boolean): { readonly listing: MetadataPlace; readonly size: number } {
  const { bytes } = volume.metadata(place, extended ? 24 : 16);
  const [block, size, offset] = extended
    ? [bytes.readUInt32LE(8), bytes.readUInt32LE(4), bytes.readUInt16LE(18)]
    : [bytes.readUInt32LE(0), bytes.readUInt16LE(8), bytes.readUInt16LE(10)];
  return { listing: { block: volume.superblock.directoryTable + block, offset }, size: Math.max(0, size - LISTING_EXTRA) };
}

/**
 * ```
 * basic     start 4 | fragment 4 | offset in it 4 | size 4                                                   | sizes of blocks, 4 each
 * extended  start 8 | size 8 | bytes in holes 8 | links 4 | fragment 4 | offset in it 4 | attributes 4 | sizes of blocks, 4 each
 * ```
 */
function readFileFields(volume: SquashfsVolume, place: MetadataPlace, extended: boolean): { readonly size: number; readonly contents: SquashfsContents } {
  const { bytes, next } = volume.metadata(place, extended ? 40 : 16);
  const [start, size, at] = extended
    ? [Number(bytes.readBigUInt64LE(0)), Number(bytes.readBigUInt64LE(8)), 28]
    : [bytes.readUInt32LE(0), bytes.readUInt32LE(12), 4];
  const index = bytes.readUInt32LE(at);
  const fragment = index === NO_FRAGMENT ? undefined : { index, offset: bytes.readUInt32LE(at + 4) };
  return { size, contents: { start, blockList: next, fragment } };
}

/** `links 4 | size 4 | target`, and the extended attributes of an extended one after that. */
function readTarget(volume: SquashfsVolume, place: MetadataPlace): { readonly size: number; readonly target: string } {
  const { bytes, next } = volume.metadata(place, 8);
  const size = bytes.readUInt32LE(4);
  if (size > MAX_SYMLINK_TARGET) {
    throw new LimitError({ file: volume.source.name, limit: 'MAX_SYMLINK_TARGET', maximum: MAX_SYMLINK_TARGET, actual: size });
  }
  return { size, target: decodeBytes(volume.metadata(next, size).bytes) };
}
