// The shapes of a probe: what a plan says will be done and why, and what came of it. Plain data, safe to print as JSON.

import type { LogRecord } from '../system.ts';

/** Where a fact was read: a configuration file or index, with the line where it has lines (counted from 1). */
export type Source = { readonly file: string; readonly line?: number };

/**
 * Why a module is in a plan. `from` is the name that asked: the word that was typed (`requested`), the alias that
 * matched (`alias`), or the module that needs it (`dep`, `softdep-pre`, `softdep-post`, `install`), or that is
 * in the way of its removal as long as this one uses it (`holder`).
 */
export type Reason = {
  readonly kind: 'requested' | 'alias' | 'dep' | 'softdep-pre' | 'softdep-post' | 'holder' | 'install';
  readonly from: string;
  /** Of `alias`: the pattern that matched. */
  readonly pattern?: string;
  readonly source?: Source;
};

/** One thing to do. `insmod` inserts a file, `install` and `remove` run a configured command, `rmmod` unloads. */
export type ProbeStep = {
  readonly action: 'insmod' | 'install' | 'builtin' | 'rmmod' | 'remove';
  readonly module: string;
  /** The module file; '' for `builtin` and `rmmod`. */
  readonly path: string;
  /** Module parameters, joined by blanks. */
  readonly params: string;
  /** The shell command of `install` and `remove`. */
  readonly command?: string;
  readonly reason: Reason;
  /** Positions in the same goal's `steps` of those that must have ended first. All smaller than this step's own. */
  readonly after: readonly number[];
  /** The goal fails when this step does. Softdeps are not required. */
  readonly required: boolean;
};

/** One module that the target names (an alias may name several), with all that must be done for it, in order. */
export type ProbeGoal = {
  readonly module: string;
  readonly reason: Reason;
  /**
   * `ready`: in the kernel already (live or builtin). `blacklisted`: nothing is to be done. `denied`: the module, or one
   * that it needs (`denied` names it), must not be loaded.
   */
  readonly status: 'load' | 'ready' | 'blacklisted' | 'denied' | 'remove';
  readonly denied?: string;
  /** Of a blacklisted or denied goal: the line that says so. */
  readonly source?: Source;
  readonly steps: readonly ProbeStep[];
};

export type ProbePlan = {
  readonly target: string;
  /** Empty when nothing has that name. */
  readonly goals: readonly ProbeGoal[];
  readonly warnings: readonly LogRecord[];
};

export type Outcome = 'inserted' | 'removed' | 'ran' | 'live' | 'builtin' | 'blacklisted' | 'denied' | 'skipped' | 'failed' | 'not-loaded';

/** Why a step failed, and in which call (`open`, `finit_module`, …; `decompress`, `sh`). `kernel` holds the lines that the kernel logged meanwhile, oldest first. */
export type ProbeFailure = {
  /** Symbolic errno, such as `ENOEXEC`. */
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly text: string;
  readonly kernel: readonly string[];
};

export type StepResult = ProbeStep & {
  readonly outcome: Outcome;
  readonly failure?: ProbeFailure;
  /** Wall time of the step in milliseconds, 0 where nothing was done. */
  readonly ms: number;
};

export type GoalResult = Omit<ProbeGoal, 'steps'> & {
  readonly outcome: Outcome;
  readonly failure?: ProbeFailure;
  readonly steps: readonly StepResult[];
};

export type ProbeResult = {
  readonly target: string;
  readonly goals: readonly GoalResult[];
  readonly warnings: readonly LogRecord[];
  readonly ms: number;
};

/** One file that was handed to the kernel. Times are milliseconds, `at` on CLOCK_MONOTONIC, which begins with the boot. */
export type ModuleLoad = {
  readonly module: string;
  readonly path: string;
  /** When it had its turn: a request waits for other loads before that, `waitMs` long. */
  readonly at: number;
  readonly waitMs: number;
  readonly readMs: number;
  /** 0 where the kernel took the file as it is. */
  readonly decompressMs: number;
  /** finit_module(2) or init_module(2): linking, init, and the probe of devices that the driver does not put off. */
  readonly initMs: number;
  readonly outcome: Outcome;
  readonly failure?: ProbeFailure;
};
