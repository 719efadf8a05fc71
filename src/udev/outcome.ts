// What came of probes, by module: the same module is often in several plans, and people count modules.

import type { GoalResult, ProbeFailure, ProbeResult, Reason, Source, StepResult } from '../kmod/probe.ts';

/** The results of one MODALIAS and the devices that have it. */
export type AliasResult = {
  readonly modalias: string;
  /** Devpaths, in the order of the walk. */
  readonly devices: readonly string[];
  readonly result: ProbeResult;
};

export type LoadedModule = {
  readonly module: string;
  readonly path: string;
  readonly ms: number;
  readonly reason: Reason;
  /** Of all modaliases that led to it. */
  readonly devices: readonly string[];
};

export type FailedModule = {
  readonly module: string;
  readonly path: string;
  readonly reason: Reason;
  readonly failure: ProbeFailure;
  readonly devices: readonly string[];
};

export type BlacklistedModule = {
  readonly module: string;
  readonly source: Source | undefined;
  readonly devices: readonly string[];
};

export type ModuleOutcomes = {
  /** In the order in which they first appear. */
  readonly loaded: readonly LoadedModule[];
  /** The driver found no hardware of its own: everyday, since aliases promise more than drivers keep. */
  readonly absent: readonly FailedModule[];
  readonly failed: readonly FailedModule[];
  readonly blacklisted: readonly BlacklistedModule[];
};

/** The driver looked and found nothing to drive. Such failures are not worth a warning. */
export function isHardwareAbsent(failure: ProbeFailure): boolean {
  return failure.code === 'ENODEV' || failure.code === 'ENXIO';
}

/** One entry a module, whatever the number of modaliases and dependants that asked for it. */
export function outcomesByModule(aliases: readonly AliasResult[]): ModuleOutcomes {
  const loaded = new Map<string, Collected<StepResult>>();
  const failed = new Map<string, Collected<StepResult & { failure: ProbeFailure }>>();
  const blacklisted = new Map<string, Collected<GoalResult>>();
  for (const { devices, result } of aliases) {
    for (const goal of result.goals) {
      if (goal.outcome === 'blacklisted' || goal.outcome === 'denied') collect(blacklisted, goal.module, goal, devices);
      for (const step of goal.steps) {
        if (step.outcome === 'inserted' || step.outcome === 'ran') collect(loaded, step.module, step, devices);
        const { failure } = step;
        if (step.outcome === 'failed' && failure) collect(failed, step.module, { ...step, failure }, devices);
      }
    }
  }
  // A second request may have succeeded where the first did not: the module is there.
  const failures = [...failed.values()].filter(({ first }) => !loaded.has(first.module)).map(failedModule);
  return {
    loaded: [...loaded.values()].map(({ first, devices }) => (
      { module: first.module, path: first.path, ms: first.ms, reason: first.reason, devices: [...devices] }
    )),
    absent: failures.filter(({ failure }) => isHardwareAbsent(failure)),
    failed: failures.filter(({ failure }) => !isHardwareAbsent(failure)),
    blacklisted: [...blacklisted.values()].map(({ first, devices }) => (
      { module: first.module, source: first.source, devices: [...devices] }
    )),
  };
}

type Collected<T> = { readonly first: T; readonly devices: Set<string> };

function collect<T>(into: Map<string, Collected<T>>, module: string, item: T, devices: readonly string[]): void {
  const known = into.get(module);
  if (!known) into.set(module, { first: item, devices: new Set(devices) });
  else for (const device of devices) known.devices.add(device);
}

function failedModule({ first, devices }: Collected<StepResult & { failure: ProbeFailure }>): FailedModule {
  return { module: first.module, path: first.path, reason: first.reason, failure: first.failure, devices: [...devices] };
}
