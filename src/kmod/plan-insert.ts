// The steps of one insertion, in kmod's order: needed modules first, each between its own softdeps.

import type { LogRecord } from '../system.ts';
import type { Match } from './lookup.ts';
import type { ModuleFacts, SoftdepName } from './module-rules.ts';
import type { Planner, PlanOptions } from './plan.ts';
import type { ProbeStep, Reason } from './probe.ts';

/** Softdeps that are left out, because they are denied, become `warnings`. */
export function planInsertion(planner: Planner, match: Match, options: PlanOptions, warnings: LogRecord[]): ProbeStep[] {
  return new Insertion(planner, match, options, warnings).steps;
}

class Insertion {
  readonly steps: ProbeStep[] = [];
  readonly #planner: Planner;
  readonly #options: PlanOptions;
  readonly #warnings: LogRecord[];
  readonly #target: Match;
  readonly #required: ReadonlySet<string>;
  readonly #visited = new Set<string>();
  /** The last step of each module: softdeps can make kmod list a module more than once. */
  readonly #stepOf = new Map<string, number>();

  constructor(planner: Planner, match: Match, options: PlanOptions, warnings: LogRecord[]) {
    this.#planner = planner;
    this.#options = options;
    this.#warnings = warnings;
    this.#target = match;
    this.#required = new Set([match.module, ...planner.rules.of(match.module).needs]);
    this.#withDependencies(match, match.reason, []);
  }

  #withDependencies(match: Match, reason: Reason, after: readonly number[]): void {
    // To kmod a module under an alias is another than the module itself, and -D shows it.
    const identity = match.alias === undefined ? match.module : `${match.module}\\${match.alias}`;
    if (this.#visited.has(identity)) return;
    this.#visited.add(identity);
    const { rules } = this.#planner;
    const facts = rules.of(match.module);
    const { needs } = facts;
    // modules.dep lists what is needed last first.
    for (let i = needs.length - 1; i >= 0; i--) {
      const module = needs[i] ?? '';
      const dep: Match = { module, alias: undefined, builtin: false, reason: { kind: 'dep', from: match.module } };
      this.#withSoftdeps(dep, rules.of(module), dep.reason, after);
    }
    this.#withSoftdeps(match, facts, reason, after);
  }

  #withSoftdeps(match: Match, facts: ModuleFacts, reason: Reason, after: readonly number[]): void {
    const { module } = match;
    const { pre, post } = facts;
    const ignored = (pre.length === 0 && post.length === 0) || (this.#isTarget(match) && this.#options.ignoreInstall);
    if (ignored) {
      this.#push(match, facts, reason, after);
      return;
    }
    const before = this.#softdeps(module, 'softdep-pre', pre, after);
    const index = this.#push(match, facts, reason, [...after, ...before]);
    this.#softdeps(module, 'softdep-post', post, [...after, index]);
  }

  /** Returns the steps of the softdeps themselves. */
  #softdeps(from: string, kind: 'softdep-pre' | 'softdep-post', names: readonly SoftdepName[], after: readonly number[]): number[] {
    return names.flatMap(({ name, source }) => this.#planner.lookup(name).flatMap((match) => {
      if (this.#isDenied(match.module, from)) return [];
      this.#withDependencies(match, { kind, from, source }, after);
      return this.#stepOf.get(match.module) ?? [];
    }));
  }

  #isDenied(module: string, from: string): boolean {
    const ban = this.#planner.rules.deniedOf(module);
    if (!ban) return false;
    const { denied, source } = ban;
    const line = source.line === undefined ? '' : ` line ${source.line}`;
    this.#warnings.push({
      code: 'denied', file: source.file, ...(source.line === undefined ? {} : { line: source.line }),
      message: `softdep ${module} of ${from} left out: ${denied} is denied by ${source.file}${line}`,
    });
    return true;
  }

  /** To kmod a module that softdeps name is another than the one that an alias led to, and has no parameters of the command line. */
  #isTarget({ module, alias }: Match): boolean {
    return module === this.#target.module && (!this.#planner.rules.strict || alias === this.#target.alias);
  }

  #push(match: Match, facts: ModuleFacts, reason: Reason, after: readonly number[]): number {
    const { module } = match;
    const named = this.#isTarget(match);
    const configured = this.#planner.rules.paramsOf(module, match.alias);
    const extra = named ? this.#options.params ?? '' : '';
    // The blank before absent parameters is kmod's, and shows in what -D prints.
    const params = configured === '' ? extra : `${configured} ${extra}`;
    const install = named && this.#options.ignoreInstall ? undefined : facts.install;
    const index = this.steps.length;
    const step: ProbeStep = {
      // The kernel has it already; -D, which does not care, shows the command.
      action: (match.builtin || facts.builtin) && !(install && this.#options.ignoreLoaded) ? 'builtin' : install ? 'install' : 'insmod',
      module, params,
      path: named && this.#options.path !== undefined ? this.#options.path : facts.path,
      reason, after: this.#before(after, facts.needs), required: this.#required.has(module),
    };
    this.steps.push(install ? { ...step, command: install.command, reason: { ...reason, source: install.source } } : step);
    this.#stepOf.set(module, index);
    return index;
  }

  /** These steps and those of the needed modules, each once, ascending. */
  #before(after: readonly number[], needs: readonly string[]): number[] {
    const steps: number[] = [];
    for (const step of after) if (!steps.includes(step)) steps.push(step);
    for (const need of needs) {
      const step = this.#stepOf.get(need);
      if (step !== undefined && !steps.includes(step)) steps.push(step);
    }
    return steps.length > 1 ? steps.sort((a, b) => a - b) : steps;
  }
}
