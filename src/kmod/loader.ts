// Executes plans: the one place where modules are inserted and removed and configured commands are run.

import { describeErrno, errnoByName, type Errno, O_NONBLOCK, O_TRUNC, type System } from '../system.ts';
import type { Compression } from './compression.ts';
import { errnoFailure, failureOf } from './failure.ts';
import { type Attempt, GoalRun } from './goal-run.ts';
import type { InsertTimes } from './insert.ts';
import { KmsgTail } from './kmsg.ts';
import type { LiveModules } from './live.ts';
import type { ModuleSource } from './module-source.ts';
import { Places } from './places.ts';
import type { GoalResult, ModuleLoad, ProbeGoal, ProbePlan, ProbeResult, ProbeStep } from './probe.ts';
import { finishedGoal, inUseFailure, settledGoal } from './rehearsal.ts';

/** Modules whose init runs at the same time. Each holds a thread of the libuv pool. */
export const DEFAULT_JOBS = 8;

/** For a module that is coming, and may itself wait for the request that wants it. Inits that take longer are rarer than loops. */
const LOOP_MS = 15_000;
/** Between two looks at a module that another process is loading. */
const LOOK_MS = 20;

export type LoaderOptions = { readonly jobs?: number };

export type ExecuteOptions = {
  /** Do nothing, but say all that would be done: for Kmod.execute(), which then needs no loader. */
  readonly dryRun?: boolean;
  /** Modules that earlier dry runs would have removed, which count as gone; this one adds its own. Only with `dryRun`. */
  readonly removed?: Set<string>;
  /** Act as if nothing were loaded: only with `dryRun`. */
  readonly ignoreLoaded?: boolean;
  /** MODULE_INIT_IGNORE_MODVERSIONS and MODULE_INIT_IGNORE_VERMAGIC, for every module that is inserted. */
  readonly insertFlags?: number;
  /** Remove what is in use, where the kernel was built to allow that. */
  readonly forceRemoval?: boolean;
  /** Milliseconds to wait for the users of a module that is to be removed to go; not at all when absent. */
  readonly waitMs?: number | undefined;
  /**
   * The kernel waits for this, perhaps in the init of a module that we are loading. Then it takes no place of `jobs`, which that module
   * and its like may hold, but one of as many others, and none where nothing comes free; and it does not wait for ever for a module that
   * is coming already: it may be the one that waits for us.
   */
  readonly forKernel?: boolean;
  /** Called for each step that is about to be taken, in the order of the plan. */
  readonly onStep?: (step: ProbeStep) => void;
  /** Called after each file that was handed to the kernel for this plan; what another plan has under way is told to that one. */
  readonly onLoad?: (load: ModuleLoad) => void;
};

/** Shared by all plans of a process: requests for one module share one load in flight. */
export class Loader {
  readonly #system: System;
  readonly #source: ModuleSource;
  readonly #live: LiveModules;
  readonly #places: Places;
  readonly #kernelPlaces: Places;
  readonly #inFlight = new Map<string, Promise<Attempt>>();
  #kmsg: Promise<KmsgTail | undefined> | undefined;
  #kernelFormat: Compression | undefined | 'unread' = 'unread';

  constructor(system: System, source: ModuleSource, live: LiveModules, { jobs = DEFAULT_JOBS }: LoaderOptions = {}) {
    this.#system = system;
    this.#source = source;
    this.#live = live;
    this.#places = new Places(jobs);
    this.#kernelPlaces = new Places(jobs, system.clock);
  }

