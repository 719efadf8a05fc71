// Where the modules of a release are: the places that somebody names, the tree, or one file in /boot.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, UnsupportedError } from '../errors.ts';
import type { System } from '../system.ts';
import { isModuleFile } from './depmod-priority.ts';
import { hasIndexes, type ModuleSource } from './module-source.ts';
import { isDirectory } from './text-file.ts';
import { openTree, openTreeDirectory, placesOf } from './tree-source.ts';

/** What a tree has, and nothing else. */
const TREE_FILES = ['modules.dep', 'modules.dep.bin', 'modules.order'];

/**
 * The modules of the system's release: in `places` when these are given, each a directory or an image, the later ones laid over the earlier; else in the tree below roots.modules; where there is
 * none, in the first file boot/modules-RELEASE* below it; and where there is none either, an empty tree, as `openTree` has it.
 * What is named, or found in boot, and has no indexes gets them computed. Throws SystemError, and what `openLayers` and reading an image throw.
 */
export async function openModules(system: System, places: string | readonly string[] = []): Promise<ModuleSource> {
  const named = typeof places === 'string' ? [places] : places;
  if (named.length > 0) return openPlaces(system, named);
  const tree = openTree(system);
  const image = existsSync(tree.name) ? undefined : bootImage(system);
  return image === undefined ? tree : openPlaces(system, [image]);
}

async function openPlaces(system: System, places: readonly string[]): Promise<ModuleSource> {
  const layers: ModuleSource[] = [];
  try {
    for (const place of places) layers.push(isDirectory(place) ? openDirectory(place, system.release) : await openImage(system, place));
    const missing = layers.findIndex((layer) => layer.kind === 'tree' && !isDirectory(layer.name));
    if (layers.length > 1 && missing >= 0) throw new UnsupportedError(`${places[missing]}: the directory has no modules of kernel ${system.release}`);
    const [only] = layers;
    // As fast as before there were layers; and an empty tree stays one, whose modules are missed by name.
    if (only && layers.length === 1 && (hasIndexes(only) || missing >= 0)) return only;
    const { openLayers } = await import('./layered-source.ts');
    return await openLayers(system, layers);
  } catch (error) {
    for (const layer of layers) layer.close?.();
    throw error;
  }
}

/** A root directory, one that holds the trees of several releases, or the tree itself; where it is none of these, an empty tree in the first. */
function openDirectory(directory: string, release: string): ModuleSource {
  const places = placesOf(release).map((place) => join(directory, place));
  const tree = places.find((place) => isDirectory(place)) ?? (isTree(directory) ? directory : places[0] ?? directory);
  return openTreeDirectory(tree, release);
}

/** With indexes, or with module files in it or one directory below: no deeper, as the directory may be a whole machine. */
function isTree(directory: string): boolean {
  if (TREE_FILES.some((name) => existsSync(join(directory, name)))) return true;
  const entries = readdirSync(directory, { withFileTypes: true });
  if (entries.some(({ name }) => isModuleFile(name))) return true;
  return entries.some((entry) => entry.isDirectory() && namesIn(join(directory, entry.name)).some(isModuleFile));
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}

async function openImage(system: System, path: string): Promise<ModuleSource> {
  // What has its modules in a tree does not load the readers of images.
  const { openImageSource } = await import('./image-source.ts');
  return openImageSource(system, path, system.release);
}

/** `modules-RELEASE`, or one with something behind it, such as `.erofs`: the first by name. */
function bootImage({ roots, release }: System): string | undefined {
  const boot = join(roots.modules || '/', 'boot');
  const prefix = `modules-${release}`;
  try {
    const names = readdirSync(boot).filter((name) => name === prefix || name.startsWith(`${prefix}.`) || name.startsWith(`${prefix}-`)).sort();
    return names[0] === undefined ? undefined : join(boot, names[0]);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'EACCES' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
