// The indexes that depmod would make of some module files, wherever these are, in memory.

import { statSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

import { UnsupportedError } from '../errors.ts';
import type { System } from '../system.ts';
import { depmodData, linkModules } from './depmod-data.ts';
import { orderModules } from './depmod-order.ts';
import type { ModulePath } from './depmod-priority.ts';
import { DepmodReader } from './depmod-reader.ts';
import { DepmodSymbols } from './depmod-symbols.ts';
import { DEPMOD_FILES, formatFile } from './depmod-write.ts';
import { FactsReader } from './facts-reader.ts';
import type { IndexLayout } from './index-build.ts';
import { factsOf, type ModuleFacts } from './module-facts.ts';
import type { IndexName, ModuleFile, ModuleSource } from './module-source.ts';
import { openModuleFile } from './tree-source.ts';

/** A module file with the path that the indexes are to give it, and how it is opened. */
export type PlacedModule = ModulePath & {
  /** `path` is a file of this machine, which threads can open. */
  readonly isFile: boolean;
  open(): ModuleFile;
};

/** What is known of modules by their names, and by their paths why nothing is. */
export type ReadFacts = { readonly facts: ReadonlyMap<string, ModuleFacts>; readonly unreadable: ReadonlyMap<string, { readonly detail: string }> };

/** Texts of the files that come with a kernel, undefined where they are absent. */
export type KernelLists = { readonly order: string | undefined; readonly builtin: string | undefined; readonly builtinModinfo: string | undefined };

/** These come with a kernel; depmod does not make them. */
export const KERNEL_FILES = ['modules.builtin', 'modules.builtin.modinfo', 'modules.order'] as const satisfies readonly IndexName[];

/** A module as a source has it; `source` may be undefined for a file of this machine. */
export function placedModule(source: ModuleSource | undefined, file: ModulePath): PlacedModule {
  const isFile = source === undefined || source.kind === 'tree';
  return { ...file, isFile, open: () => source?.open(file.relative) ?? openModuleFile(file.path) };
}

/** modules.order of all sources, one after the other; of the others the last that is there. */
export function kernelLists(sources: readonly ModuleSource[]): KernelLists {
  const texts = (name: IndexName) => sources.map((source) => source.readText(name)).filter((text) => text !== undefined && text !== '');
  const order = texts('modules.order').join('');
  return { order: order === '' ? undefined : order, builtin: texts('modules.builtin').at(-1), builtinModinfo: texts('modules.builtin.modinfo').at(-1) };
}

/** Reads modules: files of this machine on all cores, then others one by one; `onRead` hears how far either has come. */
export async function readFacts(system: System, modules: readonly PlacedModule[], onRead?: (done: number, total: number) => void): Promise<ReadFacts> {
  const facts = new Map<string, ModuleFacts>();
  const unreadable = new Map<string, { readonly detail: string }>();
  const files = modules.filter(({ isFile }) => isFile);
  const threads = new DepmodReader(system);
  try {
    const read = await threads.read(files.map(({ path }) => ({ path, size: statSync(path, { throwIfNoEntry: false })?.size ?? 0 })), onRead);
    files.forEach(({ name, path }, index) => {
      const outcome = read[index];
      if (outcome && 'facts' in outcome) facts.set(name, outcome.facts);
      else if (outcome) unreadable.set(path, outcome);
    });
  } finally {
    await threads.close();
  }
  const others = modules.filter(({ isFile }) => !isFile);
  const reader = new FactsReader(system);
  try {
    for (const [index, { name, path, open }] of others.entries()) {
      const outcome = await reader.readFile(open, path);
      if ('record' in outcome) facts.set(name, factsOf(outcome.record, path));
      else unreadable.set(path, outcome);
      onRead?.(index + 1, others.length);
      // Signals are heard.
      if (index % 16 === 0) await setImmediate();
    }
  } finally {
    reader.close();
  }
  return { facts, unreadable };
}

/**
 * All files of depmod, by name, as a depmod of `layout` writes them: kmod up to 33 has another order in its indexes and in modules.order.
 * Throws UnsupportedError for modules that need each other in circles; `name` is what that message calls the place.
 */
export function formatIndexes(
  name: string, modules: readonly PlacedModule[], { facts }: ReadFacts, { order, builtin, builtinModinfo }: KernelLists, layout: IndexLayout = 'pre-order',
): ReadonlyMap<string, Uint8Array> {
  const duplicates = layout === 'post-order' ? 'last' : 'first';
  const ordered = orderModules(new Map(modules.map((module) => [module.name, module])), { order, duplicates }).modules;
  const factsOfEach = ordered.map((module) => facts.get(module.name));
  const symbols = new DepmodSymbols();
  factsOfEach.forEach((fact, index) => fact && symbols.addExports(index, fact));
  const linked = linkModules(ordered, factsOfEach, (fact) => symbols.needs(fact));
  if (linked.kind === 'cycles') {
    const cycles = linked.cycles.map((cycle) => [...cycle, cycle[0]].join(' -> ')).join(', ');
    throw new UnsupportedError(`${name}: modules need each other in circles: ${cycles}`);
  }
  const data = depmodData(ordered, factsOfEach, linked.needs, symbols, { builtin, builtinModinfo });
  return new Map(DEPMOD_FILES.map((file) => [file.name, formatFile(file, data, { layout, warnDuplicates: false }).content]));
}
