// Turns a name into a plan: which modules are inserted or removed, in which order, with which parameters, and why.

import { fnmatch, moduleNameOfPath } from './alias.ts';
import type { CommandDirective, Config, SoftdepDirective } from './config.ts';
import type { LiveModules } from './live.ts';
import { lookup, type Match } from './lookup.ts';
import type { ModuleDb } from './module-db.ts';
import type { ProbeGoal, ProbePlan, ProbeStep, Reason, Source } from './probe.ts';

export type PlanOptions = {
  readonly action?: 'insert' | 'remove';
  /** Parameters for the named modules, behind those of the configuration. */
  readonly params?: string;
  /** `aliases` (the default): the blacklist counts for modules that an alias led to. `all`: for plain names too. */
  readonly useBlacklist?: 'aliases' | 'all';
  /** Plan as if nothing were loaded (`--show-depends`). */
  readonly ignoreLoaded?: boolean;
  /** No install or remove command and no softdeps of the named modules; their dependencies keep theirs. */
  readonly ignoreInstall?: boolean;
};

/** What plans are made from. Reads indexes and configuration; asks the kernel only for the state of the named modules. */
export class Planner {
  readonly #config: Config;
  readonly #db: ModuleDb;
  readonly #live: LiveModules;
  readonly #softdeps = new Map<string, SoftdepDirective | undefined>();

  constructor(config: Config, db: ModuleDb, live: LiveModules) {
    this.#config = config;
    this.#db = db;
    this.#live = live;
  }

  lookup(name: string): Match[] {
    return lookup(name, this.#config, this.#db);
  }

  plan(target: string, options: PlanOptions = {}): ProbePlan {
    const goal = options.action === 'remove' ? this.#removal : this.#insertion;
    return { target, goals: this.lookup(target).map((match) => goal.call(this, match, options)), warnings: [] };
  }

  #insertion(match: Match, options: PlanOptions): ProbeGoal {
    const { module, reason } = match;
    if (!options.ignoreLoaded && (this.#isBuiltin(match) || this.#live.state(module) === 'live')) {
      return { module, reason, status: 'ready', steps: [] };
    }
    const source = this.#blacklistedBy(match, options);
    if (source) return { module, reason, status: 'blacklisted', source, steps: [] };
    return { module, reason, status: 'load', steps: new Insertion(this, match, options).steps };
  }

  /**
   * Users first: softdeps that came after, the module, what it needed as far as nobody else uses it, softdeps that
   * came before. Source: modprobe(8), modprobe.d(5).
   */
  #removal(match: Match, options: PlanOptions): ProbeGoal {
    const steps: ProbeStep[] = [];
    this.#removeInto(steps, match, match.reason, options.ignoreInstall ?? false, new Set());
    return { module: match.module, reason: match.reason, status: 'remove', steps };
  }

  #removeInto(steps: ProbeStep[], match: Match, reason: Reason, ignoreCommand: boolean, visited: Set<string>): void {
    const { module } = match;
    if (visited.has(module)) return;
    visited.add(module);
    const softdep = ignoreCommand ? undefined : this.softdepOf(module);
    const command = ignoreCommand ? undefined : this.removeCommandOf(module);
    const required = reason.kind === 'requested' || reason.kind === 'alias';
    const push = (step: Omit<ProbeStep, 'after'>) => steps.push({ ...step, after: steps.length > 0 ? [steps.length - 1] : [] });
    const removeAll = (names: readonly string[], kind: 'softdep-pre' | 'softdep-post') => {
      for (const name of [...names].reverse()) {
        for (const found of this.lookup(name)) {
          this.#removeInto(steps, found, { kind, from: module, source: softdep?.source ?? { file: '' } }, false, visited);
        }
      }
    };

    removeAll(softdep?.post ?? [], 'softdep-post');
    if (command) {
      push({ action: 'remove', module, path: '', params: '', command: command.command, reason, required });
    } else {
      push({ action: this.#isBuiltin(match) ? 'builtin' : 'rmmod', module, path: '', params: '', reason, required });
      for (const path of this.#db.dependencies(module)?.needs ?? []) {
        const dep: Reason = { kind: 'dep', from: module };
        push({ action: 'rmmod', module: moduleNameOfPath(path), path: '', params: '', reason: dep, required: false });
      }
    }
    removeAll(softdep?.pre ?? [], 'softdep-pre');
  }

  #blacklistedBy(match: Match, options: PlanOptions): Source | undefined {
    if (match.alias === undefined && options.useBlacklist !== 'all') return undefined;
    return this.#config.blacklist.find(({ module }) => module === match.module)?.source;
  }

