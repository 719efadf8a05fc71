// The daemon: listens to the kernel, walks /sys once, then handles events as they come, and walks again when some were lost.

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { RANKS } from './goal.ts';
import type { Goal } from './goal.ts';
import { LATE_DEVICES_MS } from './coldplug.ts';
import type { Journal } from './journal.ts';
import type { Metrics } from './metrics.ts';
import { missedEvents } from './missed.ts';
import type { ModuleRequests } from './module-requests.ts';
import { openMonitor } from './monitor.ts';
import { openQueue } from './queue.ts';
import type { EventHandler, EventQueue, EventTiming } from './queue.ts';
import { scanDevices, scanSubsystems } from './scan.ts';
import { readSeqnum } from './seqnum.ts';
import type { Uevent } from './uevent.ts';

/** How long a stop waits for loads under way. A driver's probe may take minutes, and nobody may interrupt it. */
export const STOP_WAIT_MS = 10_000;
/** How long a walk after a loss waits for the events that did come: what they tell need not be found again. */
const RESYNC_WAIT_MS = 5_000;

/** What others wait for: udevadm trigger's order of Debian's boot unit. */
const FIRST_SUBSYSTEMS = ['module', 'block', 'tpmrm', 'net', 'tty', 'input'];

export type Walk = {
  /** Devices in /sys. */
  readonly devices: number;
  /** Those that had to be told of, as events that were made. */
  readonly events: number;
  readonly ms: number;
};

export type UdevdOptions = {
  /** What an event means. */
  readonly handle: EventHandler;
  readonly requests: ModuleRequests;
  readonly journal: Journal;
  readonly metrics: Metrics;
  /** Stops the daemon. */
  readonly signal: AbortSignal;
  /** Leave the devices that are there already alone. */
  readonly skipColdplug?: boolean;
  /** What the first walk is for: what leads there comes first, and it ends when it is reached. */
  readonly goal?: Goal;
  /** Modules, buses and drivers have events too: for rules. */
  readonly withSubsystems?: boolean;
  /** After each walk of /sys and all events that it made: the one at the start, and those after a loss. */
  readonly onWalk?: (walk: Walk) => void;
  /** After each event. */
  readonly onEvent?: (event: Uevent) => void;
  /** After each event, with where its time went. */
  readonly onTiming?: (timing: EventTiming) => void;
  /** The first event has come or a walk of /sys begins; or the last of both is over. Who waits for udev waits for the walk, too. */
  readonly onBusy?: (busy: boolean) => void;
  /** STOP_WAIT_MS when absent. */
  readonly stopWaitMs?: number;
  /** Bytes asked for the socket; UeventSocketOptions says what is asked for when absent. */
  readonly receiveBuffer?: number;
};

export interface Udevd {
  /** Resolves when the first coldplug is worked off; rejects when the machine cannot be examined. */
  readonly ready: Promise<void>;
  /** Resolves when the daemon has stopped as `signal` asked; rejects when the socket failed. */
  readonly stopped: Promise<void>;
  readonly queue: EventQueue;
  /** Devices in /sys at the last walk. */
  readonly devices: number;
  /**
   * Resolves when nothing has happened for `settleMs`, and drivers whose devices come late (LATE_DEVICES_MS) have had their time.
   * Rejects with the reason of `signal`.
   */
  quiet(settleMs: number): Promise<void>;
  /** Walks /sys again, as after a loss. */
  resync(why: string): void;
  /** Queues the events that the kernel has sent by now, without waiting for the event loop. */
  receive(): void;
}

