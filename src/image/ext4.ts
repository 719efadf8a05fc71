// An ext2, ext3 or ext4 file system in an image, as a tree of files that is read in place.

import { SystemError, UnsupportedError } from '../errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { ByteSource } from './byte-source.ts';
import { decodeBytes } from './entry-name.ts';
import { blockRuns } from './ext4-blocks.ts';
import { readExt4Directory } from './ext4-directory.ts';
import type { Ext4Directory } from './ext4-directory.ts';
import { inlineContents } from './ext4-inline.ts';
import { EXT4_ROOT_INO } from './ext4-superblock.ts';
import { EXT4_ENCRYPT_FL, EXT4_EXTENTS_FL, EXT4_I_BLOCK_SIZE, EXT4_INLINE_DATA_FL, Ext4Volume } from './ext4-volume.ts';
import type { Ext4Inode } from './ext4-volume.ts';
import { fileRange } from './file-range.ts';
import type { FileRange } from './file-range.ts';
import type { ImageEntry, ImageTree } from './image-tree.ts';
import { kindOfMode, S_IFDIR, S_IFMT } from './stat-mode.ts';

/** Names that are kept of the directories used last. */
const KEPT_NAMES = 65_536;
/** linux/limits.h: PATH_MAX. */
const MAX_SYMLINK_TARGET = 4096;

/**
 * The file system in `source`: extents and block maps, inline data, all sizes of blocks, checksums of metadata verified as it is read.
 * What read and list return is read when it is asked for. Throws FormatError, LimitError, and UnsupportedError for unknown features, a
 * journal that has to be replayed, and encrypted or case-folding directories.
 */
export function openExt4(source: ByteSource): ImageTree {
  return new Ext4Tree(new Ext4Volume(source));
}

class Ext4Tree implements ImageTree {
  readonly format = 'ext4';
  readonly #volume: Ext4Volume;
  readonly #directories = new BoundedCache<Ext4Directory>({ limit: KEPT_NAMES, weightOf: (directory) => directory.size + 1 });

  constructor(volume: Ext4Volume) {
    this.#volume = volume;
    const root = volume.inode(EXT4_ROOT_INO);
    if (!isDirectory(root)) throw volume.error(root.offset, 'the root directory', `mode ${root.mode.toString(8)}`);
  }

  entry(path: string): ImageEntry | undefined {
    const inode = this.#find(path);
    if (inode === undefined) return undefined;
    const { mode, uid, gid, size, mtime, number } = inode;
    // One that is free has none.
    if ((mode & S_IFMT) === 0) throw this.#volume.error(inode.offset, 'an inode in use', `mode ${mode.toString(8)}`);
    return { path, kind: kindOfMode(mode), size, mode: mode & 0o7777, uid, gid, mtime, inode: number };
  }

  list(path: string): readonly string[] | undefined {
    const inode = this.#find(path);
    return inode !== undefined && isDirectory(inode) ? [...this.#directory(inode).keys()] : undefined;
  }

  readlink(entry: ImageEntry): string {
    if (entry.kind !== 'symlink') throw new SystemError({ code: 'EINVAL', errno: 22, syscall: 'readlink', text: 'Invalid argument', path: entry.path });
    const inode = this.#inode(entry);
    const { size, block, flags } = inode;
    if (size > MAX_SYMLINK_TARGET) throw this.#volume.error(inode.offset + 0x4, `a symlink of up to ${MAX_SYMLINK_TARGET} bytes`, `${size}`);
    const isFast = size < EXT4_I_BLOCK_SIZE && (flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL)) === 0;
    return decodeBytes(isFast ? block.subarray(0, size) : this.#contents(inode, { offset: 0, length: size }));
  }

  read(entry: ImageEntry, offset = 0, length = Infinity): Uint8Array {
    if (entry.kind !== 'file') throw new SystemError({ code: 'EISDIR', errno: 21, syscall: 'read', text: 'Is a directory', path: entry.path });
    const inode = this.#inode(entry);
    return this.#contents(inode, fileRange(this.#volume.source.name, inode.size, offset, length));
  }

  extent(entry: ImageEntry): FileRange | undefined {
    const inode = this.#inode(entry);
    const { blockSize } = this.#volume.superblock;
    const blocks = Math.ceil(inode.size / blockSize);
    if (entry.kind !== 'file' || blocks === 0 || (inode.flags & (EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL)) !== 0) return undefined;
    const [run, ...more] = blockRuns(this.#volume, inode, 0, blocks);
    if (run === undefined || more.length > 0 || run.logical !== 0 || run.count < blocks) return undefined;
    return { offset: run.physical * blockSize, length: inode.size };
  }

  #find(path: string): Ext4Inode | undefined {
    let inode = this.#volume.inode(EXT4_ROOT_INO);
    for (const name of path === '' ? [] : path.split('/')) {
      const number = isDirectory(inode) ? this.#directory(inode).get(name) : undefined;
      if (number === undefined) return undefined;
      inode = this.#volume.inode(number);
    }
    return inode;
  }

  #inode(entry: ImageEntry): Ext4Inode {
    const inode = this.#volume.inode(entry.inode);
    if (kindOfMode(inode.mode) === entry.kind) return inode;
    throw this.#volume.error(inode.offset, `the ${entry.kind} ${JSON.stringify(entry.path)}`, `mode ${inode.mode.toString(8)}`);
  }

  #directory(inode: Ext4Inode): Ext4Directory {
    return this.#directories.get(inode.number, () => readExt4Directory(this.#volume, inode));
  }

  #contents(inode: Ext4Inode, range: FileRange): Uint8Array {
    const volume = this.#volume;
    if ((inode.flags & EXT4_ENCRYPT_FL) !== 0) {
      throw new UnsupportedError(`${volume.source.name}: the file of inode ${inode.number} is encrypted; mount the image with its key instead`);
    }
    const { offset, length } = range;
    const end = offset + length;
    if ((inode.flags & EXT4_INLINE_DATA_FL) !== 0) return inlineContents(volume, inode, range);
    const { blockSize } = volume.superblock;
    const pieces = blockRuns(volume, inode, Math.floor(offset / blockSize), Math.ceil(end / blockSize)).map(({ logical, physical, count }) => {
      const from = Math.max(logical * blockSize, offset);
      const to = Math.min((logical + count) * blockSize, end);
      return { at: from - offset, bytes: volume.source.read((physical - logical) * blockSize + from, to - from) };
    });
    const [first] = pieces;
    if (first?.bytes.length === length) return first.bytes;
    const contents = new Uint8Array(length);
    for (const { at, bytes } of pieces) contents.set(bytes, at);
    return contents;
  }
}

function isDirectory(inode: Ext4Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFDIR;
}
