// Whether the indexes of an image are those of the modules that are in it.

import { FormatError, LimitError } from '../errors.ts';
import { moduleNameOfPath } from '../kmod/alias.ts';
import { bytesOf } from '../kmod/depmod-scan.ts';
import { DEPMOD_FILES } from '../kmod/depmod-write.ts';
import { placedModule, type PlacedModule } from '../kmod/fresh-indexes.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { type Manifest, MANIFEST_NAME, parseManifest } from './manifest.ts';

const PIECE = 4 * 1024 * 1024;

/**
 * The modules of an image whose indexes are current, with the bytes of each; undefined where they are not.
 *
 * They are current when all of depmod's files are there (modules.weakdep may be absent), modules.dep names just the modules that are there, and, of a
 * bundle of ours, each module and index still has the sum that modules.bundle lists: these came there together. Of other images the times of contents
 * count, as in the copy of a tree: no module, and no directory with modules but the uppermost, is younger than the oldest index.
 */
export function readImageState(source: ModuleSource): { readonly modules: readonly PlacedModule[]; readonly sizes: readonly number[] } | undefined {
  const { stat, modulePaths } = source;
  if (!stat || !modulePaths) return undefined;
  const statOf = stat.bind(source);
  const indexes = DEPMOD_FILES.map(({ name }) => name).filter((name) => name !== 'modules.weakdep' || source.exists(name));
  const times = indexes.map((name) => statOf(name)?.mtime);
  const paths = modulePaths.call(source);
  const named = namedPaths(source);
  if (times.includes(undefined) || !isSame(named, paths)) return undefined;
  const modules = named.map((relative) => placedModule(source, { name: bytesOf(moduleNameOfPath(relative)), relative: bytesOf(relative), path: source.resolve(relative) }));
  const manifest = manifestOf(source);
  if (manifest === undefined) {
    const oldest = Math.min(...times.map((time) => time ?? -Infinity));
    const directories = new Set(named.map((path) => path.slice(0, path.lastIndexOf('/'))).filter((path) => path !== ''));
    if ([...named, ...directories].some((path) => (statOf(path)?.mtime ?? Infinity) > oldest)) return undefined;
  } else {
    const listed = new Map(manifest.files.map((file) => [file.path, file]));
    for (const path of [...named, ...indexes]) {
      const file = listed.get(path);
      if (file === undefined || file.size !== statOf(path)?.size || file.crc32 !== sumOf(source, path)) return undefined;
    }
  }
  return { modules, sizes: named.map((path) => statOf(path)?.size ?? 0) };
}

/** The paths of modules.dep, each once. */
function namedPaths(source: ModuleSource): string[] {
  const text = Buffer.from(source.readIndex('modules.dep') ?? []).toString('utf8');
  return text.split('\n').flatMap((line) => (line.includes(':') ? [line.slice(0, line.indexOf(':'))] : []));
}

/** Whether these are the same modules; of two files of one module modules.dep names the one that counts. */
function isSame(named: readonly string[], paths: readonly string[]): boolean {
  const there = new Set(paths);
  const names = new Set(named.map(moduleNameOfPath));
  return names.size === named.length && named.every((path) => there.has(path)) && paths.every((path) => names.has(moduleNameOfPath(path)));
}

function manifestOf(source: ModuleSource): Manifest | undefined {
  if (!source.exists(MANIFEST_NAME)) return undefined;
  const file = source.open(MANIFEST_NAME);
  try {
    return parseManifest(file.read(0, file.size), file.path);
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof LimitError)) throw error;
    // Of another version, or damaged: then nothing is listed, and nothing current.
    return { builder: '', release: source.release, selected: [], files: [] };
  } finally {
    file.close();
  }
}

function sumOf(source: ModuleSource, path: string): number {
  const { crc32 } = process.getBuiltinModule('node:zlib');
  const file = source.open(path);
  try {
    let sum = 0;
    for (let offset = 0; offset < file.size; offset += PIECE) sum = crc32(file.read(offset, PIECE), sum);
    return sum;
  } finally {
    file.close();
  }
}
