// Whether the indexes of a tree are those of the modules that are in it.

import { readFileSync, statSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

import { moduleNameOfPath } from '../kmod/alias.ts';
import { parseDepmodConfig } from '../kmod/depmod-config.ts';
import type { ModulePath } from '../kmod/depmod-priority.ts';
import { scanModules } from '../kmod/depmod-scan.ts';
import { DEPMOD_FILES } from '../kmod/depmod-write.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import type { System } from '../system.ts';

export type TreeState = {
  readonly modules: readonly ModulePath[];
  /** Bytes of each, where the indexes are current. */
  readonly sizes: readonly number[];
  /** Its indexes are those of these modules. */
  readonly isCurrent: boolean;
};

/** What depmod takes between writing a file and renaming it is less; a copy is later by more, as a rule. In milliseconds. */
const COPIED_LATER = 10_000;

/**
 * The modules of a tree: those of its modules.dep where its indexes are current, else all that are there. depmod.d is not asked.
 *
 * Indexes are current when all of depmod's files are there (modules.weakdep may be absent: kmod before 33 does not write it), modules.dep names
 * just the modules that are there, and no module was written after the oldest index, nor its inode changed after that of the index. In a copy of
 * a tree all inodes are new: where those of the indexes are much younger than their contents, it is the times of contents alone that count, as
 * with depmod -A, those of the modules' directories among them, which tell of files that came and went.
 */
export function readTreeState(system: System, source: ModuleSource): TreeState {
  const found = [...scanModules(source.name, parseDepmodConfig([], source.release), system.log).values()];
  const stale = { modules: found, sizes: [], isCurrent: false };
  const indexes = DEPMOD_FILES.flatMap(({ name }) => {
    const stat = statSync(source.resolve(name), { throwIfNoEntry: false });
    return stat ? [stat] : name === 'modules.weakdep' ? [] : [undefined];
  });
  let oldest: Stats | undefined;
  for (const stat of indexes) {
    if (stat === undefined) return stale;
    if (oldest === undefined || stat.mtimeMs < oldest.mtimeMs) oldest = stat;
  }
  if (oldest === undefined) return stale;
  const { mtimeMs, ctimeMs } = oldest;
  const isCopy = ctimeMs - mtimeMs > COPIED_LATER;
  const modules = namedModules(source, found);
  if (modules === undefined) return stale;
  const sizes: number[] = [];
  for (const { path } of modules) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || stat.mtimeMs > mtimeMs || (stat.ctimeMs > ctimeMs && !isCopy)) return stale;
    sizes.push(stat.size);
  }
  if (isCopy) {
    // The indexes themselves are in the uppermost.
    const directories = new Set(modules.map(({ path }) => dirname(path)));
    directories.delete(source.name);
    for (const directory of directories) if ((statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) > mtimeMs) return stale;
  }
  return { modules, sizes, isCurrent: true };
}

/** The modules that modules.dep names, where it names each of those that were found once, and no others. */
function namedModules(source: ModuleSource, found: readonly ModulePath[]): ModulePath[] | undefined {
  const byPath = new Map(found.map((module) => [module.relative, module]));
  const named = new Map<string, ModulePath>();
  const text = readFileSync(source.resolve('modules.dep'), 'latin1');
  for (let start = 0; start < text.length;) {
    const end = text.indexOf('\n', start);
    const colon = text.indexOf(':', start);
    if (end < 0 || colon < 0 || colon > end) return undefined;
    const relative = text.slice(start, colon);
    // Of several files of one module depmod.d may have chosen another one.
    const module = byPath.get(relative) ?? (relative.startsWith('/') ? undefined : otherFile(source, relative, found));
    if (module === undefined || named.has(module.name)) return undefined;
    named.set(module.name, module);
    start = end + 1;
  }
  if (named.size !== found.length) return undefined;
  // In the order of the walk, which is nearly that of paths.
  return found.map((module) => named.get(module.name) ?? module);
}

function otherFile(source: ModuleSource, relative: string, found: readonly ModulePath[]): ModulePath | undefined {
  const name = moduleNameOfPath(relative);
  return found.some((module) => module.name === name) ? { name, relative, path: source.resolve(relative) } : undefined;
}
