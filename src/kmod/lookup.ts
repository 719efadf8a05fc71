// Which modules a name or alias means: the order of places that kmod looks in, and what each place says.

import { fnmatch, normalizeAlias } from './alias.ts';
import type { Config } from './config.ts';
import type { IndexEntry } from './index-file.ts';
import type { ModuleDb } from './module-db.ts';
import type { Reason } from './probe.ts';

/** One module that was found, and why. */
export type Match = {
  readonly module: string;
  /** The alias it was reached by, under which `options` lines may name it too; undefined for its own name. */
  readonly alias: string | undefined;
  readonly builtin: boolean;
  readonly reason: Reason;
};

/**
 * The modules that `name` stands for; empty when nothing knows it. The first place that knows the name decides:
 * configured aliases, modules, symbols, names with a configured command, aliases of modules, built-in modules and
 * their aliases. An alias that leads to an alias is not followed. A module may stand twice, as kmod lists it.
 */
export function lookup(name: string, config: Config, db: ModuleDb): Match[] {
  const key = normalizeAlias(name);
  if (key === undefined || key === '') return [];
  if (config.aliases.length > 0) {
    const configured = config.aliases.filter(({ pattern }) => fnmatch(pattern, key));
    if (configured.length > 0) {
      return configured.map(({ pattern, module, source }) => ({
        module, alias: pattern, builtin: false, reason: { kind: 'alias', from: name, pattern, source },
      }));
    }
  }
  if (!key.includes(':') && db.dependencies(key)) return [moduleItself(key, name, false)];
  if (key.startsWith('symbol:')) {
    const found = db.symbols(key);
    if (found.length > 0) return matchesOf(found, key, name, db.source.resolve('modules.symbols'), false);
  }
  if (hasCommand(config, key)) return [moduleItself(key, name, false)];
  const found = db.aliases(key);
  if (found.length > 0) return matchesOf(found, key, name, db.source.resolve('modules.alias'), false);
  if (db.isBuiltin(key)) return [moduleItself(key, name, true)];
  return matchesOf(db.builtinAliases(key), key, name, db.source.resolve('modules.builtin.modinfo'), true);
}

function moduleItself(key: string, name: string, builtin: boolean): Match {
  return { module: key, alias: undefined, builtin, reason: { kind: 'requested', from: name } };
}

/** @param file of the entries */
function matchesOf(entries: readonly IndexEntry[], key: string, name: string, file: string, builtin: boolean): Match[] {
  return entries.map(({ key: pattern, value }) => ({ module: value, alias: key, builtin, reason: { kind: 'alias', from: name, pattern, source: { file } } }));
}

function hasCommand({ install, remove }: Config, module: string): boolean {
  if (install.length === 0 && remove.length === 0) return false;
  return [...install, ...remove].some((directive) => directive.module === module);
}
