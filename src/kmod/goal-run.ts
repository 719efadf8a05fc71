// The order in which the steps of one goal run: each as soon as those before it have ended.

import type { Outcome, ProbeFailure, ProbeStep, StepResult } from './probe.ts';

/** What came of one step, and how long it took once it had its turn, in milliseconds (0 when absent). */
export type Attempt = { readonly outcome: Outcome; readonly failure?: ProbeFailure; readonly ms?: number };

/** Takes one step; calls `announce` once it is clear that there is something to do. Never rejects. */
export type TakeStep = (step: ProbeStep, announce: () => void) => Promise<Attempt>;

/** The steps of one goal under way: each starts when those before it have ended, and is announced in the plan's order. */
export class GoalRun {
  readonly #steps: readonly ProbeStep[];
  readonly #onStep: ((step: ProbeStep) => void) | undefined;
  /** Per step: undefined while it has not decided whether there is anything to do. */
  readonly #announced: (boolean | undefined)[];
  #nextToPrint = 0;
  #aborted = false;

  constructor(steps: readonly ProbeStep[], onStep: ((step: ProbeStep) => void) | undefined) {
    this.#steps = steps;
    this.#onStep = onStep;
    this.#announced = steps.map(() => undefined);
  }

  async all(execute: TakeStep): Promise<StepResult[]> {
    const running: Promise<StepResult>[] = [];
    for (const [index, step] of this.#steps.entries()) {
      running.push(this.#one(index, step, step.after.flatMap((at) => running[at] ?? []), execute));
    }
    return Promise.all(running);
  }

  async #one(
    index: number, step: ProbeStep, before: readonly Promise<StepResult>[], execute: TakeStep,
  ): Promise<StepResult> {
    const earlier = await Promise.all(before);
    // Without what it needs a module cannot load; a softdep that failed does not matter.
    const missing = earlier.some((result) => result.outcome === 'failed' && result.reason.kind === 'dep');
    if (this.#aborted || missing) {
      this.#announce(index, false);
      return { ...step, outcome: 'skipped', ms: 0 };
    }
    const attempt = await execute(step, () => this.#announce(index, true));
    this.#announce(index, false);
    if (attempt.outcome === 'failed' && step.required) this.#aborted = true;
    return { ...step, ms: 0, ...attempt };
  }

  #announce(index: number, acts: boolean): void {
    this.#announced[index] ??= acts;
    for (;;) {
      const step = this.#steps[this.#nextToPrint];
      const decided = this.#announced[this.#nextToPrint];
      if (!step || decided === undefined) return;
      if (decided) this.#onStep?.(step);
      this.#nextToPrint++;
    }
  }
}
