// Where the modules of a release are: the places that somebody names, the tree, or one file in /boot.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import type { ModuleSource } from './module-source.ts';
import { isDirectory } from './text-file.ts';
import { openTree, openTreeDirectory, placesOf } from './tree-source.ts';

/**
 * The modules of the system's release: in `place` when that is given, a directory or an image; else in the tree below roots.modules; where there is
 * none, in the first file boot/modules-RELEASE* below it; and where there is none either, an empty tree, as `openTree` has it.
 * Throws SystemError, and what reading an image throws.
 */
export async function openModules(system: System, place?: string): Promise<ModuleSource> {
  if (place !== undefined) return isDirectory(place) ? openDirectory(place, system.release) : openImage(system, place);
  const tree = openTree(system);
  const image = existsSync(tree.name) ? undefined : bootImage(system);
  return image === undefined ? tree : openImage(system, image);
}

/** A root directory, one that holds the trees of several releases, or the tree itself; where it is none of these, an empty tree in the first. */
function openDirectory(directory: string, release: string): ModuleSource {
  const places = placesOf(release).map((place) => join(directory, place));
  const itself = ['modules.dep', 'modules.dep.bin'].some((name) => existsSync(join(directory, name)));
  return openTreeDirectory(places.find((place) => isDirectory(place)) ?? (itself ? directory : places[0] ?? directory), release);
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
