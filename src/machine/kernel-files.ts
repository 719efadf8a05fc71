// The modules of one kernel for a machine: of an initramfs, an image of modules, a tree or a root directory, with its own configuration.

import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { codeOf, UnsupportedError } from '../errors.ts';
import { type ImageTree, resolve as resolveInside } from '../image/image-tree.ts';
import { CONFIG_DIRECTORIES, isConfigName } from '../kmod/config-files.ts';
import { openModules } from '../kmod/find-modules.ts';
import { openImageFile, sourceInImage } from '../kmod/image-source.ts';
import { type Kmod, openKmod } from '../kmod/kmod.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import type { Source } from '../kmod/probe.ts';
import { placesOf } from '../kmod/tree-source.ts';
import type { System } from '../system.ts';
import { type Machine, releaseOf } from './open-machine.ts';

export type KernelFiles = {
  /** As it was given. */
  readonly name: string;
  readonly release: string;
  /** An archive with an /init. */
  readonly isInitramfs: boolean;
  /** Whether it has a file, by its path without a slash in front; absent for what holds modules only. */
  readonly holds?: (path: string) => boolean;
  readonly system: System;
  readonly kmod: Kmod;
  close(): Promise<void>;
};

const TREES = ['lib/modules', 'usr/lib/modules'];
/** Of all files of modprobe.d in an image together. */
const CONFIG_MAX = 16 * 1024 * 1024;

/**
 * `path` is an image, a directory that looks like /, one of trees, or a tree. The release is the given one; else the machine's where it is
 * there; else the only one. What modprobe.d says is that of the image or directory. Throws UnsupportedError where the release is not there or
 * not one, and what reading an image throws.
 */
export async function openKernelFiles(machine: Machine, path: string, release?: string): Promise<KernelFiles> {
  return statSync(path).isDirectory() ? openDirectory(machine, resolve(path), path, release) : openImage(machine, path, release);
}

async function openDirectory(machine: Machine, directory: string, name: string, given: string | undefined): Promise<KernelFiles> {
  const isTree = existsSync(join(directory, 'modules.dep')) || existsSync(join(directory, 'modules.order'));
  const release = isTree ? given ?? basename(directory) : chooseRelease(machine, name, given, [...TREES.map((tree) => join(directory, tree)), directory].map(releasesAt));
  const system = machine.openSystem({ release, roots: { config: isTree ? emptyDirectory(machine) : directory } });
  const holds = (path: string): boolean => existsSync(join(directory, path));
  return withKmod({ name, release, isInitramfs: false, ...(isTree ? {} : { holds }), system }, await openModules(system, isTree ? directory : placesOf(release).map((place) => join(directory, place)).find((place) => existsSync(place)) ?? directory));
}

async function openImage(machine: Machine, path: string, given: string | undefined): Promise<KernelFiles> {
  const image = await openImageFile(machine.openSystem(), path);
  const { tree, close } = image;
  try {
    const trees = TREES.map((directory) => tree.list(directory) ?? []);
    const top = tree.entry('modules.dep') === undefined ? (tree.list('') ?? []).filter((name) => tree.entry(`${name}/modules.dep`) !== undefined) : [];
    const isTree = trees.every((names) => names.length === 0) && top.length === 0;
    const release = isTree ? given ?? releaseOf(machine.recording) ?? machine.openSystem().release : chooseRelease(machine, path, given, [...trees, top]);
    const config = emptyDirectory(machine);
    copyConfig(tree, config);
    const system = machine.openSystem({ release, roots: { config } });
    // Without indexes they are computed, which needs the file, and not what is open of it.
    const opened = sourceInImage(image, release);
    const hasIndex = opened.exists('modules.dep.bin') || opened.exists('modules.dep');
    const source = hasIndex ? opened : await openModules(system, path);
    const holds = (file: string): boolean => resolveInside(tree, file) !== undefined;
    const kernel = withKmod({ name: path, release, isInitramfs: tree.format === 'cpio' && holds('init'), ...(isTree ? {} : { holds }), system }, source);
    return hasIndex ? kernel : { ...kernel, close: () => kernel.close().finally(close) };
  } catch (error) {
    close();
    throw error;
  }
}

/** Where something is configured, as people know the place: in the image or directory, or on the machine's command line. */
export function configuredIn({ name, system: { roots } }: KernelFiles, { file, line }: Source): string {
  if (file === `${roots.proc}/cmdline`) return 'kernel command line';
  const place = file.startsWith(`${roots.config}/`) ? join(name, file.slice(roots.config.length)) : file;
  return line === undefined ? place : `${place}:${line}`;
}

function withKmod(rest: Omit<KernelFiles, 'kmod' | 'close'>, source: ModuleSource): KernelFiles {
  const kmod = openKmod(rest.system, { source });
  return {
    ...rest, kmod,
    async close() {
      await kmod.close();
      source.close?.();
    },
  };
}

function chooseRelease(machine: Machine, name: string, given: string | undefined, found: readonly (readonly string[])[]): string {
  const all = [...new Set(found.flat())];
  const own = releaseOf(machine.recording);
  const wanted = given ?? (own !== undefined && all.includes(own) ? own : undefined);
  const [only, ...others] = all;
  if (wanted !== undefined && all.includes(wanted)) return wanted;
  if (only === undefined) throw new UnsupportedError(`${name}: there are no modules in it`);
  if (wanted !== undefined) throw new UnsupportedError(`${name}: no modules of kernel ${wanted}, but of ${all.join(', ')}`);
  if (others.length > 0) throw new UnsupportedError(`${name}: modules of several kernels: name one with -S: ${all.join(', ')}`);
  return only;
}

/** Directories that hold the indexes of a release. */
function releasesAt(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => ['modules.dep', 'modules.order'].some((file) => existsSync(join(directory, name, file))));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}

let directories = 0;

/** Of the machine, and gone with it. */
function emptyDirectory({ root }: Machine): string {
  const directory = join(root, `kernel-${directories++}`);
  mkdirSync(directory);
  return directory;
}

function copyConfig(tree: ImageTree, directory: string): void {
  let left = CONFIG_MAX;
  for (const place of CONFIG_DIRECTORIES.map((top) => `${top}/modprobe.d`)) {
    for (const name of tree.list(place) ?? []) {
      const entry = isConfigName(name) && !name.includes('/') ? resolveInside(tree, `${place}/${name}`) : undefined;
      if (entry?.kind !== 'file') continue;
      left -= entry.size;
      if (left < 0) throw new UnsupportedError(`${place} of the image has more than ${CONFIG_MAX} bytes`);
      mkdirSync(join(directory, place), { recursive: true });
      writeFileSync(join(directory, place, name), tree.read(entry));
    }
  }
}
