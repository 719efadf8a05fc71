// What depmod knows once the modules have been read: which needs which, and all that its outputs are made of.

import type { ModulePath } from './depmod-priority.ts';
import { sortDependencies } from './depmod-sort.ts';
import type { DepmodSymbols } from './depmod-symbols.ts';
import type { DepmodData } from './depmod-write.ts';
import type { ModuleFacts } from './module-facts.ts';

/** For each module all that it needs; or the names of modules in circles, and how many modules are in one. */
export type LinkedModules =
  | { readonly kind: 'linked'; readonly needs: readonly (readonly number[])[] }
  | { readonly kind: 'cycles'; readonly cycles: readonly (readonly string[])[]; readonly count: number };

/** `needsOf` has the modules whose symbols a module takes, as places in the list. */
export function linkModules(
  modules: readonly Pick<ModulePath, 'name'>[], facts: readonly (ModuleFacts | undefined)[], needsOf: (facts: ModuleFacts, index: number) => number[],
): LinkedModules {
  const sorted = sortDependencies(facts.map((fact, index) => (fact ? needsOf(fact, index) : [])));
  if (sorted.kind === 'sorted') return { kind: 'linked', needs: sorted.needs };
  return { kind: 'cycles', cycles: sorted.cycles.map((cycle) => cycle.map((index) => modules[index]?.name ?? '')), count: sorted.count };
}

/** Puts together what `formatFile` takes; `needs` may be empty where no output that is wanted has dependencies. */
export function depmodData(
  modules: readonly Pick<ModulePath, 'name' | 'relative'>[], facts: readonly (ModuleFacts | undefined)[], needs: readonly (readonly number[])[],
  symbols: DepmodSymbols, texts: Pick<DepmodData, 'builtin' | 'builtinModinfo'>,
): DepmodData {
  return { modules: modules.map(({ name, relative }, index) => ({ name, path: relative, needs: needs[index] ?? [], facts: facts[index] })), symbols, ...texts };
}
