// The order of modules, which is their priority in every index: modules.order, then the order of libkmod's hash table.

import type { ModulePath } from './depmod-priority.ts';
import { inHashOrder, MODULE_BUCKETS } from './hash-order.ts';

/** PATH_MAX: a longer line is cut by kmod's buffer, and counts as damaged. */
const MAX_LINE = 4095;

export type OrderOptions = {
  /** The text of modules.order, undefined where there is none. */
  readonly order: string | undefined;
  /** Of several lines for one module the `first` (kmod 34) or the `last` (30) counts. */
  readonly duplicates: 'first' | 'last';
};

/** The modules of modules.order first, in its order, then the others. `corrupted` is a line without end: then no line counts. */
export function orderModules(
  modules: ReadonlyMap<string, ModulePath>, { order, duplicates }: OrderOptions,
): { readonly modules: readonly ModulePath[]; readonly corrupted: number | undefined } {
  const hashed = inHashOrder(modules.keys(), MODULE_BUCKETS).flatMap((name) => modules.get(name) ?? []);
  if (order === undefined) return { modules: hashed, corrupted: undefined };
  const lines = order.split('\n');
  const rest = lines.pop();
  const long = lines.findIndex((line) => line.length > MAX_LINE);
  if (rest !== '' || long >= 0) return { modules: hashed, corrupted: (long >= 0 ? long : lines.length) + 1 };
  const positions = new Map<string, number>();
  lines.forEach((line, index) => {
    if (duplicates === 'last' || !positions.has(line)) positions.set(line, index);
  });
  const rank = (module: ModulePath) => positions.get(orderPath(module)) ?? lines.length;
  const ranked = hashed.map((module) => ({ module, rank: rank(module) }));
  ranked.sort((a, b) => a.rank - b.rank);
  return { modules: ranked.map(({ module }) => module), corrupted: undefined };
}

/** As modules.order names it, whatever its compression: the path up to the name's end and three characters more. */
function orderPath({ name, relative }: ModulePath): string {
  return relative.slice(0, relative.lastIndexOf('/') + 1 + name.length + '.ko'.length);
}
