// What lint asks of the modules of a release: whether a name is one, what a wrong name may mean, who needs a module.

import { fnmatch, normalizeModuleName } from './alias.ts';
import type { Config } from './config.ts';
import { lookup } from './lookup.ts';
import type { ModuleDb } from './module-db.ts';
import { nearestName } from './nearest.ts';
import type { Source } from './probe.ts';

/** `alias`: no module has the name, but an alias (of the configuration or of modules) stands for some. */
export type NameState =
  | { readonly kind: 'file' | 'builtin' | 'missing' }
  | { readonly kind: 'alias'; readonly modules: readonly string[] };

/** Where lines of files that a distribution ships are about modules that are not there, nobody made a mistake. */
export type LintScope = { readonly config: Config; readonly modules: LintModules; readonly isVendor: (source: Source) => boolean };

/** Names that are compared with all modules, at a millisecond each: who has more of them misspelt nothing, but has another kernel. */
const MAX_SUGGESTIONS = 200;

export class LintModules {
  /** Modules with a file, in the order of the index. */
  readonly names: readonly string[];
  readonly #config: Config;
  readonly #db: ModuleDb;
  readonly #needers = new Map<string, string[]>();
  readonly #states = new Map<string, NameState>();
  readonly #found = new Map<string, readonly string[]>();
  readonly #suggestions = new Map<string, string>();
  #softNeeders: Map<string, Set<string>> | undefined;

  constructor(config: Config, db: ModuleDb) {
    this.#config = config;
    this.#db = db;
    const names: string[] = [];
    for (const { module, needs } of db.modules()) {
      names.push(module);
      for (const need of needs) {
        const needers = this.#needers.get(need);
        if (needers) needers.push(module);
        else this.#needers.set(need, [module]);
      }
    }
    this.names = names;
  }

  /** Without an index nothing can be said of modules. */
  get known(): boolean {
    return this.names.length > 0;
  }

  state(name: string): NameState {
    let state = this.#states.get(name);
    if (!state) this.#states.set(name, state = this.#stateOf(name));
    return state;
  }

  /** The modules that a name or alias leads to, each once. */
  find(name: string): readonly string[] {
    let found = this.#found.get(name);
    if (!found) this.#found.set(name, found = [...new Set(lookup(name, this.#config, this.#db).map(({ module }) => module))]);
    return found;
  }

  /** Modules that an alias of the indexes leads to that reads exactly so: only then `options` lines may use it. */
  ofPattern(pattern: string): string[] {
    return [...new Set(this.#db.aliases(pattern).filter(({ key }) => key === pattern).map(({ value }) => value))];
  }

  /** The modules with a file that a pattern matches; of a plain name that one. */
  matching(pattern: string): string[] {
    return isPattern(pattern) ? this.names.filter((name) => fnmatch(pattern, name)) : this.names.filter((name) => name === pattern);
  }

  pathOf(module: string): string | undefined {
    const path = this.#db.dependencies(module)?.path;
    return path === undefined ? undefined : this.#db.source.resolve(path);
  }

  /** Modules that cannot be loaded without `module`. */
  neededBy(module: string): readonly string[] {
    return this.#needers.get(module) ?? [];
  }

  /** Modules that a softdep lets load `module`, too. */
  softdepOf(module: string): readonly string[] {
    return [...(this.#softNeeders ??= this.#readSoftdeps()).get(module) ?? []];
  }

  /** ` (did you mean X?)`, or nothing. */
  suggestion(name: string): string {
    let suggestion = this.#suggestions.get(name);
    if (suggestion === undefined) {
      if (this.#suggestions.size === MAX_SUGGESTIONS) return '';
      const stripped = normalizeModuleName(name.slice(name.lastIndexOf('/') + 1));
      const meant = stripped !== name && this.#db.dependencies(stripped) ? stripped : nearestName(name, this.names);
      suggestion = meant === undefined ? '' : ` (did you mean ${meant}?)`;
      this.#suggestions.set(name, suggestion);
    }
    return suggestion;
  }

  #stateOf(name: string): NameState {
    if (this.#db.dependencies(name)) return { kind: 'file' };
    if (this.#db.isBuiltin(name)) return { kind: 'builtin' };
    const modules = this.find(name).filter((module) => module !== name);
    return modules.length > 0 ? { kind: 'alias', modules } : { kind: 'missing' };
  }

  #readSoftdeps(): Map<string, Set<string>> {
    const needers = new Map<string, Set<string>>();
    for (const { module, pre, post } of this.#config.softdeps) {
      for (const found of new Set([...pre, ...post].flatMap((name) => this.find(name)))) {
        const of = needers.get(found);
        if (of) of.add(module);
        else needers.set(found, new Set([module]));
      }
    }
    return needers;
  }
}

export function isPattern(name: string): boolean {
  return /[*?[\\]/.test(name);
}
