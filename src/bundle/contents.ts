// What goes into a bundle: the modules of a source or a selection of them, fresh indexes, lists of the kernel, and firmware.

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';

import { FormatError, UnsupportedError } from '../errors.ts';
import { DEPMOD_FILES } from '../kmod/depmod-write.ts';
import { formatIndexes, KERNEL_FILES, kernelLists, placedModule, type PlacedModule, readFacts, type ReadFacts } from '../kmod/fresh-indexes.ts';
import type { IndexLayout } from '../kmod/index-build.ts';
import { indexedModules, looseModules } from '../kmod/layered-source.ts';
import { hasIndexes, type ModuleFile, type ModuleSource } from '../kmod/module-source.ts';
import { readSelection, type SelectOptions } from '../kmod/select-reader.ts';
import type { Selection } from '../kmod/select.ts';
import type { System } from '../system.ts';
import { readImageState } from './image-state.ts';
import { readTreeState } from './tree-state.ts';

export type BundleFileKind = 'module' | 'index' | 'firmware';

/** One file of a bundle that is to be. */
export type BundleFile = {
  readonly kind: BundleFileKind;
  /** Below the directory of the release; firmware as `firmware/NAME`, beside that. */
  readonly path: string;
  readonly size: number;
  /** What it is read from: bytes, a file of this machine, or one of an image that is opened for it. */
  readonly from: Uint8Array | string | (() => ModuleFile);
};

export type BundleContents = {
  readonly release: string;
  /** Sorted by path. */
  readonly files: readonly BundleFile[];
  /** `kept` where those of the source were found to be current. */
  readonly indexes: 'kept' | 'made';
  readonly selection: Selection | undefined;
  /** Gives back what the source keeps open: then the files are no longer read. */
  readonly close?: () => void;
};

export type ContentsOptions = {
  /** undefined for all modules of the source. */
  readonly select?: SelectOptions | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
};

/** kmod up to 33 lays indexes out in another way, and before 33 has no modules.weakdep. */
type IndexShape = { readonly layout: IndexLayout; readonly weakdeps: boolean };

/** Where the root of an index is that is laid out as ours: behind the header. kmod up to 33 writes it last. */
const ROOT_OFFSET = { at: 8, mask: 0x0fff_ffff, value: 12 };

/**
 * The contents of a bundle. Indexes of a tree or image of which everything is taken are kept where they are current (`readTreeState`,
 * `readImageState`), all others are made: where there are some as these are, so that what is in the bundle does not depend on times. A module that cannot be read is an
 * UnsupportedError that names it. Throws as readSelection and formatIndexes do.
 */
export async function readContents(system: System, source: ModuleSource, { select, onProgress }: ContentsOptions = {}): Promise<BundleContents> {
  const state = source.kind === 'tree' ? readTreeState(system, source) : undefined;
  if (state?.isCurrent && !select) {
    const files = state.modules.map(({ relative, path }, index): BundleFile => ({ kind: 'module', path: relative, size: state.sizes[index] ?? 0, from: path }));
    return { release: source.release, files: sorted([...files, ...keptIndexes(source)]), indexes: 'kept', selection: undefined };
  }
  const image = source.kind === 'image' && !select ? readImageState(source) : undefined;
  if (image) {
    const files = image.modules.map(({ relative, open }, index): BundleFile => ({ kind: 'module', path: relative, size: image.sizes[index] ?? 0, from: open }));
    return { release: source.release, files: sorted([...files, ...keptIndexes(source)]), indexes: 'kept', selection: undefined };
  }
  const all = state?.modules ?? (hasIndexes(source) ? indexedModules(source, system) : looseModules(source, system));
  const lists = kernelLists(source.layers ?? [source]);
  const shape = shapeOf(source);
  const reading = (count: number): void => onProgress?.(`reading ${count} modules`);
  const read = async (modules: readonly PlacedModule[]): Promise<ReadFacts> => {
    reading(modules.length);
    return readableFacts(await readFacts(system, modules, (done, total) => onProgress?.(`reading modules: ${done} of ${total}`)));
  };
  let placed = all.map((file) => inTree(placedModule(source, file)));
  let facts: ReadFacts | undefined;
  let selection: Selection | undefined;
  if (select) {
    // What is selected by names has to be looked up in indexes that are current.
    const isStale = state !== undefined && (!state.isCurrent || (select.weakdeps === true && !shape.weakdeps));
    if (isStale) facts = await read(all.map((file) => placedModule(source, file)));
    const fresh = facts && formatIndexes(source.name, all.map((file) => placedModule(source, file)), facts, lists);
    selection = await readSelection(system, fresh ? withIndexes(source, fresh) : source, { ...select, onProgress: (done, total) => onProgress?.(`looking for firmware: ${done} of ${total} modules`) });
    const wanted = new Set(selection.files.flatMap(({ kind, name }) => (kind === 'module' ? [name] : [])));
    placed = placed.filter(({ name }) => wanted.has(name));
  }
  facts ??= await read(placed);
  onProgress?.('making indexes');
  const indexes = new Map([...formatIndexes(source.name, placed, facts, lists, shape.layout)].filter(([name]) => shape.weakdeps || name !== 'modules.weakdep'));
  const modules = placed.map((module): BundleFile => ({ kind: 'module', path: module.relative, size: sizeOf(module), from: module.isFile ? module.path : module.open }));
  const firmware = selection?.files.flatMap(({ kind, path, from, bytes }): BundleFile[] => (
    kind === 'firmware' && from !== undefined ? [{ kind, path: `firmware/${path}`, size: bytes, from }] : []
  )) ?? [];
  return { release: source.release, files: sorted([...modules, ...indexFiles(indexes, lists), ...firmware]), indexes: 'made', selection };
}

