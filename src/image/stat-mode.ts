// The bits of st_mode that say what an entry is.

import type { ImageEntry } from './image-tree.ts';

/** sys/stat.h: the type bits of st_mode. */
export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

/** The kind by the type bits of st_mode: `other` for all that is no file, directory or symlink. */
export function kindOfMode(mode: number): ImageEntry['kind'] {
  switch (mode & S_IFMT) {
    case S_IFREG: return 'file';
    case S_IFDIR: return 'directory';
    case S_IFLNK: return 'symlink';
    default: return 'other';
  }
}
