// The timeline of a boot: events and loads with the parts of their time, and the critical path through them.

import type { Decision } from '../udev/decision-record.ts';
import type { EventRecord } from '../udev/event-record.ts';

/** `dependency`: a relative was before it. `queue`: its turn had not come. The next five are what an event was about, the last three of a load. */
export type PartKind = 'dependency' | 'queue' | 'rules' | 'lock' | 'module' | 'program' | 'builtin' | 'wait' | 'read' | 'decompress' | 'init';

/** Milliseconds; `at` since the boot began. */
export type Part = { readonly what: PartKind; readonly at: number; readonly ms: number; readonly name?: string };

export type TimelineItem = {
  readonly kind: 'event' | 'load';
  /** The action, or the module. */
  readonly name: string;
  /** Of the event, or the device that the load was for; `request_module` and `modprobe` as in the journal. */
  readonly devpath: string;
  readonly at: number;
  readonly ms: number;
  readonly parts: readonly Part[];
  /** On the critical path. */
  readonly critical: boolean;
};

export type Timeline = {
  /** By `at`. */
  readonly items: readonly TimelineItem[];
  /** Positions in `items`, from the first to the last in time: each had to end, or to come so far, before the next could. */
  readonly criticalPath: readonly number[];
};

type Plain = Omit<TimelineItem, 'critical'> & { readonly waitedFor?: string | undefined; readonly started: number };

/**
 * The critical path ends with what ended last. Before an event is the last load that it asked for; else the relative that it waited for; else
 * the load, for a device above it, during which it came; else what ended last for a device above it. Before a load is the event that asked for it.
 */
export function timelineOf(events: readonly EventRecord[], decisions: readonly Decision[]): Timeline {
  const items = [...events.map(eventItem), ...decisions.flatMap(loadItems)].sort((a, b) => a.at - b.at || b.ms - a.ms);
  const path = criticalPath(items);
  const onPath = new Set(path);
  return { items: items.map(({ kind, name, devpath, at, ms, parts }, i) => ({ kind, name, devpath, at, ms, parts, critical: onPath.has(i) })), criticalPath: path };
}

function eventItem({ action, devpath, queued, ready, started, ended, waitedFor, activities }: EventRecord): Plain {
  const parts: Part[] = [];
  if (ready > queued) parts.push({ what: 'dependency', at: queued, ms: ready - queued, ...(waitedFor === undefined ? {} : { name: waitedFor }) });
  if (started > ready) parts.push({ what: 'queue', at: ready, ms: started - ready });
  for (const [i, { what, name, at }] of activities.entries()) {
    parts.push({ what, at, ms: Math.max(0, (activities[i + 1]?.at ?? ended) - at), ...(name === undefined ? {} : { name }) });
  }
  return { kind: 'event', name: action, devpath, at: queued, ms: ended - queued, parts, waitedFor, started };
}

function loadItems({ devpath, loads }: Decision): Plain[] {
  return loads.map(({ module, at, waitMs, readMs, decompressMs, initMs }) => {
    const parts: Part[] = [];
    let begin = at - waitMs;
    for (const [what, ms] of [['wait', waitMs], ['read', readMs], ['decompress', decompressMs], ['init', initMs]] as const) {
      if (ms > 0) parts.push({ what, at: begin, ms });
      begin += ms;
    }
    return { kind: 'load', name: module, devpath, at: at - waitMs, ms: begin - at + waitMs, parts, started: at };
  });
}

function criticalPath(items: readonly Plain[]): number[] {
  const path: number[] = [];
  let at = latest(items, () => true);
  while (at !== undefined && !path.includes(at)) {
    path.push(at);
    at = before(items, at, path);
  }
  return path.sort((a, b) => a - b);
}

/** What had to be before the item at `at`, the newest of `path`. Undefined where nothing is known. */
function before(items: readonly Plain[], at: number, path: readonly number[]): number | undefined {
  const item = items[at];
  if (!item) return undefined;
  if (item.kind === 'event') {
    return latest(items, (each) => each.kind === 'load' && each.devpath === item.devpath && each.at >= item.started && endOf(each) <= endOf(item) + ROUNDING) ?? beginning(items, item);
  }
  const asking = latest(items, (each) => each.kind === 'event' && each.devpath === item.devpath && each.started <= item.at && endOf(each) >= item.at);
  const event = asking === undefined ? undefined : items[asking];
  // The event led here, or it has not ended.
  return event && asking !== undefined && path.includes(asking) ? beginning(items, event) : asking;
}

/** What an event waited for, or what made its device. */
function beginning(items: readonly Plain[], item: Plain): number | undefined {
  const ready = item.parts.find(({ what }) => what === 'dependency');
  if (ready) return latest(items, (each) => each.kind === 'event' && each.devpath === item.waitedFor && endOf(each) <= ready.at + ready.ms + ROUNDING);
  return latest(items, (each) => each.kind === 'load' && isAbove(each.devpath, item.devpath) && each.at <= item.at && endOf(each) >= item.at)
    ?? latest(items, (each) => isAbove(each.devpath, item.devpath) && endOf(each) <= item.at);
}

/** Records are rounded to a microsecond. */
const ROUNDING = 0.01;

function isAbove(above: string, devpath: string): boolean {
  return devpath.startsWith(`${above}/`);
}

function endOf({ at, ms }: Pick<Plain, 'at' | 'ms'>): number {
  return at + ms;
}

/** Of those that fit, the one that ends last. */
function latest(items: readonly Plain[], fits: (item: Plain) => boolean): number | undefined {
  let found: number | undefined;
  let end = -Infinity;
  for (const [i, item] of items.entries()) {
    if (!(endOf(item) > end) || !fits(item)) continue;
    found = i;
    end = endOf(item);
  }
  return found;
}
