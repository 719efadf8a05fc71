// A container of files as a tree: the interface that every format of image answers, and walks over it.

import { FormatError, LimitError, SystemError } from '../errors.ts';

export type ImageFormat = 'ext4' | 'squashfs' | 'erofs' | 'cpio' | 'tar';

/** One entry of an image. */
export type ImageEntry = {
  /** No leading slash; '' is the root. Names as entry-name.ts decodes them. */
  readonly path: string;
  /** Device nodes, fifos and sockets are `other`. */
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  /** Bytes of a file, or of the target of a symlink; otherwise of no meaning. */
  readonly size: number;
  /** Permission bits only, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** The same for two entries only where they are hard links of one file. */
  readonly inode: number;
};

/**
 * A container of files, read in place. Look-ups never follow symlinks by themselves; `resolve` does, inside the image.
 * Everything throws FormatError and LimitError for damage, UnsupportedError for what is not read, and the errors of the source.
 */
export interface ImageTree {
  readonly format: ImageFormat;
  /** The entry with exactly this path: no symlink is followed, neither in the last component nor before. */
  entry(path: string): ImageEntry | undefined;
  /** The names in a directory, sorted by their bytes, without `.` and `..`; undefined where there is no directory. */
  list(path: string): readonly string[] | undefined;
  /** The target of a symlink, as it is written. */
  readlink(entry: ImageEntry): string;
  /** Up to `length` bytes of a file from `offset`; all when absent, fewer only at the end. Reads only blocks that are needed. */
  read(entry: ImageEntry, offset?: number, length?: number): Uint8Array;
  /** Where the file's bytes lie in one piece in the image, uncompressed; undefined when they do not. */
  extent(entry: ImageEntry): { readonly offset: number; readonly length: number } | undefined;
}

/** As many links as Linux follows in one path: linux/namei.h. */
export const MAXSYMLINKS = 40;
const ELOOP = 40;
/** linux/limits.h: PATH_MAX of one component each and its slash. */
const MAX_IMAGE_DEPTH = 2048;
/** What a path may grow to while links are put into it. */
const MAX_PATH_COMPONENTS = 4096;

/**
 * The entry that a path leads to, all symlinks followed as if the image were the root directory: nothing leads out of it.
 * undefined where there is none. Throws SystemError ELOOP after MAXSYMLINKS links.
 */
export function resolve(tree: ImageTree, path: string): ImageEntry | undefined {
  const components = componentsOf(path);
  if (!components.includes('..')) {
    // No link on the way, which is the rule: one look-up for the whole path.
    const entry = tree.entry(components.join('/'));
    if (entry !== undefined && entry.kind !== 'symlink') return entry;
  }
  return resolveLinks(tree, components, path);
}

/** The entry at `path` and everything below it, parents first, in the order of `list`. Symlinks are not followed. */
export function* walk(tree: ImageTree, path = ''): Generator<ImageEntry> {
  const start = tree.entry(path);
  if (start !== undefined) yield* walkEntry(tree, start, new Set(), 0);
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((component) => component !== '' && component !== '.');
}

function resolveLinks(tree: ImageTree, components: readonly string[], path: string): ImageEntry | undefined {
  const pending = components.toReversed();
  const done: string[] = [];
  let links = 0;
  let entry = tree.entry('');
  for (let component = pending.pop(); component !== undefined; component = pending.pop()) {
    if (component === '..') done.pop();
    else done.push(component);
    entry = tree.entry(done.join('/'));
    if (entry === undefined) return undefined;
    if (entry.kind !== 'symlink') continue;
    if (++links > MAXSYMLINKS) throw new SystemError({ code: 'ELOOP', errno: ELOOP, syscall: 'open', text: 'Too many levels of symbolic links', path });
    const target = tree.readlink(entry);
    if (target.startsWith('/')) done.length = 0;
    else done.pop();
    pending.push(...componentsOf(target).reverse());
    if (pending.length + done.length > MAX_PATH_COMPONENTS) {
      throw new LimitError({ file: path, limit: 'MAX_PATH_COMPONENTS', maximum: MAX_PATH_COMPONENTS });
    }
    entry = tree.entry(done.join('/'));
  }
  return entry;
}

/** A directory that is met twice is a loop, or would make a tree of it that is larger than any image. */
function* walkEntry(tree: ImageTree, entry: ImageEntry, seen: Set<number>, depth: number): Generator<ImageEntry> {
  yield entry;
  if (entry.kind !== 'directory') return;
  const file = `${tree.format} image`;
  if (depth >= MAX_IMAGE_DEPTH) throw new LimitError({ file, limit: 'MAX_IMAGE_DEPTH', maximum: MAX_IMAGE_DEPTH });
  if (seen.has(entry.inode)) {
    throw new FormatError({ file, offset: 0, expected: 'each directory once', actual: `inode ${entry.inode} again, at ${JSON.stringify(entry.path)}` });
  }
  seen.add(entry.inode);
  for (const name of tree.list(entry.path) ?? []) {
    const child = tree.entry(entry.path === '' ? name : `${entry.path}/${name}`);
    if (child !== undefined) yield* walkEntry(tree, child, seen, depth + 1);
  }
}
