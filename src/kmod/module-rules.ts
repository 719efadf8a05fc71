// What configuration and indexes together say of one module: its file, what it needs, softdeps, commands, parameters, bans.

import { fnmatch, moduleNameOfPath } from './alias.ts';
import type { BlacklistDirective, CommandDirective, Config, DenyDirective, SoftdepDirective } from './config.ts';
import type { ModuleDb } from './module-db.ts';
import type { Source } from './probe.ts';

/** A name that a softdep line gives, and that line. Names are as typed: they are looked up like any other. */
export type SoftdepName = { readonly name: string; readonly source: Source };

export type ModuleFacts = {
  readonly builtin: boolean;
  /** '' where there is no file. */
  readonly path: string;
  /** Modules that must be there first, by name, those that others of them need last. */
  readonly needs: readonly string[];
  readonly pre: readonly SoftdepName[];
  readonly post: readonly SoftdepName[];
  readonly install: CommandDirective | undefined;
  readonly remove: CommandDirective | undefined;
  readonly deny: DenyDirective | undefined;
};

export type RulesOptions = {
  readonly strict?: boolean;
  /** Whether a name leads to any module; asked when strict. */
  readonly isKnown?: (name: string) => boolean;
};

/** Answers are kept: one plan asks for the same modules again and again. */
export class ModuleRules {
  /** As kmod, without what docs/deviations.md has turned off. */
  readonly strict: boolean;
  readonly #config: Config;
  readonly #softdeps: Directives<SoftdepDirective>;
  readonly #install: Directives<CommandDirective>;
  readonly #remove: Directives<CommandDirective>;
  readonly #deny: Directives<DenyDirective>;
  /** Names that options lines give. */
  readonly #withOptions: ReadonlySet<string>;
  readonly #db: ModuleDb;
  readonly #isKnown: (name: string) => boolean;
  readonly #facts = new Map<string, ModuleFacts>();

  constructor(config: Config, db: ModuleDb, { strict = false, isKnown = () => true }: RulesOptions = {}) {
    this.#isKnown = isKnown;
    this.#config = config;
    this.#softdeps = new Directives(config.softdeps);
    this.#install = new Directives(config.install);
    this.#remove = new Directives(config.remove);
    this.#deny = new Directives(config.deny);
    this.#withOptions = new Set(config.options.map(({ module }) => module));
    this.#db = db;
    this.strict = strict;
  }

  of(module: string): ModuleFacts {
    let facts = this.#facts.get(module);
    if (!facts) {
      facts = this.#read(module);
      this.#facts.set(module, facts);
    }
    return facts;
  }

  /** The first that is denied, of the module and those that it needs, and the line that denies it. */
  deniedOf(module: string): { readonly denied: string; readonly source: Source } | undefined {
    if (this.#config.deny.length === 0) return undefined;
    for (const denied of [module, ...this.of(module).needs]) {
      const line = this.of(denied).deny;
      if (line) return { denied, source: line.source };
    }
    return undefined;
  }

  /** Configured parameters, in the order of the configuration, under the module's own name and the alias that led to it. */
  paramsOf(module: string, alias: string | undefined): string {
    if (!this.#withOptions.has(module) && (alias === undefined || !this.#withOptions.has(alias))) return '';
    let params = '';
    for (const options of this.#config.options) {
      if (options.module === module || options.module === alias) params += params === '' ? options.params : ` ${options.params}`;
    }
    return params;
  }

  blacklistOf(module: string): BlacklistDirective | undefined {
    return this.#config.blacklist.find((directive) => directive.module === module);
  }

  #read(module: string): ModuleFacts {
    const dependencies = this.#db.dependencies(module);
    const named = this.#softdeps.of(module);
    // kmod takes the first line only, so that a line of the administrator hides the module's own, or is hidden by it.
    const softdeps = this.strict ? named.slice(0, 1) : named;
    const listOf = (kind: 'pre' | 'post') => softdeps.flatMap((softdep) => softdep[kind].map((name) => ({ name, source: softdep.source })));
    const [pre, post] = softdeps.length > 0 ? [listOf('pre'), listOf('post')] : [[], []];
    // kmod runs no install command for a module that has softdeps (of names that it knows), so that `install X /bin/false` may not hold.
    const ignoreInstall = this.strict && [...pre, ...post].some(({ name }) => this.#isKnown(name));
    return {
      builtin: !dependencies && this.#db.isBuiltin(module),
      path: dependencies ? this.#db.source.resolve(dependencies.path) : '',
      needs: dependencies?.needs.map(moduleNameOfPath) ?? [],
      pre, post,
      install: ignoreInstall ? undefined : this.#install.of(module)[0],
      remove: this.#remove.of(module)[0],
      deny: this.#deny.of(module)[0],
    };
  }
}

/** Directives of one kind by the module that they name: a tree has thousands of modules, and hundreds of softdeps. */
class Directives<T extends { readonly module: string }> {
  readonly #all: readonly T[];
  readonly #byName = new Map<string, T[]>();
  readonly #hasPatterns: boolean;

  constructor(all: readonly T[]) {
    this.#all = all;
    for (const directive of all) {
      const list = this.#byName.get(directive.module);
      if (list) list.push(directive);
      else this.#byName.set(directive.module, [directive]);
    }
    // One look at all names: every start would pay for a look at each.
    this.#hasPatterns = isPattern([...this.#byName.keys()].join(' '));
  }

  /** In the order of the configuration. */
  of(module: string): readonly T[] {
    if (this.#hasPatterns) return this.#all.filter((directive) => matches(directive.module, module));
    return this.#byName.get(module) ?? [];
  }
}

/** Names in softdep, install, remove and deny lines are patterns; most are plain. */
function matches(pattern: string, module: string): boolean {
  return pattern === module || (isPattern(pattern) && fnmatch(pattern, module));
}

function isPattern(name: string): boolean {
  return name.includes('*') || name.includes('?') || name.includes('[') || name.includes('\\');
}
