// The events that wait or run: relatives one after the other, the rest at the same time up to a limit.

import type { Clock } from '../system.ts';
import { openRelatives } from './relatives.ts';
import type { Kinship } from './relatives.ts';
import type { Uevent } from './uevent.ts';

/** Also the bound of the memory that a flood of events can take: about 1 KiB each. */
export const QUEUE_MAX = 1 << 17;
/** Events that run at a time. One that waits for a program or a driver's probe costs little; udevd has as many workers. */
export const PARALLEL_MAX = 64;
/** How long events are started in a row before the sockets get their turn, in milliseconds. */
const SLICE_MS = 8;

/** What an event is about at the moment; `settle` and `status` show it. */
export type Activity = { readonly what: 'rules' | 'lock' | 'module' | 'program' | 'builtin'; readonly name?: string; readonly rule?: string };

/** What an event means. Never rejects for a device or module that fails. */
export type EventHandler = (event: Uevent, report: (activity: Activity) => void) => Promise<void>;

export type PendingEvent = {
  readonly event: Uevent;
  readonly state: 'waiting' | 'running';
  /** On the clock of the queue: since when it is in this state. */
  readonly since: number;
  /** Of what runs. */
  readonly activity: Activity | undefined;
  /** Of what waits: the newest relative before it, undefined when only its turn has not come. */
  readonly waitsFor: Uevent | undefined;
};

/** How long one event waited and what it was about, on the clock of the queue. */
export type EventTiming = {
  readonly event: Uevent;
  readonly queuedAt: number;
  /** No relative was before it any more. */
  readonly readyAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
  /** The last relative that it waited for. */
  readonly waitedFor: Uevent | undefined;
  /** The first ACTIVITIES_MAX. */
  readonly activities: readonly (Activity & { readonly at: number })[];
};

/** Rules may start many programs; what is beyond is counted to the last. */
const ACTIVITIES_MAX = 16;

export type QueueOptions = {
  readonly clock: Clock;
  readonly handle: EventHandler;
  /** A handler rejected, which is an error of ours. */
  readonly onError: (event: Uevent, error: unknown) => void;
  /** An event was refused because `limit` are under way. */
  readonly onOverflow: (event: Uevent) => void;
  /** The first event has come, or the last has finished. */
  readonly onBusy?: (busy: boolean) => void;
  /** After each event that was handled. */
  readonly onDone?: (timing: EventTiming) => void;
  /** Events that start before others that could start as well: what they begin takes long, and goes on beside the others. */
  readonly urgent?: (event: Uevent) => boolean;
  /** QUEUE_MAX when absent. */
  readonly limit?: number;
  /** PARALLEL_MAX when absent. */
  readonly parallel?: number;
};

export interface EventQueue {
  readonly size: number;
  /** Events that run at a time; `control --children-max` changes it. */
  parallel: number;
  push(event: Uevent): void;
  /** Nothing new starts until `resume`; what runs goes on. */
  pause(): void;
  resume(): void;
  /** Resolves when no event waits or runs. */
  idle(): Promise<void>;
  /** Resolves when no event runs. */
  quiet(): Promise<void>;
  /** Oldest first. */
  pending(): readonly PendingEvent[];
}

type Entry = {
  readonly event: Uevent;
  readonly kinship: Kinship;
  readonly blockers: Set<Entry>;
  readonly dependants: Entry[];
  state: 'waiting' | 'running';
  since: number;
  activity: Activity | undefined;
  readonly queuedAt: number;
  readyAt: number;
  waitedFor: Uevent | undefined;
  readonly activities: (Activity & { readonly at: number })[];
};

