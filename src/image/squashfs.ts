// A squashfs file system in an image, as a tree of files that is read in place.

import { SystemError } from '../errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { ByteSource } from './byte-source.ts';
import type { Decompressor } from './compressed-segment.ts';
import { fileRange } from './file-range.ts';
import type { FileRange } from './file-range.ts';
import type { ImageEntry, ImageTree } from './image-tree.ts';
import { readSquashfsContents, squashfsExtent } from './squashfs-contents.ts';
import { readSquashfsDirectory } from './squashfs-directory.ts';
import type { SquashfsDirectory } from './squashfs-directory.ts';
import { readSquashfsInode } from './squashfs-inode.ts';
import type { SquashfsInode } from './squashfs-inode.ts';
import { SquashfsVolume } from './squashfs-volume.ts';

/** What is kept of the directories and inodes used last. */
const KEPT_NAMES = 65_536;
const KEPT_INODES = 4096;

/**
 * The file system in `source`, version 4.0. The decompressor is called for xz and zstd; gzip and lz4 need none, lzma and lzo are not read.
 * Throws FormatError, LimitError, UnsupportedError, and what the decompressor throws.
 */
export function openSquashfs(source: ByteSource, options: { readonly decompressor?: Decompressor | undefined } = {}): ImageTree {
  return new SquashfsTree(new SquashfsVolume(source, options.decompressor));
}

class SquashfsTree implements ImageTree {
  readonly format = 'squashfs';
  readonly #volume: SquashfsVolume;
  /** By reference of the inode, as the inodes. */
  readonly #directories = new BoundedCache<SquashfsDirectory>({ limit: KEPT_NAMES, weightOf: (directory) => directory.size + 1 });
  readonly #inodes = new BoundedCache<SquashfsInode>({ limit: KEPT_INODES, weightOf: () => 1 });

  constructor(volume: SquashfsVolume) {
    this.#volume = volume;
    const { kind } = this.#inode(volume.superblock.root);
    if (kind !== 'directory') throw volume.error(volume.superblock.inodeTable, 'the root directory', `a ${kind}`);
  }

  entry(path: string): ImageEntry | undefined {
    const reference = this.#find(path);
    if (reference === undefined) return undefined;
    const { kind, size, mode, uid, gid, mtime, inode } = this.#inode(reference);
    return { path, kind, size, mode, uid, gid, mtime, inode };
  }

  list(path: string): readonly string[] | undefined {
    const reference = this.#find(path);
    const directory = reference === undefined ? undefined : this.#directory(reference);
    return directory && [...directory.keys()];
  }

  readlink(entry: ImageEntry): string {
    const inode = this.#inodeOf(entry);
    if (inode.kind === 'symlink') return inode.target;
    throw new SystemError({ code: 'EINVAL', errno: 22, syscall: 'readlink', text: 'Invalid argument', path: entry.path });
  }

  read(entry: ImageEntry, offset = 0, length = Infinity): Uint8Array {
    const inode = this.#inodeOf(entry);
    if (inode.kind !== 'file') throw new SystemError({ code: 'EISDIR', errno: 21, syscall: 'read', text: 'Is a directory', path: entry.path });
    return readSquashfsContents(this.#volume, inode, fileRange(this.#volume.source.name, inode.size, offset, length));
  }

  extent(entry: ImageEntry): FileRange | undefined {
    const inode = this.#inodeOf(entry);
    return inode.kind === 'file' ? squashfsExtent(this.#volume, inode) : undefined;
  }

  #find(path: string): number | undefined {
    let reference = this.#volume.superblock.root;
    for (const name of path === '' ? [] : path.split('/')) {
      const child = this.#directory(reference)?.get(name);
      if (child === undefined) return undefined;
      reference = child;
    }
    return reference;
  }

  /** Numbers of inodes do not say where they are: the path does. */
  #inodeOf(entry: ImageEntry): SquashfsInode {
    const reference = this.#find(entry.path);
    if (reference !== undefined) return this.#inode(reference);
    throw new SystemError({ code: 'ENOENT', errno: 2, syscall: 'open', text: 'No such file or directory', path: entry.path });
  }

  #inode(reference: number): SquashfsInode {
    return this.#inodes.get(reference, () => readSquashfsInode(this.#volume, reference));
  }

  #directory(reference: number): SquashfsDirectory | undefined {
    const inode = this.#inode(reference);
    if (inode.kind !== 'directory') return undefined;
    return this.#directories.get(reference, () => readSquashfsDirectory(this.#volume, inode.listing, inode.size));
  }
}
