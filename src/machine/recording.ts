// A machine as text: its devices in umockdev's format, and last a device that no machine has, whose attributes are files and events.

import { LimitError, ParseError } from '../errors.ts';
import { formatDevice, isDeviceLine, parseDevices } from '../udev/umockdev.ts';
import type { CapturedDevice, NumberedLine } from '../udev/umockdev.ts';

/** A machine of some thousand devices has 10 MB. */
export const RECORDING_MAX = 256 * 1024 * 1024;

/**
 * umockdev refuses what it does not know, so what it has no place for is here: a device of a subsystem that no program asks for, the last
 * of the file, so that events can be appended to it.
 */
export const EXTENSION_DEVPATH = '/devices/tsmodprobe';
const EXTENSION_SUBSYSTEM = 'tsmodprobe';
const VERSION = 1;

export type RecordedEvent = {
  /** Since the recording began, in milliseconds, to the microsecond. */
  readonly ms: number;
  /** Of the kernel's message, in its order. */
  readonly properties: ReadonlyMap<string, string>;
};

export type Recording = {
  readonly devices: readonly CapturedDevice[];
  /** Files by their paths below the root, without a leading slash: `proc/cmdline`. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
  /** Symbolic links, likewise, with their targets. */
  readonly links: ReadonlyMap<string, string>;
  readonly events: readonly RecordedEvent[];
};

/** The whole text; what `formatEvent` gives may be appended. */
export function formatRecording({ devices, files, links, events }: Recording): string {
  const attributes = new Map<string, string | Uint8Array>([['version', `${VERSION}\n`], ...files]);
  const extension: CapturedDevice = { devpath: EXTENSION_DEVPATH, subsystem: EXTENSION_SUBSYSTEM, properties: new Map(), record: undefined, attributes, links };
  return `${[...devices, extension].map(formatDevice).join('\n')}${events.map(formatEvent).join('')}`;
}

/** One line. `number` counts from 0. */
export function formatEvent({ ms, properties }: RecordedEvent, number: number): string {
  const text = [`${(ms / 1000).toFixed(6)}`, ...[...properties].map(([key, value]) => `${key}=${value}`)].join('\n');
  return `A: event/${String(number).padStart(6, '0')}=${text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\\n\n`;
}

/** A recording of ours, or what umockdev-record wrote: then there are no files and events. Throws ParseError and LimitError. */
export function parseRecording(text: string, file: string): Recording {
  if (text.length > RECORDING_MAX) throw new LimitError({ file, limit: 'RECORDING_MAX', maximum: RECORDING_MAX, actual: text.length });
  const lines: NumberedLine[] = [];
  let number = 0;
  for (const line of text.split('\n')) {
    number++;
    if (isDeviceLine(line)) lines.push({ text: line, line: number });
    else if (line.trim() !== '') throw new ParseError({ file, line: number, message: `not a line of a recording (P:, N:, S:, E:, A:, H:, L:): ${line.slice(0, 80)}` });
  }
  if (lines.length === 0) throw new ParseError({ file, line: 1, message: 'no device: tskmod record and umockdev-record write recordings' });
  const all = parseDevices(lines, file);
  const extension = all.find(({ devpath }) => devpath === EXTENSION_DEVPATH);
  const files = new Map(extension?.attributes);
  const version = files.get('version');
  if (extension && version !== `${VERSION}\n`) {
    throw new ParseError({ file, line: 1, message: `a recording of version ${String(version ?? 'none').trim()}, and this program reads version ${VERSION}` });
  }
  files.delete('version');
  const events: RecordedEvent[] = [];
  for (const [name, value] of files) {
    if (!name.startsWith('event/')) continue;
    files.delete(name);
    events.push(parseEvent(name, value, file));
  }
  return { devices: all.filter((device) => device !== extension), files, links: extension?.links ?? new Map(), events };
}

function parseEvent(name: string, value: string | Uint8Array, file: string): RecordedEvent {
  const [seconds = '', ...lines] = typeof value === 'string' ? value.split('\n').filter((line) => line !== '') : [];
  const pairs = lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  if (!/^[0-9]{1,9}\.[0-9]{6}$/.test(seconds) || pairs.some(([key]) => key === '')) {
    throw new ParseError({ file, line: 1, message: `${name}: an event is its time in seconds and KEY=VALUE lines` });
  }
  return { ms: Math.round(Number(seconds) * 1e6) / 1000, properties: new Map(pairs) };
}