  #isBuiltin(match: Match): boolean {
    return match.builtin || this.#db.isBuiltin(match.module);
  }

  /** The first softdep line whose pattern matches: kmod does not merge. */
  softdepOf(module: string): SoftdepDirective | undefined {
    if (!this.#softdeps.has(module)) {
      this.#softdeps.set(module, this.#config.softdeps.find((softdep) => matches(softdep.module, module)));
    }
    return this.#softdeps.get(module);
  }

  installCommandOf(module: string): CommandDirective | undefined {
    return this.#config.install.find((directive) => matches(directive.module, module));
  }

  removeCommandOf(module: string): CommandDirective | undefined {
    return this.#config.remove.find((directive) => matches(directive.module, module));
  }

  /** All configured parameters of a module, in the order of the configuration. */
  paramsOf(module: string, alias: string | undefined): string {
    const lines = this.#config.options.filter((options) => options.module === module || options.module === alias);
    return lines.map(({ params }) => params).join(' ');
  }

  /** What a step needs to know of a module. */
  describe(match: Pick<Match, 'module' | 'builtin'>): { builtin: boolean; path: string; needs: readonly string[] } {
    const { module } = match;
    if (match.builtin) return { builtin: true, path: '', needs: [] };
    const dependencies = this.#db.dependencies(module);
    if (!dependencies) return { builtin: this.#db.isBuiltin(module), path: '', needs: [] };
    return { builtin: false, path: this.#db.source.resolve(dependencies.path), needs: dependencies.needs.map(moduleNameOfPath) };
  }
}

/** The steps of one insertion, in kmod's order: needed modules first, each between its own softdeps. */
class Insertion {
  readonly steps: ProbeStep[] = [];
  readonly #planner: Planner;
  readonly #options: PlanOptions;
  readonly #target: string;
  readonly #required: ReadonlySet<string>;
  readonly #visited = new Set<string>();
  /** The last step of each module: softdeps can make kmod list a module more than once. */
  readonly #stepOf = new Map<string, number>();

  constructor(planner: Planner, match: Match, options: PlanOptions) {
    this.#planner = planner;
    this.#options = options;
    this.#target = match.module;
    this.#required = new Set([match.module, ...planner.describe(match).needs]);
    this.#withDependencies(match, match.reason, []);
  }

  #withDependencies(match: Match, reason: Reason, after: readonly number[]): void {
    if (this.#visited.has(match.module)) return;
    this.#visited.add(match.module);
    // modules.dep lists what is needed last first.
    for (const module of [...this.#planner.describe(match).needs].reverse()) {
      const dep: Match = { module, alias: undefined, builtin: false, reason: { kind: 'dep', from: match.module } };
      this.#withSoftdeps(dep, dep.reason, after);
    }
    this.#withSoftdeps(match, reason, after);
  }

  #withSoftdeps(match: Match, reason: Reason, after: readonly number[]): void {
    const { module } = match;
    const named = module === this.#target;
    const softdep = named && this.#options.ignoreInstall ? undefined : this.#planner.softdepOf(module);
    const before = softdep ? this.#softdeps(softdep, 'softdep-pre', softdep.pre, after) : [];
    const index = this.#push(match, reason, [...after, ...before], softdep);
    if (softdep) this.#softdeps(softdep, 'softdep-post', softdep.post, [...after, index]);
  }

  /** Returns the steps of the softdeps themselves. */
  #softdeps(
    softdep: SoftdepDirective, kind: 'softdep-pre' | 'softdep-post', names: readonly string[], after: readonly number[],
  ): number[] {
    const found = names.flatMap((name) => this.#planner.lookup(name));
    for (const match of found) {
      this.#withDependencies(match, { kind, from: softdep.module, source: softdep.source }, after);
    }
    return found.flatMap(({ module }) => this.#stepOf.get(module) ?? []);
  }

  #push(match: Match, reason: Reason, after: readonly number[], softdep: SoftdepDirective | undefined): number {
    const { module } = match;
    const named = module === this.#target;
    const { builtin, path, needs } = this.#planner.describe(match);
    const configured = this.#planner.paramsOf(module, match.alias);
    const extra = named ? this.#options.params ?? '' : '';
    // The blank before absent parameters is kmod's, and shows in what -D prints.
    const params = configured === '' ? extra : `${configured} ${extra}`;
    const hasSoftdeps = softdep !== undefined && softdep.pre.length + softdep.post.length > 0;
    // kmod runs no command for a module that has softdeps.
    const ignoreCommand = hasSoftdeps || (named && (this.#options.ignoreInstall ?? false));
    const install = ignoreCommand ? undefined : this.#planner.installCommandOf(module);
    const waitFor = new Set([...after, ...needs.flatMap((need) => this.#stepOf.get(need) ?? [])]);
    const index = this.steps.length;
    this.steps.push({
      action: builtin ? 'builtin' : install ? 'install' : 'insmod',
      module, path, params,
      ...(install ? { command: install.command } : {}),
      reason: install ? { ...reason, source: install.source } : reason,
      after: [...waitFor].sort((a, b) => a - b),
      required: this.#required.has(module),
    });
    this.#stepOf.set(module, index);
    return index;
  }
}

/** Names in install, remove and softdep lines are patterns; most are plain. */
function matches(pattern: string, module: string): boolean {
  return pattern === module || (/[*?[\\]/.test(pattern) && fnmatch(pattern, module));
}
