// Who may load modules at the same time, and who waits for a place.

import type { System } from '../system.ts';

/** Nothing has ended for so long: those that hold the places may wait for one that has none. */
const PATIENCE_MS = 200;

export class Places {
  readonly #count: number;
  readonly #impatient: System['clock'] | undefined;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #ended = 0;
  #isWatched = false;

  /** With a clock, all that wait are let in once nobody has left for PATIENCE_MS; without one they wait for as long as it takes. */
  constructor(count: number, impatient?: System['clock']) {
    this.#count = count;
    this.#impatient = impatient;
  }

  get taken(): number {
    return this.#taken;
  }

  async take(): Promise<void> {
    if (this.#taken < this.#count) {
      this.#taken++;
      return;
    }
    const turn = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#impatient && !this.#isWatched) void this.#watch(this.#impatient);
    await turn;
  }

  /** Hands the place to the next in line, if any. */
  release(): void {
    this.#taken--;
    this.#ended++;
    if (this.#taken < this.#count) this.#letIn();
  }

  #letIn(): void {
    const next = this.#waiting.shift();
    if (!next) return;
    this.#taken++;
    next();
  }

  async #watch(clock: System['clock']): Promise<void> {
    this.#isWatched = true;
    while (this.#waiting.length > 0) {
      const ended = this.#ended;
      await clock.sleep(PATIENCE_MS);
      if (ended === this.#ended) while (this.#waiting.length > 0) this.#letIn();
    }
    this.#isWatched = false;
  }
}
