// Several module sources as one, base first: each later one adds modules or replaces them, and the indexes are made in memory.

import { lstatSync, statSync } from 'node:fs';

import type { System } from '../system.ts';
import { moduleNameOfPath } from './alias.ts';
import { parseDepmodConfig } from './depmod-config.ts';
import type { ModulePath } from './depmod-priority.ts';
import { bytesOf, scanModules } from './depmod-scan.ts';
import { formatIndexes, KERNEL_FILES, kernelLists, placedModule, readFacts } from './fresh-indexes.ts';
import { readLayerCache, writeLayerCache } from './layer-cache.ts';
import { ModuleDb } from './module-db.ts';
import { hasIndexes, type IndexName, type ModuleFile, type ModuleSource } from './module-source.ts';
import { openModuleFile } from './tree-source.ts';

/** What the merged indexes are, and the layer of each module by its path. */
export type LayerIndexes = {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly owners: ReadonlyMap<string, number>;
};

type LayerModule = ModulePath & { readonly layer: number };

/**
 * One source of all layers. Of modules with one name the last layer's counts: its path, aliases, softdeps, symbols and dependencies. Which modules a
 * layer has is what its modules.dep says, and all module files where it has none. The indexes are those that depmod would make of all files in one
 * tree; they are kept in a cache. The layers are closed with the result. Throws SystemError, and what reading an image throws; UnsupportedError
 * for modules that need each other in circles.
 */
export async function openLayers(system: System, layers: readonly ModuleSource[]): Promise<ModuleSource> {
  const files = layers.map((layer) => (hasIndexes(layer) ? undefined : looseModules(layer, system)));
  const key = layers.map((layer, index) => stampOf(layer, files[index]));
  const known = readLayerCache(system, layers, key);
  if (known) return new LayeredSource(layers, known);
  const made = await makeIndexes(system, layers, files);
  writeLayerCache(system, layers, key, made);
  return new LayeredSource(layers, made);
}

async function makeIndexes(system: System, layers: readonly ModuleSource[], loose: readonly (readonly ModulePath[] | undefined)[]): Promise<LayerIndexes> {
  const owners = new Map<string, LayerModule>();
  layers.forEach((source, layer) => {
    for (const file of loose[layer] ?? indexedModules(source, system)) owners.set(file.name, { ...file, layer });
  });
  const modules = [...owners.values()].map(({ layer, ...file }) => placedModule(layers[layer], file));
  const facts = await readFacts(system, modules);
  for (const [file, { detail }] of facts.unreadable) {
    system.log.warn({ code: 'bad-module', file, message: `${file}: nothing is known of what it needs: ${detail}` });
  }
  const files = formatIndexes(nameOf(layers), modules, facts, kernelLists(layers));
  return { files, owners: new Map([...owners.values()].map(({ relative, layer }) => [relative, layer])) };
}

/** The modules of a layer that has indexes: what depmod.d excluded or overrode stays so. */
export function indexedModules(source: ModuleSource, system: System): ModulePath[] {
  const db = new ModuleDb(source, system.log);
  return db.modules().flatMap(({ module }) => {
    const relative = db.dependencies(module)?.path;
    return relative === undefined ? [] : { name: module, relative, path: source.resolve(relative) };
  });
}

export function looseModules(source: ModuleSource, system: System): ModulePath[] {
  if (!source.modulePaths) return [...scanModules(source.name, parseDepmodConfig([], source.release), system.log).values()];
  return source.modulePaths().map((relative) => ({ name: bytesOf(moduleNameOfPath(relative)), relative: bytesOf(relative), path: source.resolve(relative) }));
}

/** What is another when the layer has changed. Of a tree with indexes it is these that count, as everywhere. */
function stampOf(layer: ModuleSource, files: readonly ModulePath[] | undefined): string {
  if (layer.file !== undefined) return stampOfFile(layer.file);
  const paths = files?.map(({ path }) => path).sort() ?? ['modules.dep', 'modules.dep.bin'].map((name) => layer.resolve(name));
  return [...paths, ...KERNEL_FILES.map((name) => layer.resolve(name))].map(stampOfFile).join('\n');
}

function stampOfFile(path: string): string {
  const link = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const stats = link?.isSymbolicLink() ? statSync(path, { bigint: true, throwIfNoEntry: false }) : link;
  return stats ? `${path} ${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs}` : `${path} -`;
}

function nameOf(layers: readonly ModuleSource[]): string {
  return layers.map(({ name }) => name).join(' + ');
}

class LayeredSource implements ModuleSource {
  readonly kind = 'layers';
  readonly release: string;
  readonly name: string;
  readonly layers: readonly ModuleSource[];
  readonly #indexes: LayerIndexes;

  constructor(layers: readonly ModuleSource[], indexes: LayerIndexes) {
    this.layers = layers;
    this.release = layers[0]?.release ?? '';
    this.name = nameOf(layers);
    this.#indexes = indexes;
  }

  readIndex(name: IndexName): Uint8Array | undefined {
    const made = this.#indexes.files.get(name);
    return made ?? this.layers.map((layer) => layer.readIndex(name)).findLast((bytes) => bytes !== undefined && bytes.length > 0);
  }

  readText(name: IndexName): string | undefined {
    const bytes = this.readIndex(name);
    return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  }

  resolve(path: string): string {
    return this.#layerOf(path)?.resolve(path) ?? path;
  }

  exists(path: string): boolean {
    return this.#indexes.files.has(path) || this.#layerOf(path)?.exists(path) === true;
  }

  open(path: string): ModuleFile {
    return this.#layerOf(path)?.open(path) ?? openModuleFile(path);
  }

  close(): void {
    for (const layer of this.layers) layer.close?.();
  }

  /** By a path as modules.dep has it, or as `resolve` gave it; the base for what nobody has. */
  #layerOf(path: string): ModuleSource | undefined {
    const owner = this.#indexes.owners.get(path);
    if (owner !== undefined) return this.layers[owner];
    return this.layers.findLast(({ name }) => path.startsWith(`${name}/`)) ?? this.layers[0];
  }
}
