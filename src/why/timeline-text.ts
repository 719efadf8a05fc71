// A timeline as a table for people, and in the Trace Event Format that Chrome, Perfetto and speedscope read.

import type { PartKind, Timeline, TimelineItem } from './timeline.ts';

/** Rows of each of the two lists. */
const SHOWN_MAX = 15;

export function timelineText({ items, criticalPath }: Timeline, { verbose = false } = {}): string {
  const loads = items.filter(({ kind }) => kind === 'load');
  const events = items.filter(({ kind }) => kind === 'event');
  const path = criticalPath.flatMap((at) => items[at] ?? []);
  const first = Math.min(...items.map(({ at }) => at));
  const last = Math.max(...items.map(({ at, ms }) => at + ms));
  const limit = verbose ? Infinity : SHOWN_MAX;
  return `${events.length} events and ${loads.length} loads from ${seconds(first)} to ${seconds(last)} after the boot began\n
critical path\n${rows(path)}
${title('longest loads, without waiting', loads.length, limit)}${rows(longest(loads, limit))}
${title('longest events, without waiting', events.length, limit)}${rows(longest(events, limit))}`;
}

function title(name: string, count: number, limit: number): string {
  return `${name}${count > limit ? ` (${limit} of ${count}; -v shows all)` : ''}\n`;
}

function longest(items: readonly TimelineItem[], limit: number): TimelineItem[] {
  return items.toSorted((a, b) => ownMs(b) - ownMs(a)).slice(0, limit);
}

/** Without what is only waiting. */
function ownMs({ parts }: TimelineItem): number {
  return parts.reduce((sum, { what, ms }) => (WAITING.has(what) ? sum : sum + ms), 0);
}

const WAITING: ReadonlySet<PartKind> = new Set(['dependency', 'queue', 'wait']);

/** When, how long, what, its parts, and for which device; `*` on the critical path. */
function rows(items: readonly TimelineItem[]): string {
  const cells = items.map((item) => [
    seconds(item.at), `${item.ms.toFixed(1)} ms`, item.kind === 'load' ? item.name : `${item.name} event`, partsText(item), printable(item.devpath),
  ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(0, ...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row, at) => `${items[at]?.critical ? '*' : ' '} ${row.map((cell, i) => (i < 2 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join('  ').trimEnd()}\n`).join('');
}

/** Sums of each kind, largest first, those below a tenth of a millisecond left out. */
function partsText({ parts }: TimelineItem): string {
  const sums = new Map<string, number>();
  for (const { what, ms } of parts) sums.set(what, (sums.get(what) ?? 0) + ms);
  return [...sums].filter(([, ms]) => ms >= 0.1).sort((a, b) => b[1] - a[1]).slice(0, 4).map(([what, ms]) => `${what} ${ms.toFixed(1)}`).join(', ');
}

function seconds(ms: number): string {
  return Number.isFinite(ms) ? `${(ms / 1000).toFixed(3)} s` : '-';
}

function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

/**
 * One object with `traceEvents`: complete events (`ph: "X"`) in microseconds, each item with its parts nested in it, on the first lane that is
 * free; loads are process 1, events process 2. Source: the Trace Event Format document of the Chromium project.
 */
export function timelineTrace({ items }: Timeline): string {
  const lanes = { load: lanesOf(items, 'load'), event: lanesOf(items, 'event') };
  const pids = { load: 1, event: 2 };
  const traceEvents: object[] = [
    { ph: 'M', name: 'process_name', pid: pids.load, tid: 0, args: { name: 'loads' } }, { ph: 'M', name: 'process_name', pid: pids.event, tid: 0, args: { name: 'events' } },
  ];
  for (const [i, { kind, name, devpath, at, ms, parts, critical }] of items.entries()) {
    const place = { ph: 'X', pid: pids[kind], tid: lanes[kind].get(i) ?? 0 };
    traceEvents.push({ ...place, name: kind === 'load' ? name : `${name} ${devpath.slice(devpath.lastIndexOf('/') + 1)}`, cat: kind, ts: at * 1000, dur: ms * 1000, args: { devpath, critical } });
    for (const part of parts) traceEvents.push({ ...place, name: part.what, cat: 'part', ts: part.at * 1000, dur: part.ms * 1000, args: part.name === undefined ? {} : { name: part.name } });
  }
  return `${JSON.stringify({ displayTimeUnit: 'ms', traceEvents })}\n`;
}

/** For each item of the kind, by its position, the first lane where nothing is under way. Items are by time. */
export function lanesOf(items: readonly TimelineItem[], kind: TimelineItem['kind']): Map<number, number> {
  const ends: number[] = [];
  const lanes = new Map<number, number>();
  for (const [i, { kind: each, at, ms }] of items.entries()) {
    if (each !== kind) continue;
    const free = ends.findIndex((end) => end <= at);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = at + ms;
    lanes.set(i, lane);
  }
  return lanes;
}