export function openQueue(options: QueueOptions): EventQueue {
  const { clock, handle, onError, onOverflow, onBusy, onDone, urgent, limit = QUEUE_MAX } = options;
  const relatives = openRelatives<Entry>();
  const entries = new Set<Entry>();
  const ready = { urgent: [] as Entry[], other: [] as Entry[] };
  let parallel = options.parallel ?? PARALLEL_MAX;
  let running = 0;
  let paused = false;
  let scheduled = false;
  let waiting: (() => void)[] = [];
  let listening: (() => void)[] = [];

  const startReady = (): void => {
    const sliceEnd = clock.now() + SLICE_MS;
    for (const list of ['urgent', 'other'] as const) {
      let next = 0;
      while (!paused && running < parallel && next < ready[list].length && clock.now() < sliceEnd) {
        const entry = ready[list][next++];
        if (entry) void run(entry);
      }
      if (next > 0) ready[list] = ready[list].slice(next);
    }
    if (isReady() && running < parallel) schedule();
  };
  const isReady = (): boolean => ready.urgent.length > 0 || ready.other.length > 0;
  const makeReady = (entry: Entry): void => {
    ready[urgent?.(entry.event) ? 'urgent' : 'other'].push(entry);
  };
  const schedule = (): void => {
    if (scheduled || paused) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      startReady();
    });
  };
  const run = async (entry: Entry): Promise<void> => {
    running++;
    entry.state = 'running';
    entry.since = clock.now();
    try {
      await handle(entry.event, (activity) => {
        entry.activity = activity;
        if (onDone && entry.activities.length < ACTIVITIES_MAX) entry.activities.push({ ...activity, at: clock.now() });
      });
      const { event, queuedAt, readyAt, since, waitedFor, activities } = entry;
      onDone?.({ event, queuedAt, readyAt, startedAt: since, endedAt: clock.now(), waitedFor, activities });
    } catch (error) {
      onError(entry.event, error);
    }
    finish(entry);
  };
  const finish = (entry: Entry): void => {
    running--;
    entries.delete(entry);
    relatives.remove(entry, entry.kinship);
    for (const dependant of entry.dependants) {
      dependant.blockers.delete(entry);
      if (dependant.blockers.size > 0) continue;
      dependant.readyAt = clock.now();
      dependant.waitedFor = entry.event;
      makeReady(dependant);
    }
    if (isReady()) schedule();
    if (running === 0) listening = wake(listening);
    if (entries.size > 0) return;
    onBusy?.(false);
    waiting = wake(waiting);
  };

  return {
    get size() {
      return entries.size;
    },
    get parallel() {
      return parallel;
    },
    set parallel(value) {
      parallel = value;
      schedule();
    },
    push(event) {
      if (entries.size >= limit) {
        onOverflow(event);
        return;
      }
      if (entries.size === 0) onBusy?.(true);
      const kinship = kinshipOf(event);
      const now = clock.now();
      const entry: Entry = {
        event, kinship, blockers: new Set(), dependants: [], state: 'waiting', since: now, activity: undefined,
        queuedAt: now, readyAt: now, waitedFor: undefined, activities: [],
      };
      for (const blocker of relatives.add(entry, kinship)) {
        entry.blockers.add(blocker);
        blocker.dependants.push(entry);
      }
      entries.add(entry);
      if (entry.blockers.size > 0) return;
      makeReady(entry);
      schedule();
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      schedule();
    },
    idle: () => (entries.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    quiet: () => (running === 0 ? Promise.resolve() : new Promise((resolve) => listening.push(resolve))),
    pending: () => [...entries].map(({ event, state, since, activity, blockers }) => (
      { event, state, since, activity, waitsFor: [...blockers].at(-1)?.event }
    )),
  };
}

function wake(resolvers: readonly (() => void)[]): [] {
  for (const resolve of resolvers) resolve();
  return [];
}

/**
 * udevd's rules of kinship: devpath, old devpath, device number or interface index, node name. And one more: what has neither number nor
 * index is known to the database by subsystem and name, and a name that was given back is soon another device's. Its `add` could be done
 * before the `remove` of the last one, which then forgot the new device.
 */
function kinshipOf({ devpath, subsystem, properties }: Uevent): Kinship {
  const devpaths = [devpath];
  const names: string[] = [];
  const old = properties.get('DEVPATH_OLD');
  if (old?.startsWith('/')) devpaths.push(old);
  const major = properties.get('MAJOR');
  if (major !== undefined) names.push(`${subsystem === 'block' ? 'b' : 'c'}${major}:${properties.get('MINOR')}`);
  const ifindex = properties.get('IFINDEX');
  if (ifindex !== undefined) names.push(`n${ifindex}`);
  const devname = properties.get('DEVNAME');
  if (devname !== undefined) names.push(`/${devname}`);
  if (major === undefined && ifindex === undefined) names.push(`+${subsystem}:${devpath.slice(devpath.lastIndexOf('/') + 1)}`);
  return { devpaths, names };
}
