// Coldplug: the modules for the devices that are there already, in rounds, because loading a bus driver makes new devices.

import type { ProbePlan, ProbeResult } from '../kmod/probe.ts';
import { LimitError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { enumerate } from './enumerate.ts';
import type { SysDevice } from './enumerate.ts';
import type { ModuleProber } from './load.ts';
import { outcomesByModule } from './outcome.ts';
import type { AliasResult } from './outcome.ts';
import { printable } from './printable.ts';

/** A chain of buses is five long at most; a driver whose devices come and go must not keep a boot waiting. */
export const ROUNDS_MAX = 32;
export const MODALIASES_MAX = 1 << 16;

/**
 * How long after the binding of a driver its devices may still appear, in milliseconds, where a thread of the kernel
 * looks for them after probe has returned. Hubs debounce a port for 100 ms and reset it (drivers/usb/core/hub.c);
 * usb-storage lets a disk settle for `delay_use` = 1 s (drivers/usb/storage/usb.c); the rest detects cards from a work queue.
 */
export const LATE_DEVICES_MS: Readonly<Record<string, number>> = {
  hub: 600, 'usb-storage': 1500, uas: 1500, 'sdhci-pci': 500, 'sdhci-acpi': 500, thunderbolt: 500,
};

export type ColdplugRound = {
  /** Devices found by the walk at its start. */
  readonly devices: number;
  /** Distinct modaliases that no earlier round had. */
  readonly modaliases: number;
  /** Modules inserted. */
  readonly loaded: number;
  readonly ms: number;
};

export type ColdplugSummary = {
  readonly devices: number;
  readonly modaliases: number;
  /** None where the walk was one, and events told of the rest. */
  readonly rounds: readonly ColdplugRound[];
  /** One entry a modalias, in the order of discovery. */
  readonly aliases: readonly AliasResult[];
  /** False when the limit of rounds ended it. */
  readonly settled: boolean;
  readonly ms: number;
};

/** What a coldplug would begin with. Steps that would be taken have the outcome `skipped`. */
export type ColdplugPlan = Pick<ColdplugSummary, 'devices' | 'aliases' | 'ms'>;

export type ColdplugProgress = { readonly devices: number; readonly modaliases: number; readonly loaded: number };

export type ColdplugOptions = {
  readonly signal?: AbortSignal;
  /**
   * A walk that finds nothing new settles it only when the last load is this many milliseconds ago, and new bindings
   * as long as LATE_DEVICES_MS says. 0, the default, leaves latecomers to their uevents.
   */
  readonly settleMs?: number;
  readonly onProgress?: (progress: ColdplugProgress) => void;
};

/**
 * Loads the modules of all devices below `system.roots.sys`. The blacklist applies to every name, as in udev. A module
 * that fails is in the summary and no error. Throws SystemError when there is no /sys/devices, the error of the first
 * plan when not a single one could be made, and the reason of `signal`; loads that run by then go on.
 */
export async function coldplug(system: System, kmod: ModuleProber, options: ColdplugOptions = {}): Promise<ColdplugSummary> {
  const { signal, settleMs = 0, onProgress } = options;
  const start = system.clock.now();
  const rounds: ColdplugRound[] = [];
  const known = new Map<string, Found>();
  const results = new Map<string, ProbeResult>();
  const loaded = new Set<string>();
  const bound = new Set<string>();
  let devices: readonly SysDevice[] = [];
  let quietUntil = start;
  let settled = false;
  while (!settled && rounds.length < ROUNDS_MAX) {
    const roundStart = system.clock.now();
    devices = await enumerate(system, signal ? { signal } : {});
    const fresh = addDevices(known, devices);
    const lateMs = lateDevices(devices, bound);
    // What was bound before this coldplug has shown its devices.
    if (rounds.length > 0 && lateMs > 0) quietUntil = Math.max(quietUntil, roundStart + lateMs);
    const report = () => onProgress?.({ devices: devices.length, modaliases: known.size, loaded: loaded.size });
    report();
    const loadedBefore = loaded.size;
    // The plans are all made before the first load: what a driver takes over must not hide what was there.
    const plans = planAll(system, kmod, fresh);
    await untilAbort(signal, Promise.all(plans.map(async ({ modalias, plan }) => {
      const result = await kmod.execute(plan);
      results.set(modalias, result);
      for (const module of insertedModules(result)) loaded.add(module);
      report();
    })));
    const round = { devices: devices.length, modaliases: fresh.length, loaded: loaded.size - loadedBefore };
    const now = system.clock.now();
    rounds.push({ ...round, ms: now - roundStart });
    if (round.loaded > 0) quietUntil = Math.max(quietUntil, now + settleMs);
    if (fresh.length > 0) continue;
    if (settleMs > 0 && quietUntil > now) await system.clock.sleep(quietUntil - now, signal);
    else settled = true;
  }
  if (!settled) {
    system.log.warn({ code: 'coldplug-rounds', message: `coldplug: new devices still appear after ${ROUNDS_MAX} rounds, going on` });
  }
  const aliases = [...known.values()].flatMap((found): readonly AliasResult[] => {
    const result = results.get(found.modalias);
    return result ? [{ modalias: found.modalias, devices: [...found.devices], result }] : [];
  });
  return { devices: devices.length, modaliases: known.size, rounds, aliases, settled, ms: system.clock.now() - start };
}

/** The first round of a coldplug without its loads. Needs no privilege. Throws as `coldplug` does. */
export async function planColdplug(
  system: System, kmod: ModuleProber, options: { readonly signal?: AbortSignal } = {},
): Promise<ColdplugPlan> {
  const start = system.clock.now();
  const devices = await enumerate(system, options);
  const known = new Map<string, Found>();
  const plans = planAll(system, kmod, addDevices(known, devices));
  const aliases = await Promise.all(plans.map(async ({ modalias, plan }): Promise<AliasResult> => (
    { modalias, devices: [...known.get(modalias)?.devices ?? []], result: await kmod.execute(plan, { dryRun: true }) }
  )));
  return { devices: devices.length, aliases, ms: system.clock.now() - start };
}

type Found = { readonly modalias: string; readonly devices: Set<string> };

/** Notes who has which modalias. Returns the modaliases that are new. */
function addDevices(known: Map<string, Found>, devices: readonly SysDevice[]): readonly string[] {
  const fresh: string[] = [];
  for (const { devpath, modalias } of devices) {
    if (modalias === undefined) continue;
    const found = known.get(modalias);
    if (found) {
      found.devices.add(devpath);
      continue;
    }
    if (known.size >= MODALIASES_MAX) throw new LimitError({ file: 'coldplug', limit: 'MODALIASES_MAX', maximum: MODALIASES_MAX });
    known.set(modalias, { modalias, devices: new Set([devpath]) });
    fresh.push(modalias);
  }
  return fresh;
}

/** The longest wait that newly bound drivers ask for; `bound` remembers them. */
function lateDevices(devices: readonly SysDevice[], bound: Set<string>): number {
  let ms = 0;
  for (const { devpath, driver } of devices) {
    const key = `${driver}@${devpath}`;
    if (driver === undefined || bound.has(key)) continue;
    bound.add(key);
    ms = Math.max(ms, Object.hasOwn(LATE_DEVICES_MS, driver) ? LATE_DEVICES_MS[driver] ?? 0 : 0);
  }
  return ms;
}

type AliasPlan = { readonly modalias: string; readonly plan: ProbePlan };

function planAll(system: System, kmod: ModuleProber, modaliases: readonly string[]): readonly AliasPlan[] {
  const plans: AliasPlan[] = [];
  let firstError: { readonly error: unknown } | undefined;
  for (const modalias of modaliases) {
    try {
      plans.push({ modalias, plan: kmod.plan(modalias, { useBlacklist: 'all' }) });
    } catch (error) {
      firstError ??= { error };
      system.log.error({ code: 'plan-failed', message: `${printable(modalias)}: ${messageOf(error)}` });
    }
  }
  // Not one alias bad, but the indexes: nothing can be said of this machine.
  if (firstError && plans.length === 0) throw firstError.error;
  return plans;
}

function insertedModules(result: ProbeResult): readonly string[] {
  return outcomesByModule([{ modalias: result.target, devices: [], result }]).loaded.map(({ module }) => module);
}

/** Like `work`, but rejects at once when `signal` aborts. The work itself goes on: nobody may interrupt a module's init. */
async function untilAbort(signal: AbortSignal | undefined, work: Promise<unknown>): Promise<void> {
  if (!signal) {
    await work;
    return;
  }
  signal.throwIfAborted();
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
