// An erofs image as a tree of files that is read in place.

import { FormatError, LimitError, SystemError } from '../errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { ByteSource } from './byte-source.ts';
import { decodeBytes } from './entry-name.ts';
import { ErofsData } from './erofs-data.ts';
import { parseErofsDirectory, type ErofsDirectory } from './erofs-directory.ts';
import { type ErofsInode, type ErofsVolume, openErofsVolume } from './erofs-volume.ts';
import type { FileRange } from './file-range.ts';
import type { ImageEntry, ImageTree } from './image-tree.ts';

/** Names that are kept of the directories used last. */
const KEPT_NAMES = 65_536;
/** Inodes that are kept: every path leads over those of its directories. */
const KEPT_INODES = 1024;
const MAX_DIRECTORY_SIZE = 16 * 1024 * 1024;
/** linux/limits.h: PATH_MAX. */
const MAX_SYMLINK_TARGET = 4096;

/**
 * The file system in `source`: compact and extended inodes; flat, inline and chunked data, and lz4 with fragments, inline tails and big clusters. The
 * sum of the superblock is verified. Throws FormatError, LimitError, and UnsupportedError for other compression, extra devices and unknown features.
 */
export function openErofs(source: ByteSource): ImageTree {
  return new ErofsTree(openErofsVolume(source));
}

class ErofsTree implements ImageTree {
  readonly format = 'erofs';
  readonly #volume: ErofsVolume;
  readonly #data: ErofsData;
  readonly #directories = new BoundedCache<ErofsDirectory>({ limit: KEPT_NAMES, weightOf: (directory) => directory.size + 1 });
  readonly #inodes = new BoundedCache<ErofsInode>({ limit: KEPT_INODES, weightOf: () => 1 });

  constructor(volume: ErofsVolume) {
    this.#volume = volume;
    this.#data = new ErofsData(volume);
    const root = volume.inode(volume.rootNid);
    if (root.kind !== 'directory') throw this.#error(root, 'the root directory', root.kind);
  }

  entry(path: string): ImageEntry | undefined {
    const inode = this.#find(path);
    if (inode === undefined) return undefined;
    const { kind, size, mode, uid, gid, mtime, nid } = inode;
    return { path, kind, size, mode, uid, gid, mtime, inode: nid };
  }

  list(path: string): readonly string[] | undefined {
    const inode = this.#find(path);
    return inode?.kind === 'directory' ? [...this.#directory(inode).keys()] : undefined;
  }

  readlink(entry: ImageEntry): string {
    if (entry.kind !== 'symlink') throw new SystemError({ code: 'EINVAL', errno: 22, syscall: 'readlink', text: 'Invalid argument', path: entry.path });
    const inode = this.#inode(entry);
    if (inode.size > MAX_SYMLINK_TARGET) throw this.#error(inode, `a symlink of up to ${MAX_SYMLINK_TARGET} bytes`, `${inode.size}`);
    return decodeBytes(this.#data.read(inode));
  }

  read(entry: ImageEntry, offset = 0, length = Infinity): Uint8Array {
    if (entry.kind !== 'file') throw new SystemError({ code: 'EISDIR', errno: 21, syscall: 'read', text: 'Is a directory', path: entry.path });
    return this.#data.read(this.#inode(entry), offset, length);
  }

  extent(entry: ImageEntry): FileRange | undefined {
    return entry.kind === 'file' ? this.#data.extent(this.#inode(entry)) : undefined;
  }

  #find(path: string): ErofsInode | undefined {
    let inode = this.#inodeOf(this.#volume.rootNid);
    for (const name of path === '' ? [] : path.split('/')) {
      const nid = inode.kind === 'directory' ? this.#directory(inode).get(name) : undefined;
      if (nid === undefined) return undefined;
      inode = this.#inodeOf(nid);
    }
    return inode;
  }

  #inodeOf(nid: number): ErofsInode {
    return this.#inodes.get(nid, () => this.#volume.inode(nid));
  }

  #inode(entry: ImageEntry): ErofsInode {
    const inode = this.#inodeOf(entry.inode);
    if (inode.kind === entry.kind) return inode;
    throw this.#error(inode, `the ${entry.kind} ${JSON.stringify(entry.path)}`, inode.kind);
  }

  #directory(inode: ErofsInode): ErofsDirectory {
    return this.#directories.get(inode.nid, () => {
      const { source, blockSize } = this.#volume;
      if (inode.size > MAX_DIRECTORY_SIZE) throw new LimitError({ file: source.name, limit: 'MAX_DIRECTORY_SIZE', maximum: MAX_DIRECTORY_SIZE, actual: inode.size });
      return parseErofsDirectory(this.#data.read(inode), { blockSize, file: source.name, at: inode.end });
    });
  }

  #error(inode: ErofsInode, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.#volume.source.name, offset: inode.end, expected, actual });
  }
}
