// The daemon: listens to the kernel, walks /sys once, then handles events as they come, and walks again when some were lost.

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { coldplug } from './coldplug.ts';
import type { ColdplugProgress, ColdplugSummary } from './coldplug.ts';
import { logOutcomes, moduleLoader } from './load.ts';
import type { EventResult, ModuleProber } from './load.ts';
import { openMonitor } from './monitor.ts';
import { openQueue } from './queue.ts';
import type { EventQueue } from './queue.ts';

/** How long a stop waits for loads under way. A driver's probe may take minutes, and nobody may interrupt it. */
export const STOP_WAIT_MS = 10_000;

export type UdevdOptions = {
  /** Stops the daemon. */
  readonly signal: AbortSignal;
  /** Leave the devices that are there already alone. */
  readonly skipColdplug?: boolean;
  readonly onProgress?: (progress: ColdplugProgress) => void;
  /** After each walk of /sys: the one at the start, and those after a loss. */
  readonly onColdplug?: (summary: ColdplugSummary) => void;
  readonly onEvent?: (result: EventResult) => void;
  /** STOP_WAIT_MS when absent. */
  readonly stopWaitMs?: number;
};

export interface Udevd {
  /** Resolves when the first coldplug has settled; rejects when the machine cannot be examined. */
  readonly ready: Promise<void>;
  /** Resolves when the daemon has stopped as `signal` asked; rejects when the socket failed. */
  readonly stopped: Promise<void>;
  /** The next event sees the configuration and indexes as they are now. Loads under way are not touched. */
  reload(): void;
}

/** Starts the daemon. The socket is open when this resolves: nothing that happens later can be missed. Throws SystemError. */
export async function startUdevd(system: System, kmod: ModuleProber, options: UdevdOptions): Promise<Udevd> {
  const { signal, onColdplug, onProgress } = options;
  signal.throwIfAborted();
  const tracked = trackLoads(kmod);
  const ending = new AbortController();
  const stopSignal = AbortSignal.any([signal, ending.signal]);

  const walk = async (): Promise<void> => {
    const summary = await coldplug(system, tracked.kmod, { signal: stopSignal, ...(onProgress ? { onProgress } : {}) });
    logOutcomes(system, summary.aliases);
    onColdplug?.(summary);
  };
  const resync = coalesce(async () => {
    try {
      await walk();
    } catch (error) {
      if (!stopSignal.aborted) system.log.error({ code: 'coldplug-failed', message: `walk of ${system.roots.sys} failed: ${messageOf(error)}` });
    }
  });
  const queue = openQueue({
    handle: moduleLoader(system, tracked.kmod, options.onEvent),
    onError: (event, error) => {
      system.log.error({ code: 'event-failed', message: `${event.action} ${event.devpath}: ${messageOf(error)}` });
    },
    onOverflow: () => lost('too many events at once'),
  });
  const lost = (why: string): void => {
    if (stopSignal.aborted) return;
    system.log.warn({ code: 'uevents-lost', message: `uevents lost (${why}): walking ${system.roots.sys} again` });
    resync.request();
  };
  const monitor = await openMonitor(system, {
    onEvent: (event) => {
      if (!stopSignal.aborted) queue.push(event);
    },
    onLost: () => lost('receive buffer full'),
    onError: (error) => ending.abort(error),
  });
  system.log.debug({ code: 'monitor-open', message: `listening to uevents, receive buffer ${monitor.receiveBuffer} bytes` });

  const stopped = (async () => {
    await aborted(stopSignal);
    await monitor.close();
    await waitForLoads(system, tracked, queue, options.stopWaitMs ?? STOP_WAIT_MS);
    if (ending.signal.aborted) throw ending.signal.reason;
  })();
  return {
    ready: options.skipColdplug === true ? Promise.resolve() : resync.runFirst(walk),
    stopped,
    reload: () => kmod.reload(),
  };
}

type TrackedLoads = { readonly kmod: ModuleProber; readonly targets: ReadonlyMap<object, string>; idle(): Promise<void> };

/** Knows what is being executed, so that a stop can wait for it. */
function trackLoads(kmod: ModuleProber): TrackedLoads {
  const running = new Map<object, string>();
  let wake = (): void => undefined;
  return {
    targets: running,
    kmod: {
      plan: (name, planOptions) => kmod.plan(name, planOptions),
      reload: () => kmod.reload(),
      execute: async (plan, executeOptions) => {
        const key = {};
        running.set(key, plan.target);
        try {
          return await kmod.execute(plan, executeOptions);
        } finally {
          running.delete(key);
          if (running.size === 0) wake();
        }
      },
    },
    idle: () => (running.size === 0 ? Promise.resolve() : new Promise((resolve) => {
      wake = resolve;
    })),
  };
}

type Coalesced = {
  /** Runs the task, or has it run once more after the one under way, however often this is called. */
  request(): void;
  /** Runs another task in its place and tells what came of it. */
  runFirst(task: () => Promise<void>): Promise<void>;
};

/** One run at a time and one pending. `task` never rejects. */
function coalesce(task: () => Promise<void>): Coalesced {
  let running = false;
  let pending = false;
  const run = async (first: () => Promise<void>): Promise<void> => {
    running = true;
    try {
      await first();
    } finally {
      running = false;
      if (pending) {
        pending = false;
        void run(task);
      }
    }
  };
  return {
    request() {
      if (running) pending = true;
      else void run(task);
    },
    runFirst: run,
  };
}

async function waitForLoads(system: System, loads: TrackedLoads, queue: EventQueue, waitMs: number): Promise<void> {
  if (loads.targets.size === 0) return;
  system.log.info({ code: 'stop-waits', message: `waiting for ${loads.targets.size} loads under way` });
  const timer = new AbortController();
  const timeout = system.clock.sleep(waitMs, timer.signal).catch((error: unknown) => {
    if (!timer.signal.aborted) throw error;
  });
  await Promise.race([Promise.all([loads.idle(), queue.idle()]), timeout]);
  timer.abort();
  if (loads.targets.size > 0) {
    const targets = [...loads.targets.values()].join(', ');
    system.log.warn({ code: 'stop-abandons', message: `stopping while loads are under way: ${targets}` });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return signal.aborted ? Promise.resolve() : new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
