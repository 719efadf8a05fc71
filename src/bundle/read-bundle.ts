// A bundle that is there, or any image with modules: its release, its files by kind, and what its manifest says.

import { UnsupportedError } from '../errors.ts';
import { walk, type ImageEntry } from '../image/image-tree.ts';
import { isModuleFile } from '../kmod/depmod-priority.ts';
import { directoryOf, type ImageFile, openImageFile, releasesOf, sourceInImage } from '../kmod/image-source.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import type { System } from '../system.ts';
import type { BundleFileKind } from './contents.ts';
import { type Manifest, MANIFEST_NAME, parseManifest } from './manifest.ts';

/** A file or symlink of an image; `other` is what is neither below the directory of the release nor firmware. */
export type BundledFile = { readonly kind: BundleFileKind | 'other'; /** As in a manifest; of `other` files in the image. */ readonly path: string; readonly entry: ImageEntry };

export type OpenBundle = {
  readonly image: ImageFile;
  readonly release: string;
  /** Of the release, in the image; '' for its root. */
  readonly directory: string;
  readonly source: ModuleSource;
  /** undefined where it was not made by us. */
  readonly manifest: Manifest | undefined;
  /** All files and symlinks, by path. */
  files(): readonly BundledFile[];
  close(): void;
};

/** Opens an image; `release` tells which modules are meant where it has those of several. Throws what reading an image throws, and UnsupportedError. */
export async function openBundle(system: System, path: string, release?: string): Promise<OpenBundle> {
  const image = await openImageFile(system, path);
  try {
    const { tree } = image;
    const releases = releasesOf(tree);
    if (release === undefined && releases.length > 1) throw new UnsupportedError(`${path}: it has modules of ${releases.join(', ')}: say which with --release`);
    const one = release ?? releases[0] ?? system.release;
    const directory = directoryOf(tree, path, one);
    const prefix = directory === '' ? '' : `${directory}/`;
    const entry = tree.entry(prefix + MANIFEST_NAME);
    const manifest = entry?.kind === 'file' ? parseManifest(tree.read(entry), `${path}/${entry.path}`) : undefined;
    const firmware = directory.includes('/') ? `${directory.slice(0, directory.lastIndexOf('/modules/'))}/firmware/` : 'firmware/';
    const fileOf = (found: ImageEntry): BundledFile => {
      if (found.path.startsWith(prefix)) {
        const below = found.path.slice(prefix.length);
        if (isModuleFile(below)) return { kind: 'module', path: below, entry: found };
        if (/^modules\.[^/]*$/.test(below)) return { kind: 'index', path: below, entry: found };
      } else if (found.path.startsWith(firmware)) {
        return { kind: 'firmware', path: `firmware/${found.path.slice(firmware.length)}`, entry: found };
      }
      return { kind: 'other', path: found.path, entry: found };
    };
    return {
      image, release: manifest?.release ?? one, directory, manifest,
      source: sourceInImage(image, one),
      files: () => [...walk(tree)].filter(({ kind }) => kind !== 'directory').map(fileOf).sort((a, b) => (a.path < b.path ? -1 : 1)),
      close: () => image.close(),
    };
  } catch (error) {
    image.close();
    throw error;
  }
}