/** Starts the daemon. The socket is open when this resolves: nothing that happens later can be missed. Throws SystemError. */
export async function startUdevd(system: System, options: UdevdOptions): Promise<Udevd> {
  const { signal, requests, journal, metrics, onWalk, onEvent } = options;
  signal.throwIfAborted();
  const ending = new AbortController();
  const stopSignal = AbortSignal.any([signal, ending.signal]);
  const arrivals = new Map<Uevent, number>();
  let devices = 0;
  let lastEvent = system.clock.now();
  let lateUntil = lastEvent;

  const busy = openBusy(options.onBusy);
  const queue = openQueue({
    clock: system.clock,
    handle: async (event, report) => {
      await options.handle(event, report);
      journal.note(event);
      metrics.count('done');
      metrics.latency(system.clock.now() - (arrivals.get(event) ?? system.clock.now()));
      arrivals.delete(event);
      lastEvent = system.clock.now();
      if (event.action === 'bind') lateUntil = Math.max(lateUntil, lastEvent + lateMs(event));
      onEvent?.(event);
    },
    onError: (event, error) => {
      arrivals.delete(event);
      if (stopSignal.aborted) return;
      metrics.count('failed');
      system.log.error({ code: 'event-failed', message: `${event.action} ${event.devpath}: ${messageOf(error)}` });
    },
    onOverflow: (event) => {
      arrivals.delete(event);
      metrics.count('dropped');
      resync('too many events at once');
    },
    onBusy: busy.queue,
    urgent: mayLoad,
    ...(options.onTiming ? { onDone: options.onTiming } : {}),
  });
  const push = (event: Uevent): void => {
    arrivals.set(event, system.clock.now());
    queue.push(event);
  };
  const walk = async (isAfterLoss: boolean): Promise<void> => {
    busy.walk(true);
    const made = await makeUp(system, options, queue, push, stopSignal, isAfterLoss).finally(() => busy.walk(false));
    metrics.count('made', made.events);
    devices = made.devices;
    onWalk?.(made);
  };
  const walker = coalesce(async () => {
    metrics.count('resyncs');
    try {
      await idleOrLate(queue, system, stopSignal);
      await walk(true);
    } catch (error) {
      if (!stopSignal.aborted) system.log.error({ code: 'coldplug-failed', message: `walk of ${system.roots.sys} failed: ${messageOf(error)}` });
    }
  });
  const resync = (why: string): void => {
    if (stopSignal.aborted || walker.isPending()) return;
    system.log.warn({ code: 'uevents-lost', message: `uevents lost (${why}): walking ${system.roots.sys} again` });
    walker.request();
  };
  const inbox = openInbox(push);
  const monitor = await openMonitor(system, {
    onEvent: (event) => {
      if (stopSignal.aborted) return;
      metrics.count('received');
      inbox.add(event);
    },
    onLost: () => {
      // What came before the loss is older than what the walk will find, and must not be handled after it.
      inbox.flush();
      resync('receive buffer full');
    },
    onError: (error) => ending.abort(error),
    ...(options.receiveBuffer === undefined ? {} : { receiveBuffer: options.receiveBuffer }),
  });
  system.log.debug({ code: 'monitor-open', message: `listening to uevents, receive buffer ${monitor.receiveBuffer} bytes` });

  const stopped = (async () => {
    await aborted(stopSignal);
    queue.pause();
    await monitor.close();
    await waitForEvents(system, queue, requests, options.stopWaitMs ?? STOP_WAIT_MS);
    journal.flush();
    if (ending.signal.aborted) throw ending.signal.reason;
  })();
  return {
    ready: options.skipColdplug === true ? Promise.resolve() : walker.runFirst(() => walk(false)),
    stopped,
    queue,
    get devices() {
      return devices;
    },
    async quiet(settleMs) {
      for (;;) {
        await Promise.race([queue.idle(), aborted(stopSignal)]);
        stopSignal.throwIfAborted();
        const wait = Math.max(lastEvent + settleMs, settleMs > 0 ? lateUntil : 0) - system.clock.now();
        if (queue.size === 0 && wait <= 0) return;
        await system.clock.sleep(Math.max(wait, 1), stopSignal);
      }
    },
    resync,
    receive() {
      monitor.receive();
      inbox.flush();
    },
  };
}

/** Whether rules are likely to load a module for it: the kernel probes on other processors while the rest is gone through. */
function mayLoad({ action, properties }: Uevent): boolean {
  return action === 'add' && properties.has('MODALIAS');
}

/** One state of two: there are no walks at the same time. */
function openBusy(onBusy: ((busy: boolean) => void) | undefined): { queue(busy: boolean): void; walk(busy: boolean): void } {
  const busy = { queue: false, walk: false };
  const set = (part: 'queue' | 'walk', next: boolean): void => {
    const before = busy.queue || busy.walk;
    busy[part] = next;
    const now = busy.queue || busy.walk;
    if (now !== before) onBusy?.(now);
  };
  return { queue: (next) => set('queue', next), walk: (next) => set('walk', next) };
}