  /** Never rejects for a step that fails: the result says so. */
  async execute(plan: ProbePlan, options: ExecuteOptions = {}): Promise<ProbeResult> {
    const started = this.#system.clock.now();
    const goals: GoalResult[] = [];
    // What is announced comes in the plan's order; silent plans need not wait for one goal before the next.
    if (options.onStep) for (const goal of plan.goals) goals.push(await this.#executeGoal(goal, options));
    else goals.push(...await Promise.all(plan.goals.map((goal) => this.#executeGoal(goal, options))));
    return { target: plan.target, goals, warnings: plan.warnings, ms: this.#since(started) };
  }

  /** Closes what was opened for all plans together. */
  async close(): Promise<void> {
    (await this.#kmsg)?.close();
    this.#kmsg = undefined;
  }

  async #executeGoal(goal: ProbeGoal, options: ExecuteOptions): Promise<GoalResult> {
    const settled = settledGoal(goal, this.#live);
    if (settled) return settled;
    const run = new GoalRun(goal.steps, options.onStep);
    return finishedGoal(goal, await run.all((step, announce) => this.#executeStep(step, options, announce)));
  }

  async #executeStep(step: ProbeStep, options: ExecuteOptions, announce: () => void): Promise<Attempt> {
    switch (step.action) {
      case 'builtin':
        return { outcome: 'builtin' };
      case 'insmod':
      case 'install':
        if (this.#live.state(step.module) === 'live') return { outcome: 'live' };
        announce();
        return this.#shared(step, options);
      case 'remove':
        announce();
        return this.#timed(() => this.#runCommand(step));
      case 'rmmod':
        return this.#remove(step, options, announce);
    }
  }

  /** Shares the load of a module, or its install command, that is under way for another plan. */
  #shared(step: ProbeStep, options: ExecuteOptions): Promise<Attempt> {
    const key = `${step.action} ${step.module}`;
    const underWay = this.#inFlight.get(key);
    if (underWay) return options.forKernel ? this.#unlessLoop(step, underWay) : underWay;
    const begun = step.action === 'insmod' ? this.#insertNow(step, options) : this.#timed(() => this.#runCommand(step));
    const attempt = begun.finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, attempt);
    return attempt;
  }

  async #insertNow(step: ProbeStep, options: ExecuteOptions): Promise<Attempt> {
    if (options.forKernel) return this.#insertForKernel(step, options);
    const asked = this.#system.clock.now();
    await this.#places.take();
    try {
      return await this.#insertTimed(step, options, asked);
    } finally {
      this.#places.release();
    }
  }

  /**
   * The kernel has at most fifty requests at a time, and the pool has threads for all of them. But so many inits at once keep the event
   * loop from its work, and the next to ask from an answer.
   */
  async #insertForKernel(step: ProbeStep, options: ExecuteOptions): Promise<Attempt> {
    const asked = this.#system.clock.now();
    await this.#kernelPlaces.take();
    try {
      // finit_module would wait for a module that another process is loading, and hold a thread for as long.
      const end = this.#system.clock.now() + LOOP_MS;
      while (this.#live.state(step.module) === 'coming') {
        if (this.#system.clock.now() >= end) return loopAttempt(step);
        await this.#system.clock.sleep(LOOK_MS);
      }
      if (this.#live.state(step.module) === 'live') return { outcome: 'live' };
      return await this.#insertTimed(step, options, asked);
    } catch (error) {
      return { outcome: 'failed', failure: failureOf(error, step.path) };
    } finally {
      this.#kernelPlaces.release();
    }
  }

  async #unlessLoop(step: ProbeStep, underWay: Promise<Attempt>): Promise<Attempt> {
    const over = new AbortController();
    const loop = this.#system.clock.sleep(LOOP_MS, over.signal).then(() => loopAttempt(step), (error: unknown) => {
      if (!over.signal.aborted) throw error;
      return loopAttempt(step);
    });
    try {
      return await Promise.race([underWay, loop]);
    } finally {
      over.abort();
    }
  }

  /** Never rejects. `asked`: since when the step has waited for its turn. */
  async #insertTimed(step: ProbeStep, options: ExecuteOptions, asked: number): Promise<Attempt> {
    const times: InsertTimes = { readMs: 0, decompressMs: 0, initMs: 0 };
    const at = this.#system.clock.now();
    const attempt = await this.#timed(() => this.#insertFile(step, options, times)).catch((error: unknown): Attempt => (
      { outcome: 'failed', failure: failureOf(error, step.path) }
    ));
    const { outcome, failure } = attempt;
    if (outcome !== 'live') options.onLoad?.({ module: step.module, path: step.path, at, waitMs: at - asked, ...times, outcome, ...(failure ? { failure } : {}) });
    return attempt;
  }

