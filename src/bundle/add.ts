// Adds modules to a bundle, or replaces them: the same bundle anew, with indexes of all its modules.

import { statSync } from 'node:fs';
import { basename } from 'node:path';

import { UnsupportedError, UsageError } from '../errors.ts';
import { moduleNameOfPath } from '../kmod/alias.ts';
import { isModuleFile } from '../kmod/depmod-priority.ts';
import { bytesOf } from '../kmod/depmod-scan.ts';
import { DEPMOD_FILES } from '../kmod/depmod-write.ts';
import { formatIndexes, KERNEL_FILES, kernelLists, placedModule, type PlacedModule, readFacts } from '../kmod/fresh-indexes.ts';
import { indexedModules, looseModules } from '../kmod/layered-source.ts';
import { parseModuleInfo } from '../kmod/modinfo.ts';
import { hasIndexes } from '../kmod/module-source.ts';
import { ImageReader } from '../kmod/image-reader.ts';
import type { System } from '../system.ts';
import { type BundleContents, type BundleFile, indexFiles, readableFacts, sizeOf, sorted } from './contents.ts';
import { MANIFEST_NAME } from './manifest.ts';
import type { OpenBundle } from './read-bundle.ts';
import { BUNDLE_FORMATS, type BundleFormat } from './write-image.ts';

/** Where a module goes that the bundle does not have: as with those of other sources in a tree. */
const ADDED = 'extra';

const OWN_INDEXES = new Set<string>([...DEPMOD_FILES.map(({ name }) => name), ...KERNEL_FILES, MANIFEST_NAME]);

export type AddedModule = { readonly name: string; /** In the bundle. */ readonly path: string; /** That it had there before, where it had one. */ readonly replaces: string | undefined };

export type Addition = {
  readonly contents: BundleContents;
  readonly format: BundleFormat;
  readonly added: readonly AddedModule[];
  /** What the kernel may refuse these modules for. */
  readonly warnings: readonly string[];
};

/**
 * What the bundle is with these files: a module of a name that is there is replaced in its place, another one comes into extra/. Throws
 * UnsupportedError for an image that holds more than a bundle does, which would be lost, and for modules that cannot be read; UsageError for
 * files that are no modules.
 */
export async function planAddition(system: System, bundle: OpenBundle, files: readonly string[], onProgress?: (text: string) => void): Promise<Addition> {
  const { image, source, release, directory } = bundle;
  const { format } = image.tree;
  const written = BUNDLE_FORMATS.find((name) => name === format);
  if (written === undefined) throw new UnsupportedError(`${image.path}: a ${format} is read, and not written: make a bundle of it with bundle create --from ${image.path}`);
  const found = bundle.files();
  const place = written === 'cpio' ? `lib/modules/${release}` : release;
  const foreign = found.find(({ kind, path, entry }) => kind === 'other' || entry.kind !== 'file' || (kind === 'index' && !OWN_INDEXES.has(path)));
  if (directory !== place || foreign !== undefined) {
    throw new UnsupportedError(`${image.path}: it is no bundle of ours: ${foreign === undefined ? `its modules are in ${directory || 'its root'}, and not in ${place}` : `it has ${foreign.entry.path}`}, which would be lost`);
  }
  const modules = new Map<string, PlacedModule>();
  for (const file of hasIndexes(source) ? indexedModules(source, system) : looseModules(source, system)) modules.set(file.name, placedModule(source, file));
  const added: AddedModule[] = [];
  for (const path of files) {
    if (!isModuleFile(path) || !statSync(path).isFile()) throw new UsageError(`add ${path}: a module is a file whose name ends in .ko, .ko.gz, .ko.xz or .ko.zst`);
    const name = bytesOf(moduleNameOfPath(path));
    if (added.some((other) => other.name === name)) throw new UsageError(`add ${path}: two files of the module ${name}`);
    const old = modules.get(name)?.relative;
    const relative = `${old?.includes('/') ? old.slice(0, old.lastIndexOf('/')) : ADDED}/${bytesOf(basename(path))}`;
    modules.set(name, { ...placedModule(undefined, { name, path, relative }), relative });
    added.push({ name, path: relative, replaces: old });
  }
  onProgress?.(`reading ${modules.size} modules`);
  const placed = [...modules.values()];
  const facts = readableFacts(await readFacts(system, placed, (done, total) => onProgress?.(`reading modules: ${done} of ${total}`)));
  const lists = kernelLists([source]);
  const indexes = indexFiles(formatIndexes(image.path, placed, facts, lists), lists);
  const members = placed.map((module): BundleFile => ({ kind: 'module', path: module.relative, size: sizeOf(module), from: module.isFile ? module.path : module.open }));
  const firmware = found.flatMap(({ kind, path, entry }): BundleFile[] => (kind === 'firmware' ? [{
    kind, path, size: entry.size,
    from: () => ({ path: `${image.path}/${entry.path}`, size: entry.size, fd: undefined, read: (offset, length) => image.tree.read(entry, offset, length), close: () => undefined }),
  }] : []));
  return {
    format: written, added, warnings: await refusals(system, placed.filter(({ name }) => added.some((one) => one.name === name)), release),
    contents: { release, files: sorted([...members, ...indexes, ...firmware]), indexes: 'made', selection: undefined },
  };
}

/** With modversions a kernel takes a module that was built for another release if the rest agrees: so these are not errors. */
async function refusals(system: System, modules: readonly PlacedModule[], release: string): Promise<string[]> {
  const reader = new ImageReader(system);
  const warnings: string[] = [];
  for (const { path } of modules) {
    const vermagic = await reader.use(path, (bytes) => parseModuleInfo(bytes, path)?.entries.find(({ key }) => key === 'vermagic')?.value);
    if (vermagic !== undefined && vermagic.split(' ')[0] !== release) warnings.push(`${path}: was built for ${vermagic.split(' ')[0]}, and the bundle is of ${release}`);
  }
  return warnings;
}