/** The files of depmod and those that it reads, each that is there. */
export function indexFiles(indexes: ReadonlyMap<string, Uint8Array>, lists: ReturnType<typeof kernelLists>): BundleFile[] {
  const texts = { 'modules.order': lists.order, 'modules.builtin': lists.builtin, 'modules.builtin.modinfo': lists.builtinModinfo };
  const kernel = KERNEL_FILES.flatMap((name) => (texts[name] === undefined ? [] : [[name, Buffer.from(texts[name], 'latin1')] as const]));
  return [...indexes, ...kernel].map(([path, bytes]) => ({ kind: 'index', path, size: bytes.length, from: bytes }));
}

/** Passes facts on where all modules could be read. Throws UnsupportedError for the first that could not. */
export function readableFacts(facts: ReadFacts): ReadFacts {
  const [first] = facts.unreadable;
  if (first) throw new UnsupportedError(`${first[1].detail.includes(first[0]) ? '' : `${first[0]}: `}${first[1].detail}: a bundle holds modules that can be loaded`);
  return facts;
}

/** Order of paths by their UTF-16, which is that of bytes for all names that kernels have. */
export function sorted(files: readonly BundleFile[]): readonly BundleFile[] {
  return files.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** Fills `target` with the contents from `offset`. Throws FormatError where the file is no longer as long as it was. */
export function fillFrom({ from }: BundleFile, target: Uint8Array, offset: number): void {
  if (from instanceof Uint8Array) {
    target.set(from.subarray(offset, offset + target.length));
    return;
  }
  if (typeof from === 'string') {
    const fd = openSync(from, 'r');
    try {
      for (let done = 0; done < target.length;) done += atLeastOne(readSync(fd, target, done, target.length - done, offset + done), from, offset + done);
    } finally {
      closeSync(fd);
    }
    return;
  }
  const file = from();
  try {
    for (let done = 0; done < target.length;) {
      const bytes = file.read(offset + done, target.length - done);
      target.set(bytes, done);
      done += atLeastOne(bytes.length, file.path, offset + done);
    }
  } finally {
    file.close();
  }
}

function atLeastOne(got: number, file: string, offset: number): number {
  if (got === 0) throw new FormatError({ file, offset, expected: 'the rest of the file', actual: 'its end: it was changed meanwhile' });
  return got;
}

/** How the indexes of a tree or image are laid out, and which of them it has: those of the newest kmod where it has none. */
function shapeOf(source: ModuleSource): IndexShape {
  const index = Buffer.from((source.kind === 'layers' ? undefined : source.readIndex('modules.dep.bin')) ?? []);
  if (index.length < ROOT_OFFSET.at + 4) return { layout: 'pre-order', weakdeps: true };
  const root = index.readUInt32BE(ROOT_OFFSET.at) & ROOT_OFFSET.mask;
  return { layout: root === ROOT_OFFSET.value ? 'pre-order' : 'post-order', weakdeps: source.exists('modules.weakdep') };
}

function keptIndexes(source: ModuleSource): BundleFile[] {
  return [...DEPMOD_FILES.map(({ name }) => name), ...KERNEL_FILES].flatMap((name): BundleFile[] => {
    const bytes = source.readIndex(name);
    return bytes === undefined ? [] : [{ kind: 'index', path: name, size: bytes.length, from: bytes }];
  });
}

/** Bytes in the file. */
export function sizeOf({ isFile, path, open }: PlacedModule): number {
  if (isFile) return statSync(path).size;
  const file = open();
  try {
    return file.size;
  } finally {
    file.close();
  }
}

/** Modules that lie outside of the tree come into it. */
function inTree(file: PlacedModule): PlacedModule {
  return isAbsolute(file.relative) ? { ...file, relative: `extra/${basename(file.relative)}` } : file;
}

/** The same source, with other indexes. */
function withIndexes(source: ModuleSource, indexes: ReadonlyMap<string, Uint8Array>): ModuleSource {
  return {
    kind: source.kind, release: source.release, name: source.name,
    readIndex: (name) => indexes.get(name) ?? source.readIndex(name),
    readText: (name) => {
      const made = indexes.get(name);
      return made === undefined ? source.readText(name) : Buffer.from(made).toString('latin1');
    },
    resolve: (path) => source.resolve(path),
    exists: (path) => indexes.has(path) || source.exists(path),
    open: (path) => source.open(path),
  };
}

