// Makes a bundle: finds the modules, selects, writes, and says what came of it.

import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { UsageError } from '../errors.ts';
import { openModules } from '../kmod/find-modules.ts';
import { openImageFile, releasesOf } from '../kmod/image-source.ts';
import type { SelectOptions } from '../kmod/select-reader.ts';
import type { Selection } from '../kmod/select.ts';
import { isDirectory } from '../kmod/text-file.ts';
import type { System } from '../system.ts';
import { type BundleContents, type BundleFileKind, readContents } from './contents.ts';
import { writeBundle, type WriteOptions } from './write-image.ts';

export type CreateBundleOptions = Omit<WriteOptions, 'onProgress'> & {
  /** Directories or images, the later ones laid over the earlier; where modules usually are when empty. */
  readonly modules: readonly string[];
  readonly select?: SelectOptions | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
};

export type Sized = { readonly files: number; readonly bytes: number };

/** All sizes in bytes. */
export type BundleReport = {
  readonly path: string;
  readonly format: WriteOptions['format'];
  readonly release: string;
  /** Of the image. */
  readonly size: number;
  readonly module: Sized;
  readonly index: Sized;
  readonly firmware: Sized;
  /** `kept`: those of the source, which were current. */
  readonly indexes: BundleContents['indexes'];
  /** Firmware that modules name and that is not on this machine. */
  readonly missingFirmware: readonly string[];
};

/** What goes into the bundle of a system's release. Throws UsageError for names that select nothing, and as readContents does. */
export async function planBundle(system: System, { modules, select, onProgress }: Pick<CreateBundleOptions, 'modules' | 'select' | 'onProgress'>): Promise<BundleContents> {
  const source = await openModules(system, modules);
  try {
    if (source.kind === 'tree' && !isDirectory(source.name)) throw new UsageError(`no modules of ${system.release} in ${source.name}: name them with --from, or the release with --release`);
    const contents = await readContents(system, source, { select, onProgress });
    const absent = contents.selection?.missing.find(({ kind }) => kind !== 'firmware');
    if (absent !== undefined) throw new UsageError(`--select ${absent.name}: ${source.name} has no such module`);
    if (!contents.files.some(({ kind }) => kind === 'module')) throw new UsageError(`${source.name}: ${select ? 'nothing was selected' : 'it has no modules'}`);
    return { ...contents, close: () => source.close?.() };
  } catch (error) {
    source.close?.();
    throw error;
  }
}

/** Writes what was planned. Throws as writeBundle does. */
export async function writePlanned(path: string, contents: BundleContents, options: Omit<CreateBundleOptions, 'modules' | 'select'>): Promise<BundleReport> {
  const { onProgress } = options;
  const size = await writeBundle(path, contents, { ...options, onProgress: (done, total) => onProgress?.(`writing ${percent(done, total)} of ${Math.ceil(total / 1e6)} MB`) });
  return {
    path: resolve(path), format: options.format, release: contents.release, size, indexes: contents.indexes,
    module: sizedOf(contents, 'module'), index: sizedOf(contents, 'index'), firmware: sizedOf(contents, 'firmware'), missingFirmware: missingFirmware(contents.selection),
  };
}

/** Plans and writes a bundle at `path`. */
export async function createBundle(system: System, path: string, options: CreateBundleOptions): Promise<BundleReport> {
  const contents = await planBundle(system, options);
  try {
    return await writePlanned(path, contents, options);
  } finally {
    contents.close?.();
  }
}

/** The one release whose modules are at a place. Throws UsageError where it has those of several, or tells none. */
export async function releaseAt(system: System, place: string): Promise<string> {
  const found = isDirectory(place) ? releasesBelow(place) : await releasesInImage(system, place);
  const [release] = found;
  if (release === undefined || found.length > 1) throw new UsageError(`${place}: ${found.length === 0 ? 'it does not tell its release' : `it has modules of ${found.join(', ')}`}: give --release`);
  return release;
}

function releasesBelow(directory: string): readonly string[] {
  const isTree = (path: string): boolean => ['modules.dep', 'modules.order', 'kernel'].some((name) => existsSync(join(path, name)));
  const absolute = resolve(directory);
  if (isTree(absolute)) return [basename(absolute)];
  const found = ['lib/modules', 'usr/lib/modules', ''].flatMap((name) => (isDirectory(join(absolute, name)) ? readdirSync(join(absolute, name)).filter((entry) => isTree(join(absolute, name, entry))) : []));
  return [...new Set(found)].sort();
}

async function releasesInImage(system: System, path: string): Promise<readonly string[]> {
  const image = await openImageFile(system, path);
  try {
    return releasesOf(image.tree);
  } finally {
    image.close();
  }
}

function sizedOf({ files }: BundleContents, kind: BundleFileKind): Sized {
  const those = files.filter((file) => file.kind === kind);
  return { files: those.length, bytes: those.reduce((sum, { size }) => sum + size, 0) };
}

function missingFirmware(selection: Selection | undefined): readonly string[] {
  return selection?.missing.flatMap(({ kind, name }) => (kind === 'firmware' ? [name] : [])) ?? [];
}

function percent(done: number, total: number): string {
  return `${String(total === 0 ? 100 : Math.floor((done / total) * 100)).padStart(3)} %`;
}
