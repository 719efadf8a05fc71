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
  const requested: Reason = { kind: 'requested', from: name };

  const configured = config.aliases.filter(({ pattern }) => fnmatch(pattern, key));
  if (configured.length > 0) {
    return configured.map(({ pattern, module, source }) => ({
      module, alias: pattern, builtin: false, reason: { kind: 'alias', from: name, pattern, source },
    }));
  }
  if (!key.includes(':') && db.dependencies(key)) return [{ module: key, alias: undefined, builtin: false, reason: requested }];
  const fromIndex = (entries: readonly IndexEntry[], file: string, builtin: boolean): Match[] =>
    entries.map(({ key: pattern, value }) => ({
      module: value, alias: key, builtin, reason: { kind: 'alias', from: name, pattern, source: { file: db.source.resolve(file) } },
    }));

  if (key.startsWith('symbol:')) {
    const found = fromIndex(db.symbols(key), 'modules.symbols', false);
    if (found.length > 0) return found;
  }
  const named = ({ module }: { readonly module: string }) => module === key;
  if (config.install.some(named) || config.remove.some(named)) {
    return [{ module: key, alias: undefined, builtin: false, reason: requested }];
  }
  const found = fromIndex(db.aliases(key), 'modules.alias', false);
  if (found.length > 0) return found;
  if (db.isBuiltin(key)) return [{ module: key, alias: undefined, builtin: true, reason: requested }];
  return fromIndex(db.builtinAliases(key), 'modules.builtin.modinfo', true);
}
