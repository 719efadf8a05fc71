// The devices that the daemon has handled, in memory and in a file: what a restart needs to know who left meanwhile.

import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { knownDevice } from './missed.ts';
import type { KnownDevice } from './missed.ts';
import { devpathFault } from './uevent.ts';
import type { Uevent } from './uevent.ts';

/** A machine of DEVICES_MAX devices with 400 bytes each stays below. */
export const JOURNAL_MAX = 128 * 1024 * 1024;
/** How long what was noted waits to be written. A daemon that is killed meanwhile has these events once more. */
const WRITE_MS = 100;
/** Lines that tell nothing any more are kept up to this number, or as many as there are devices. */
const STALE_MAX = 4096;

/**
 * One line a device, `{"devpath":…,"subsystem":…,"properties":{…}}`; a line with a devpath only says that it is gone. The database has no
 * devpath: of a device that left while nobody watched, libudev's files alone cannot say which it was.
 */
export interface Journal {
  readonly devices: ReadonlyMap<string, KnownDevice>;
  /** After an event was handled. Written a moment later, so that many cost one write. */
  note(event: Uevent): void;
  /** Writes what is noted. */
  flush(): void;
}

/** Reads the journal below `roots.run`. A line that cannot be read is logged and counts for nothing: its device will be found again. */
export function openJournal(system: System): Journal {
  const path = join(system.roots.run, 'udev', 'tsudevd.devices');
  const devices = new Map<string, KnownDevice>();
  let lines = read(system, path, devices);
  let unwritten: string[] = [];
  let scheduled = false;
  let hasFailed = false;

  const flush = (): void => {
    scheduled = false;
    if (unwritten.length === 0) return;
    try {
      mkdirSync(dirname(path), { recursive: true });
      lines += unwritten.length;
      if (lines > devices.size + Math.max(devices.size, STALE_MAX)) {
        writeFileSync(`${path}.new`, [...devices.values()].map(lineOf).join(''), { mode: 0o600 });
        renameSync(`${path}.new`, path);
        lines = devices.size;
      } else {
        appendFileSync(path, unwritten.join(''), { mode: 0o600 });
      }
      hasFailed = false;
    } catch (error) {
      // One line: a full /run would give one for each event.
      if (!hasFailed) system.log.error({ code: 'journal-failed', message: `${path}: ${messageOf(error)}: a restart will treat all devices as new` });
      hasFailed = true;
    }
    unwritten = [];
  };
  const write = (line: string): void => {
    unwritten.push(line);
    if (scheduled) return;
    scheduled = true;
    setTimeout(flush, WRITE_MS).unref();
  };

  return {
    devices,
    note(event) {
      const old = event.properties.get('DEVPATH_OLD');
      for (const gone of [event.action === 'remove' ? event.devpath : undefined, event.action === 'move' ? old : undefined]) {
        if (gone !== undefined && devices.delete(gone)) write(`${JSON.stringify({ devpath: gone })}\n`);
      }
      if (event.action === 'remove') return;
      const device = knownDevice(event);
      const before = devices.get(event.devpath);
      devices.set(event.devpath, device);
      if (!before || !isSame(before, device)) write(lineOf(device));
    },
    flush,
  };
}

function isSame(a: KnownDevice, b: KnownDevice): boolean {
  if (a.subsystem !== b.subsystem || a.properties.size !== b.properties.size) return false;
  for (const [key, value] of a.properties) if (b.properties.get(key) !== value) return false;
  return true;
}

function lineOf({ devpath, subsystem, properties }: KnownDevice): string {
  return `${JSON.stringify({ devpath, subsystem, properties: Object.fromEntries(properties) })}\n`;
}

/** Returns the number of lines. */
function read(system: System, path: string, devices: Map<string, KnownDevice>): number {
  let text: string;
  try {
    text = readFileSync(path, { encoding: 'utf8' });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') system.log.error({ code: 'journal-failed', message: messageOf(error) });
    return 0;
  }
  if (text.length > JOURNAL_MAX) {
    system.log.error({ code: 'journal-failed', message: `${path}: ${text.length} bytes exceed JOURNAL_MAX (${JOURNAL_MAX}): ignored` });
    return 0;
  }
  const lines = text.split('\n').slice(0, -1);
  lines.forEach((line, index) => {
    const entry = parseLine(line);
    if (entry === undefined) system.log.warn({ code: 'journal-line', message: `${path}:${index + 1}: not a device: ignored`, file: path, line: index + 1 });
    else if ('properties' in entry) devices.set(entry.devpath, entry);
    else devices.delete(entry.devpath);
  });
  return lines.length;
}

function parseLine(line: string): KnownDevice | { readonly devpath: string } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof value !== 'object' || value === null || !('devpath' in value) || typeof value.devpath !== 'string') return undefined;
  if (!value.devpath.startsWith('/') || devpathFault(value.devpath) !== undefined) return undefined;
  if (!('properties' in value)) return { devpath: value.devpath };
  const { properties } = value;
  if (!('subsystem' in value) || typeof value.subsystem !== 'string' || typeof properties !== 'object' || properties === null) return undefined;
  const entries = Object.entries(properties).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return { devpath: value.devpath, subsystem: value.subsystem, properties: new Map(entries) };
}
