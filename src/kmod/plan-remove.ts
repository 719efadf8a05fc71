// The steps of one removal: users first, then the module, then what it needed as far as nobody else uses it.

import type { Match } from './lookup.ts';
import type { SoftdepName } from './module-rules.ts';
import type { Planner, PlanOptions } from './plan.ts';
import type { ProbeGoal, ProbeStep, Reason } from './probe.ts';

/** Source of the order: modprobe(8), modprobe.d(5). */
export function planRemoval(planner: Planner, match: Match, options: PlanOptions): ProbeGoal {
  const removal = new Removal(planner, options);
  removal.add(match, match.reason, true);
  return { module: match.module, reason: match.reason, status: 'remove', steps: removal.steps };
}

class Removal {
  readonly steps: ProbeStep[] = [];
  readonly #planner: Planner;
  readonly #options: PlanOptions;
  readonly #visited = new Set<string>();

  constructor(planner: Planner, options: PlanOptions) {
    this.#planner = planner;
    this.#options = options;
  }

  /** @param required the goal fails when this module stays */
  add(match: Match, reason: Reason, required: boolean): void {
    const { module } = match;
    if (this.#visited.has(module)) return;
    this.#visited.add(module);
    const facts = this.#planner.rules.of(module);
    const ignored = required && !reason.kind.startsWith('softdep') && this.#options.ignoreInstall;
    const builtin = !this.#options.ignoreLoaded && (match.builtin || facts.builtin);
    const remove = ignored ? undefined : facts.remove;
    if (!remove && (builtin || (!this.#options.ignoreLoaded && this.#planner.live.state(module) === undefined))) {
      // Nothing of it is there to be removed, and so nothing goes before or after it.
      this.#push({ action: builtin ? 'builtin' : 'rmmod', module, path: '', params: '', reason, required });
      return;
    }
    const [pre, post] = ignored ? [[], []] : [facts.pre, facts.post];

    this.#softdeps(post, 'softdep-post', module);
    if (remove) {
      this.#push({ action: 'remove', module, path: '', params: '', command: remove.command, reason, required });
    } else {
      if (this.#options.removeHolders) {
        for (const holder of this.#planner.live.holders(module)) {
          this.add({ module: holder, alias: undefined, builtin: false, reason }, { kind: 'holder', from: module }, true);
        }
      }
      this.#push({ action: 'rmmod', module, path: '', params: '', reason, required });
      for (const need of facts.needs) {
        this.#push({ action: 'rmmod', module: need, path: '', params: '', reason: { kind: 'dep', from: module }, required: false });
      }
    }
    this.#softdeps(pre, 'softdep-pre', module);
  }

  #softdeps(names: readonly SoftdepName[], kind: 'softdep-pre' | 'softdep-post', from: string): void {
    for (const { name, source } of [...names].reverse()) {
      for (const match of this.#planner.lookup(name)) this.add(match, { kind, from, source }, this.#options.softdepsRequired ?? false);
    }
  }

  /** Removals are never parallel: each step waits for the one before it. */
  #push(step: Omit<ProbeStep, 'after'>): void {
    this.steps.push({ ...step, after: this.steps.length > 0 ? [this.steps.length - 1] : [] });
  }
}
