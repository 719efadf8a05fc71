// Which symbols of a module would not resolve, and why: nobody exports them, their module is not there, versions or namespaces differ.

import { normalizeModuleName } from './alias.ts';
import type { ImageFacts } from './image-facts.ts';
import type { KernelSymbols } from './kernel-symbols.ts';
import { NO_CRC } from './module-elf.ts';

/**
 * `missing`: nobody exports it. `unloaded`: `exporter` does, and is not loaded; `listed` where modules.dep knows that it is needed.
 * `mismatch`: `exporter` has it in another version than `needed`. `namespace`: it belongs to one that is not imported.
 * Without `exporter` it is the kernel's own.
 */
export type SymbolProblem =
  | { readonly kind: 'missing'; readonly symbol: string }
  | { readonly kind: 'unloaded'; readonly symbol: string; readonly exporter: string; readonly listed: boolean }
  | { readonly kind: 'mismatch'; readonly symbol: string; readonly exporter?: string; readonly needed: number; readonly found: number; readonly witness?: string }
  | { readonly kind: 'namespace'; readonly symbol: string; readonly exporter?: string; readonly namespace: string };

/** What is around the module. */
export interface SymbolSurroundings {
  /** The modules that export a symbol, as modules.symbols has them. */
  exporters(symbol: string): readonly string[];
  /** What the file of such a module says; undefined where it cannot be read. */
  facts(module: string): ImageFacts | undefined;
  isLoaded(module: string): boolean;
  /** modules.dep says that the module in question needs it. */
  isListed(module: string): boolean;
  readonly kernel: KernelSymbols;
  /** A module that the kernel takes: the versions that it needs are the kernel's. */
  readonly witness: { readonly module: string; readonly facts: ImageFacts } | undefined;
}

/** Undefined symbols that the linker or the kernel's loader deals with (ignore_undef_symbol, kernel/module/main.c). */
const NOT_EXPORTED = new Set(['_GLOBAL_OFFSET_TABLE_', '.TOC.', '_gp_disp', '__gnu_local_gp']);
/** Not a symbol that is used: its version stands for the layout of struct module. */
const LAYOUT = new Set(['module_layout', 'struct_module']);

/** In the order of the module's symbols. Weak symbols may stay undefined. */
export function checkSymbols(module: string, facts: ImageFacts, around: SymbolSurroundings): SymbolProblem[] {
  const witnessed = new Map(around.witness?.facts.needs.map(({ name, crc }) => [name, crc]));
  return facts.needs.flatMap(({ name, crc, weak }): SymbolProblem[] => {
    if (NOT_EXPORTED.has(name)) return [];
    const exporters = around.exporters(name);
    const exporter = exporters.find((each) => around.isLoaded(each)) ?? exporters.find((each) => around.isListed(each)) ?? exporters[0];
    if (exporter === undefined) return ofKernel(module, { name, crc, weak }, facts, around, witnessed.get(name));
    const listed = around.isListed(exporter);
    const absent: SymbolProblem[] = weak || around.isLoaded(exporter) ? [] : [{ kind: 'unloaded', symbol: name, exporter, listed }];
    const other = around.facts(exporter);
    const found = other?.exports.get(name);
    if (isOther(crc, found)) return [...absent, { kind: 'mismatch', symbol: name, exporter, needed: crc, found }];
    const namespace = notImported(other?.namespaces.get(name), module, facts);
    return namespace === undefined ? absent : [...absent, { kind: 'namespace', symbol: name, exporter, namespace }];
  });
}

/** One line for people. */
export function symbolProblemText(problem: SymbolProblem): string {
  const { symbol } = problem;
  switch (problem.kind) {
    case 'missing':
      return `symbol ${symbol}: neither the kernel nor any module exports it`;
    case 'unloaded':
      return `symbol ${symbol}: ${problem.exporter} exports it and is not loaded${problem.listed ? '' : '; modules.dep does not say that it is needed'}`;
    case 'mismatch': {
      const witness = problem.witness === undefined ? '' : `, as ${problem.witness} needs it`;
      return `symbol ${symbol}: needed in version ${hex(problem.needed)}, exported by ${problem.exporter ?? 'the kernel'} in version ${hex(problem.found)}${witness}`;
    }
    case 'namespace':
      return `symbol ${symbol}: ${problem.exporter ?? 'the kernel'} exports it in the namespace ${problem.namespace}, which the module does not import`;
  }
}

function ofKernel(
  module: string, { name, crc, weak }: { readonly name: string; readonly crc: number; readonly weak: boolean },
  facts: ImageFacts, { kernel, witness }: SymbolSurroundings, witnessed: number | undefined,
): SymbolProblem[] {
  const own = kernel.symbol(name);
  if (isOther(crc, own?.crc)) return [{ kind: 'mismatch', symbol: name, needed: crc, found: own?.crc ?? 0 }];
  if (!own && witness && isOther(crc, witnessed)) return [{ kind: 'mismatch', symbol: name, needed: crc, found: witnessed, witness: witness.module }];
  const namespace = notImported(own?.namespace, module, facts);
  if (namespace !== undefined) return [{ kind: 'namespace', symbol: name, namespace }];
  // A module that is taken and needs the same symbol proves that it is there.
  const known = weak || LAYOUT.has(name) || witnessed !== undefined || kernel.exports(name) !== false;
  return known ? [] : [{ kind: 'missing', symbol: name }];
}

/** Where either side has no version there is nothing to compare. */
function isOther(needed: number, found: number | undefined): found is number {
  return found !== undefined && needed !== found && ![needed, found].some((crc) => crc === 0 || crc === NO_CRC);
}

/** The namespace, if it should have been imported. `module:a,b-*` (Linux 6.16) is for the modules of these names, without an import. */
function notImported(namespace: string | undefined, module: string, facts: ImageFacts): string | undefined {
  if (namespace === undefined || namespace === '' || facts.importedNamespaces.has(namespace)) return undefined;
  if (!namespace.startsWith('module:')) return namespace;
  const allowed = namespace.slice('module:'.length).split(',').some((name) => {
    const prefix = normalizeModuleName(name.replace(/\*$/, ''));
    return name.endsWith('*') ? module.startsWith(prefix) : module === prefix;
  });
  return allowed ? undefined : namespace;
}

function hex(crc: number): string {
  return `0x${crc.toString(16).padStart(8, '0')}`;
}
