// The screen of tskmod top: one status of the daemon, and the one before it, as lines that fit a terminal.

import { printable } from '../udev/printable.ts';
import type { DaemonStatus, PendingReport } from '../udev/status-socket.ts';
import { activityText } from '../udev/settle.ts';

export type Sample = { readonly status: DaemonStatus; readonly atMs: number };

export type ScreenSize = { readonly columns: number; readonly rows: number };

/** Below it nothing could be read. */
const COLUMNS_MIN = 20;
const STATE_WIDTH = 8;
const SINCE_WIDTH = 9;
const ACTION_WIDTH = 7;

/** At most `rows` lines, none wider than `columns`: the counts with their rates since `before`, then what is pending, running events first. */
export function topScreen({ status, atMs }: Sample, before: Sample | undefined, { columns, rows }: ScreenSize): readonly string[] {
  const { pid, uptimeMs, residentMemory, events, modules, programs, resyncs, latencyMs, loading } = status;
  const seconds = before === undefined ? 0 : (atMs - before.atMs) / 1000;
  const rate = (now: number, then: number | undefined) => (seconds <= 0 || then === undefined ? '' : ` (${((now - then) / seconds).toFixed(0)}/s)`);
  const last = before?.status;
  const head = [
    `tsudevd  process ${pid}, up ${clock(uptimeMs)}, ${(residentMemory / 2 ** 20).toFixed(1)} MiB`,
    `events   ${events.received} of the kernel${rate(events.received, last?.events.received)}  ${events.done} done${rate(events.done, last?.events.done)}  ${events.failed} failed  ${events.dropped} dropped  ${resyncs} resyncs`,
    `modules  ${modules.loaded} loaded${rate(modules.loaded, last?.modules.loaded)}  ${modules.failed} failed   programs  ${programs.run} run${rate(programs.run, last?.programs.run)}  ${programs.failed} failed  ${programs.timedOut} timed out`,
    `latency  ${latencyMs === undefined ? 'no event yet' : Object.entries(latencyMs).map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`).join('  ')}`,
    `loading  ${loading.length === 0 ? 'nothing' : loading.map((name) => printable(name)).join(' ')}`,
    `queue    ${events.running} running  ${events.queued} waiting`,
    '',
  ];
  const width = Math.max(columns, COLUMNS_MIN);
  const room = Math.max(0, rows - head.length - 1);
  const pending = status.pending.toSorted((a, b) => Number(a.state === 'waiting') - Number(b.state === 'waiting') || b.ms - a.ms);
  const shown = pending.slice(0, events.running + events.queued > room ? Math.max(0, room - 1) : room);
  const more = events.running + events.queued - shown.length;
  const table = shown.length === 0 ? [] : [row('STATE', 'SINCE', 'ACTION', 'DEVICE', width), ...shown.map((event) => pendingLine(event, width))];
  return [...head.map((line) => cut(line, width)), ...table, ...(more > 0 && shown.length > 0 ? [`and ${more} more`] : [])].slice(0, rows);
}

function pendingLine({ state, ms, action, devpath, activity, waitsFor }: PendingReport, width: number): string {
  const what = state === 'running' ? `  ${activityText(activity)}` : waitsFor === undefined ? '' : '  behind its relative';
  const room = width - STATE_WIDTH - SINCE_WIDTH - ACTION_WIDTH - 3 - what.length;
  return row(state, `${(ms / 1000).toFixed(1)} s`, action, `${cutLeft(printable(devpath), Math.max(room, COLUMNS_MIN))}${what}`, width);
}

function row(state: string, since: string, action: string, rest: string, width: number): string {
  return cut(`${state.padEnd(STATE_WIDTH)} ${since.padStart(SINCE_WIDTH)} ${action.padEnd(ACTION_WIDTH)} ${rest}`, width);
}

function cut(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
}

/** The end of a devpath tells more than its beginning. */
function cutLeft(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
