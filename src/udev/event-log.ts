// The log of events: the first of the boot, in a bounded file in /run, for `tskmod timeline`.

import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { makeDirectory } from './atomic-file.ts';
import { type EventRecord, formatEventRecord, parseEventRecord } from './event-record.ts';
import type { EventTiming } from './queue.ts';

/** Bytes of the file: some 8000 events. A boot is what is asked for; what comes after that is left out. */
export const EVENT_LOG_MAX = 2 * 1024 * 1024;
/** How long records wait to be written: many cost one write. */
const WRITE_MS = 100;

export interface EventLog {
  note(timing: EventTiming): void;
  /** Writes what is noted. */
  flush(): void;
}

export function eventLogPath(system: System): string {
  return join(system.roots.run, 'udev', 'tsudevd.events');
}

/** In the order in which they ended; empty where there is no log, or none for us. */
export function readEventLog(system: System): EventRecord[] {
  let text: string;
  try {
    text = readFileSync(eventLogPath(system), 'utf8');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) !== 'ENOENT') system.log.debug({ code: 'events-unread', message: messageOf(error) });
    return [];
  }
  return text.split('\n').flatMap((line) => (line === '' ? [] : parseEventRecord(line) ?? []));
}

/** Goes on with the file of an earlier daemon, until it is full. */
export function openEventLog(system: System, limit = EVENT_LOG_MAX): EventLog {
  const path = eventLogPath(system);
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  let unwritten: string[] = [];
  let scheduled = false;
  const flush = (): void => {
    scheduled = false;
    if (unwritten.length === 0) return;
    const text = unwritten.join('');
    unwritten = [];
    try {
      makeDirectory(join(system.roots.run, 'udev'));
      appendFileSync(path, text, { mode: 0o600 });
    } catch (error) {
      // Once: a log with a gap would tell wrong things of what comes later.
      system.log.warn({ code: 'events-unwritten', message: `could not write ${path}: ${messageOf(error)}` });
      size = limit;
    }
  };
  return {
    note(timing) {
      if (size >= limit) return;
      const line = formatEventRecord(timing);
      size += Buffer.byteLength(line);
      if (size > limit) {
        size = limit;
        return;
      }
      unwritten.push(line);
      if (scheduled) return;
      scheduled = true;
      setTimeout(flush, WRITE_MS).unref();
    },
    flush,
  };
}
