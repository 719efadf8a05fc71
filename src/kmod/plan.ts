// Turns a name into a plan: which modules are inserted or removed, in which order, with which parameters, and why.

import type { LogRecord } from '../system.ts';
import { moduleNameOfPath } from './alias.ts';
import type { Config } from './config.ts';
import type { LiveModules } from './live.ts';
import { lookup, type Match } from './lookup.ts';
import type { ModuleDb } from './module-db.ts';
import { ModuleRules } from './module-rules.ts';
import { planInsertion } from './plan-insert.ts';
import { planRemoval } from './plan-remove.ts';
import type { ProbeGoal, ProbePlan } from './probe.ts';

export type PlanOptions = {
  readonly action?: 'insert' | 'remove';
  /** Parameters for the named modules, behind those of the configuration. */
  readonly params?: string;
  /** The file of the named module, absolute; its dependencies come from the indexes all the same. */
  readonly path?: string;
  /** `aliases` (the default): the blacklist counts for modules that an alias led to. `all`: for plain names too. */
  readonly useBlacklist?: 'aliases' | 'all';
  /** Plan as if nothing were loaded (`--show-depends`). */
  readonly ignoreLoaded?: boolean;
  /** No install or remove command and no softdeps of the named modules; their dependencies keep theirs. */
  readonly ignoreInstall?: boolean;
  /** Of a removal: those that use the module are removed before it. */
  readonly removeHolders?: boolean;
  /** Of a removal: it ends at a softdep that is in use, as kmod's does without -a. */
  readonly softdepsRequired?: boolean;
};

/** What plans are made from. Reads indexes and configuration; asks the kernel only for the state of the named modules. */
export class Planner {
  readonly config: Config;
  readonly db: ModuleDb;
  readonly live: LiveModules;
  readonly rules: ModuleRules;

  constructor(config: Config, db: ModuleDb, live: LiveModules, options: { readonly strict?: boolean | undefined } = {}) {
    this.config = config;
    this.db = db;
    this.live = live;
    this.rules = new ModuleRules(config, db, { strict: options.strict ?? false, isKnown: (name) => this.lookup(name).length > 0 });
  }

  lookup(name: string): Match[] {
    return lookup(name, this.config, this.db);
  }

  plan(target: string, options: PlanOptions = {}): ProbePlan {
    const warnings: LogRecord[] = [];
    const matches = options.path === undefined ? this.lookup(target) : [moduleOfPath(target, options.path)];
    const goals = matches.map((match) => (options.action === 'remove' ? planRemoval(this, match, options) : this.#insertion(match, options, warnings)));
    return { target, goals, warnings };
  }

  #insertion(match: Match, options: PlanOptions, warnings: LogRecord[]): ProbeGoal {
    const { module, reason } = match;
    const facts = this.rules.of(module);
    if (!options.ignoreLoaded && (match.builtin || facts.builtin || this.live.state(module) === 'live')) {
      return { module, reason, status: 'ready', steps: [] };
    }
    if (match.alias !== undefined || options.useBlacklist === 'all') {
      const line = this.rules.blacklistOf(module);
      if (line) return { module, reason, status: 'blacklisted', source: line.source, steps: [] };
    }
    const ban = this.rules.deniedOf(module);
    if (ban) return { module, reason, status: 'denied', denied: ban.denied, source: ban.source, steps: [] };
    return { module, reason, status: 'load', steps: planInsertion(this, match, options, warnings) };
  }
}

function moduleOfPath(target: string, path: string): Match {
  return { module: moduleNameOfPath(path), alias: undefined, builtin: false, reason: { kind: 'requested', from: target } };
}