/** How long devices of a driver that was bound may still be coming. */
function lateMs({ properties }: Uevent): number {
  const driver = properties.get('DRIVER') ?? '';
  return Object.hasOwn(LATE_DEVICES_MS, driver) ? LATE_DEVICES_MS[driver] ?? 0 : 0;
}

/** The kernel's events of a turn of the event loop, by number: two processors may send theirs out of order (systemd issue 37314). */
function openInbox(push: (event: Uevent) => void): { add(event: Uevent): void; flush(): void } {
  let events: Uevent[] = [];
  const flush = (): void => {
    const batch = events.sort((a, b) => a.seqnum - b.seqnum);
    events = [];
    for (const event of batch) push(event);
  };
  return {
    add(event) {
      if (events.push(event) === 1) setImmediate(flush);
    },
    flush,
  };
}

/** Walks, queues what nobody told of, and waits until all of it is done. Throws as `scanDevices` does, and the reason of `signal`. */
async function makeUp(
  system: System, { requests, journal, withSubsystems, goal }: UdevdOptions, queue: EventQueue, push: (event: Uevent) => void, signal: AbortSignal,
  isAfterLoss: boolean,
): Promise<Walk> {
  const start = system.clock.now();
  // Read first: what happens during the walk has higher numbers.
  const seqnum = readSeqnum(system);
  const devices = await scanDevices(system, { first: FIRST_SUBSYSTEMS, signal });
  const scanned = withSubsystems === true ? [...scanSubsystems(system), ...devices] : devices;
  // Who waits already will be told of by that event.
  const queued = new Set(queue.pending().map(({ event }) => event.devpath));
  const missed = missedEvents(journal.devices, scanned, seqnum, { mayHaveChanged: isAfterLoss }).filter(({ devpath }) => !queued.has(devpath));
  let events = 0;
  requests.beginWalk();
  try {
    for (const batch of goal ? byRank(goal, missed) : [missed]) {
      if (goal?.isReached()) break;
      events += batch.length;
      for (const event of batch) push(event);
      await Promise.race([queue.idle(), aborted(signal)]);
      signal.throwIfAborted();
    }
  } finally {
    requests.endWalk();
  }
  return { devices: devices.length, events, ms: system.clock.now() - start };
}

function byRank(goal: Goal, events: readonly Uevent[]): readonly (readonly Uevent[])[] {
  return RANKS.map((rank) => events.filter((event) => goal.rankOf(event) === rank));
}

type Coalesced = {
  /** Runs the task, or has it run once more after the one under way, however often this is called. */
  request(): void;
  /** A run is asked for that has not begun. */
  isPending(): boolean;
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
    isPending: () => pending,
    runFirst: run,
  };
}

/** What runs, runs to its end; what only waits is left to the next start. */
async function waitForEvents(system: System, queue: EventQueue, requests: ModuleRequests, waitMs: number): Promise<void> {
  const running = queue.pending().filter(({ state }) => state === 'running').length;
  if (running === 0) return;
  system.log.info({ code: 'stop-waits', message: `waiting for ${running} events under way` });
  const timer = new AbortController();
  const timeout = system.clock.sleep(waitMs, timer.signal).catch((error: unknown) => {
    if (!timer.signal.aborted) throw error;
  });
  await Promise.race([queue.quiet(), timeout]);
  timer.abort();
  const left = queue.pending().filter(({ state }) => state === 'running').map(({ event }) => event.devpath);
  if (left.length === 0) return;
  const loading = requests.loading();
  const detail = loading.length === 0 ? left.join(', ') : `${left.join(', ')} (loading ${loading.join(', ')})`;
  system.log.warn({ code: 'stop-abandons', message: `stopping while events are under way: ${detail}` });
}

/** Waits no longer than RESYNC_WAIT_MS, and leaves no timer and no listener behind: there may be many losses. */
async function idleOrLate(queue: EventQueue, system: System, signal: AbortSignal): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([queue.idle(), system.clock.sleep(RESYNC_WAIT_MS, AbortSignal.any([signal, timer.signal]))]);
  } finally {
    timer.abort();
  }
}

const aborts = new WeakMap<AbortSignal, Promise<void>>();

/** One listener a signal, however often this is asked. */
function aborted(signal: AbortSignal): Promise<void> {
  const known = aborts.get(signal) ?? (signal.aborted ? Promise.resolve() : new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  }));
  aborts.set(signal, known);
  return known;
}
