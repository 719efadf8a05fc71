// A record of the log of events: when an event came, what it waited for, and what it was about. One line of JSON each.

import { isObject, parseJsonRecord } from './json-record.ts';
import type { Activity, EventTiming } from './queue.ts';

/** A longer line is none of ours. */
export const EVENT_RECORD_MAX = 1 << 16;

/** Times are milliseconds on CLOCK_MONOTONIC, which begins with the boot. */
export type EventRecord = {
  readonly action: string;
  readonly devpath: string;
  readonly subsystem: string;
  readonly queued: number;
  /** No relative was before it any more. */
  readonly ready: number;
  readonly started: number;
  readonly ended: number;
  /** The devpath of the last relative that it waited for. */
  readonly waitedFor?: string;
  readonly activities: readonly { readonly what: Activity['what']; readonly name?: string; readonly at: number }[];
};

export function formatEventRecord({ event, queuedAt, readyAt, startedAt, endedAt, waitedFor, activities }: EventTiming): string {
  const record: EventRecord = {
    action: event.action, devpath: event.devpath, subsystem: event.subsystem,
    queued: micro(queuedAt), ready: micro(readyAt), started: micro(startedAt), ended: micro(endedAt),
    ...(waitedFor ? { waitedFor: waitedFor.devpath } : {}),
    activities: activities.map(({ what, name, at }) => ({ what, ...(name === undefined ? {} : { name }), at: micro(at) })),
  };
  return `${JSON.stringify(record)}\n`;
}

/** Undefined for what is no such line. */
export function parseEventRecord(line: string): EventRecord | undefined {
  return parseJsonRecord(line, EVENT_RECORD_MAX, isRecord);
}

function isRecord(value: unknown): value is EventRecord {
  if (!isObject(value) || !['action', 'devpath', 'subsystem'].every((key) => typeof value[key] === 'string')) return false;
  if (!['queued', 'ready', 'started', 'ended'].every((key) => typeof value[key] === 'number')) return false;
  const { waitedFor, activities } = value;
  return (waitedFor === undefined || typeof waitedFor === 'string') && Array.isArray(activities)
    && activities.every((each: unknown) => isObject(each) && typeof each['what'] === 'string' && typeof each['at'] === 'number' && (each['name'] === undefined || typeof each['name'] === 'string'));
}

/** Three digits are enough, and half the bytes. */
function micro(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
