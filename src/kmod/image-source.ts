// The modules of a release in one file: an image that holds a tree, read in place.

import { SystemError, UnsupportedError } from '../errors.ts';
import type { ByteSource } from '../image/byte-source.ts';
import { checkFileSize } from '../image/file-range.ts';
import { openFileSource } from '../image/file-source.ts';
import { imageFormatOf } from '../image/image-format.ts';
import { type ImageEntry, type ImageTree, resolve as resolveInside, walk } from '../image/image-tree.ts';
import { describeErrno, errnoByName, type System } from '../system.ts';
import { isModuleFile } from './depmod-priority.ts';
import type { IndexReader, ModuleFile, ModuleSource } from './module-source.ts';
import { openModuleFile, placesOf } from './tree-source.ts';

/** What a directory of modules has at least one of. */
const TREE_FILES = ['modules.dep', 'modules.dep.bin', 'modules.order', 'kernel', 'updates', 'extra'];

/**
 * The tree of a release inside the image at `path`: below lib/modules or usr/lib/modules where it is a root file system, as RELEASE where it is
 * /lib/modules itself, or all of it. Paths of modules are those that they would have were the image a directory: `IMAGE/kernel/fs/xfs/xfs.ko`.
 * The file stays open until `close`. Throws SystemError, FormatError and LimitError, and UnsupportedError for what is not read or has no such release.
 */
export async function openImageSource(system: System, path: string, release: string): Promise<ModuleSource> {
  const image = await openImageFile(system, path);
  try {
    return sourceInImage(image, release);
  } catch (error) {
    image.close();
    throw error;
  }
}

/** An open image, and the file that it is. */
export type ImageFile = { readonly path: string; readonly size: number; readonly tree: ImageTree; readonly close: () => void };

/** Opens any image that we read, with the libraries that its compression wants. Throws as openImageSource does. */
export async function openImageFile(system: System, path: string): Promise<ImageFile> {
  const file = openFileSource(path);
  try {
    const tree = await openTree(file, system);
    return { path, size: file.size, tree, close: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The modules of a release in an image that is open; closing the one closes the other. Throws UnsupportedError where it has none. */
export function sourceInImage({ tree, path, close }: ImageFile, release: string): ModuleSource {
  return new ImageSource(tree, path, release, directoryOf(tree, path, release), close);
}

/** The releases whose modules an image has, sorted; none where it has no directory of such a name. */
export function releasesOf(tree: ImageTree): readonly string[] {
  const found = ['lib/modules', 'usr/lib/modules', ''].flatMap((directory) => tree.list(directory)?.filter((name) => isTree(tree, directory === '' ? name : `${directory}/${name}`)) ?? []);
  // A root file system has lib/modules, and the tree itself kernel/ with directories that look like trees.
  return isTree(tree, '') ? [] : [...new Set(found)].sort();
}

/** The directory of a release inside an image, '' for its root. Throws UnsupportedError where it has none. */
export function directoryOf(tree: ImageTree, path: string, release: string): string {
  const found = [...placesOf(release), ''].find((directory) => isTree(tree, directory));
  if (found !== undefined) return found;
  const others = releasesOf(tree);
  const held = others.length === 0 ? 'no modules at all' : `those of ${others.join(', ')}`;
  throw new UnsupportedError(`${path}: the image has no modules of kernel ${release}: it has ${held}`);
}

function isTree(tree: ImageTree, directory: string): boolean {
  return TREE_FILES.some((name) => resolveInside(tree, `${directory}/${name}`) !== undefined) || tree.list(directory)?.some(isModuleFile) === true;
}

class ImageSource implements ModuleSource {
  readonly kind = 'image';
  readonly release: string;
  readonly name: string;
  readonly file: string;
  readonly close: () => void;
  readonly #tree: ImageTree;
  /** In the image, '' or with a slash at its end. */
  readonly #prefix: string;

  constructor(tree: ImageTree, path: string, release: string, directory: string, close: () => void) {
    this.release = release;
    this.file = path;
    this.close = close;
    this.#tree = tree;
    this.#prefix = directory === '' ? '' : `${directory}/`;
    this.name = directory === '' ? path : `${path}/${directory}`;
  }

  readIndex(name: string): Uint8Array | undefined {
    const entry = this.#find(name);
    return entry && this.#tree.read(entry);
  }

  openIndex(name: string): IndexReader | undefined {
    const entry = this.#find(name);
    if (!entry) return undefined;
    return {
      read: (into, offset) => {
        const bytes = this.#tree.read(entry, offset, into.length);
        into.set(bytes);
        return bytes.length;
      },
      size: () => entry.size,
      all: () => this.#tree.read(entry),
      close: () => undefined,
    };
  }

  readText(name: string): string | undefined {
    const bytes = this.readIndex(name);
    return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  }

  resolve(path: string): string {
    return path.startsWith('/') ? path : `${this.name}/${path}`;
  }

  modulePaths(): readonly string[] {
    return [...walk(this.#tree, this.#prefix.slice(0, -1))].flatMap(({ kind, path }) => (kind === 'file' && isModuleFile(path) ? path.slice(this.#prefix.length) : []));
  }

  stat(path: string): { readonly size: number; readonly mtime: number } | undefined {
    return resolveInside(this.#tree, this.#prefix + path);
  }

  exists(path: string): boolean {
    return this.#find(this.#inside(path) ?? path) !== undefined;
  }

  open(path: string): ModuleFile {
    const inside = this.#inside(path);
    // depmod writes modules of an external directory with their whole paths: they are files of the machine.
    if (inside === undefined) return openModuleFile(path);
    const entry = this.#find(inside);
    if (entry === undefined) throw noSuchFile(this.resolve(inside));
    checkFileSize({ path: this.file, size: 0 }, entry.size);
    return {
      path: this.resolve(inside),
      size: entry.size,
      fd: undefined,
      read: (offset, length) => this.#tree.read(entry, offset, length),
      close: () => undefined,
    };
  }

  /** The path in our directory, also of one that `resolve` gave; undefined for one of the machine. */
  #inside(path: string): string | undefined {
    if (path.startsWith(`${this.name}/`)) return path.slice(this.name.length + 1);
    return path.startsWith('/') ? undefined : path;
  }

  #find(path: string): ImageEntry | undefined {
    const entry = path.startsWith('/') ? undefined : resolveInside(this.#tree, this.#prefix + path);
    return entry?.kind === 'file' ? entry : undefined;
  }
}

/** erofs, which bundles are, alone: the readers of all formats, and what decompresses for them, take longer to load than an image to open. */
async function openTree(file: ByteSource, system: System): Promise<ImageTree> {
  const format = imageFormatOf(file);
  if (format === 'erofs') return (await import('../image/erofs.ts')).openErofs(file);
  const [{ openImage }, { decompress }, { compressedEnd }, { nativeCodecs }] = await Promise.all([
    import('../image/detect.ts'), import('./compression.ts'), import('./compressed-end.ts'), import('./native-codecs.ts'),
  ]);
  const codecs = format === 'ext4' || format === 'tar' ? {} : await nativeCodecs(system, system.log);
  return openImage(file, { decompressor: { decompress: (data, compression, options) => decompress(data, compression, { ...options, codecs }), compressedEnd } });
}

function noSuchFile(path: string): SystemError {
  const errno = errnoByName('ENOENT') ?? 2;
  return new SystemError({ ...describeErrno(errno), errno, syscall: 'open', path });
}