  async #insertFile(step: ProbeStep, { insertFlags }: ExecuteOptions, times: InsertTimes): Promise<Attempt> {
    // Only a real load pays for the decoders and for the FFI.
    const { insertFile, kernelCompression } = await import('./insert.ts');
    const native = await this.#system.native();
    const kmsg = await (this.#kmsg ??= KmsgTail.open(this.#system));
    const mark = kmsg?.mark() ?? 0;
    if (this.#kernelFormat === 'unread') this.#kernelFormat = kernelCompression(this.#system);
    if (step.path === '') return { outcome: 'failed', failure: { ...errnoFailure('ENOENT', 'open'), text: 'the indexes know no file of it' } };
    const file = this.#source.open(step.path);
    try {
      const { errno, syscall } = await insertFile(file, step.params, {
        native, kernelFormat: this.#kernelFormat, newKernelLines: () => kmsg?.since(mark), flags: insertFlags,
        meter: { times, now: () => this.#system.clock.now() },
      });
      if (errno === 0) return { outcome: 'inserted' };
      if (errno === errnoByName('EEXIST')) return { outcome: 'live' };
      return this.#failed(errno, syscall, this.#linesAbout(step.module, kmsg?.since(mark) ?? []));
    } finally {
      file.close();
    }
  }

  async #remove(step: ProbeStep, options: ExecuteOptions, announce: () => void): Promise<Attempt> {
    const named = step.reason.kind !== 'dep';
    if (this.#live.state(step.module) === undefined) return { outcome: 'not-loaded' };
    const users = this.#live.refcnt(step.module);
    if (users !== 0) {
      // What the module needed may well be needed by others too.
      if (!named) return { outcome: 'skipped' };
      if (users !== undefined && options.waitMs === undefined) return { outcome: 'failed', failure: inUseFailure() };
    }
    announce();
    const native = await this.#system.native();
    const flags = O_NONBLOCK | (options.forceRemoval ? O_TRUNC : 0);
    return this.#timed(async () => {
      const errno = await this.#untilUnused(() => native.deleteModule(step.module, flags), named ? options.waitMs ?? 0 : 0);
      if (errno === 0) return { outcome: 'removed' };
      return errno === errnoByName('ENOENT') ? { outcome: 'not-loaded' } : this.#failed(errno, 'delete_module', []);
    });
  }

  /** Tries again while the module is in use, in steps of 1, 2, 4… milliseconds; the kernel's own waiting has no limit. */
  async #untilUnused(remove: () => Errno, waitMs: number): Promise<Errno> {
    const end = this.#system.clock.now() + waitMs;
    for (let pause = 1; ; pause *= 2) {
      const errno = remove();
      const left = end - this.#system.clock.now();
      if (errno !== errnoByName('EAGAIN') || left <= 0) return errno;
      await this.#system.clock.sleep(Math.min(pause, left));
    }
  }

  async #runCommand(step: ProbeStep): Promise<Attempt> {
    const { runShellCommand } = await import('./command.ts');
    return runShellCommand(step, this.#system.env);
  }

  #failed(errno: Errno, syscall: string, kernel: readonly string[]): Attempt {
    const { code, text } = describeErrno(errno);
    return { outcome: 'failed', failure: { code, errno, syscall, text, kernel } };
  }

  /** With several loads under way, only lines that name the module are surely about it. */
  #linesAbout(module: string, lines: readonly string[]): readonly string[] {
    const own = lines.filter((line) => line.replaceAll('-', '_').includes(module));
    return own.length > 0 || this.#places.taken + this.#kernelPlaces.taken > 1 ? own : lines;
  }

  /** What a step took by itself; the time it waited for its turn is not its own. */
  async #timed(work: () => Promise<Attempt>): Promise<Attempt> {
    const started = this.#system.clock.now();
    const attempt = await work();
    return attempt.outcome === 'live' ? attempt : { ...attempt, ms: this.#since(started) };
  }

  #since(started: number): number {
    return this.#system.clock.now() - started;
  }
}

function loopAttempt({ action, module }: ProbeStep): Attempt {
  const code = 'EDEADLK';
  const [what, syscall] = action === 'install' ? [`the install command of ${module} still runs`, 'sh'] : [`${module} is still being initialised`, 'finit_module'];
  const text = `${what} after ${LOOP_MS / 1000} s, and may itself wait for this request`;
  return { outcome: 'failed', failure: { code, errno: errnoByName(code) ?? 35, syscall, text, kernel: [] } };
}
