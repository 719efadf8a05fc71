// Devices as umockdev-record writes them: P: devpath, N: node, S: link, E: property, A: attribute, H: attribute in hexadecimal, L: link to elsewhere.

import { LimitError, ParseError } from '../errors.ts';
import { OWN_ROOTS } from '../system.ts';
import { EMPTY_RECORD } from './record-file.ts';
import type { DeviceRecord } from './record.ts';
import { isSafeName } from './sysfs-attribute.ts';

/** Devices of one file: a whole machine has some hundreds. */
export const CAPTURED_DEVICES_MAX = 10_000;

export type CapturedDevice = {
  /** Below /sys, starting with a slash. */
  readonly devpath: string;
  readonly subsystem: string | undefined;
  /** What the `uevent` file says: the kernel's properties. DEVNAME is below /dev. */
  readonly properties: ReadonlyMap<string, string>;
  /** What udev knew of it; undefined when nothing of that is in the text. */
  readonly record: DeviceRecord | undefined;
  /** With the newlines that they have in sysfs. */
  readonly attributes: ReadonlyMap<string, string | Uint8Array>;
  /** Symbolic links: `driver` and others. */
  readonly links: ReadonlyMap<string, string>;
};

export type NumberedLine = { readonly text: string; readonly line: number };

/** Whether a line is one of a captured device. */
export function isDeviceLine(text: string): boolean {
  return /^[PNSEAHL]: /.test(text);
}

/** `lines` are all such lines of a file; blank ones between devices are not needed. Throws ParseError, and LimitError. */
export function parseDevices(lines: readonly NumberedLine[], file: string): readonly CapturedDevice[] {
  const drafts: Draft[] = [];
  const devpaths = new Set<string>();
  for (const { text, line } of lines) {
    const [letter, value] = [text[0], text.slice(3)];
    if (letter === 'P') {
      if (!value.startsWith('/') || !isSafeName(value.slice(1))) throw new ParseError({ file, line, message: `not a devpath: ${value}` });
      if (devpaths.has(value)) throw new ParseError({ file, line, message: `${value} is here twice` });
      if (drafts.length === CAPTURED_DEVICES_MAX) throw new LimitError({ file, limit: 'CAPTURED_DEVICES_MAX', maximum: CAPTURED_DEVICES_MAX });
      devpaths.add(value);
      drafts.push({ devpath: value, all: new Map(), attributes: new Map(), links: new Map(), symlinks: [], node: undefined });
      continue;
    }
    const draft = drafts.at(-1);
    if (!draft) throw new ParseError({ file, line, message: `${letter}: without a device: P: comes first` });
    add(draft, letter ?? '', value, (message) => new ParseError({ file, line, message }));
  }
  return drafts.map(finish);
}

/** One device as text, for `parseDevices`. */
export function formatDevice({ devpath, subsystem, properties, record, attributes, links }: CapturedDevice): string {
  const lines = [`P: ${devpath}`];
  const devname = properties.get('DEVNAME');
  if (devname !== undefined) lines.push(`N: ${devname}`);
  for (const link of record?.links ?? []) lines.push(`S: ${link}`);
  for (const [key, value] of properties) lines.push(`E: ${key}=${key === 'DEVNAME' ? `${OWN_ROOTS.dev}/${value.replace(/^\/dev\//, '')}` : value}`);
  if (subsystem !== undefined && !properties.has('SUBSYSTEM')) lines.push(`E: SUBSYSTEM=${subsystem}`);
  for (const [key, value] of record?.properties ?? []) lines.push(`E: ${key}=${value}`);
  if (record && record.tags.size > 0) lines.push(`E: TAGS=:${[...record.tags].join(':')}:`, `E: CURRENT_TAGS=:${[...record.currentTags].join(':')}:`);
  if (record && record.initialisedUsec > 0) lines.push(`E: USEC_INITIALIZED=${record.initialisedUsec}`);
  for (const [name, value] of attributes) {
    lines.push(typeof value === 'string' ? `A: ${name}=${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}` : `H: ${name}=${Buffer.from(value).toString('hex').toUpperCase()}`);
  }
  for (const [name, target] of links) lines.push(`L: ${name}=${target}`);
  return `${lines.join('\n')}\n`;
}

type Draft = {
  readonly devpath: string;
  readonly all: Map<string, string>;
  readonly attributes: Map<string, string | Uint8Array>;
  readonly links: Map<string, string>;
  readonly symlinks: string[];
  node: string | undefined;
};

/** What is not of the kernel: a recorder writes both as properties. */
const OF_UDEV = /^(?:ID_|SYSTEMD_|UDISKS_|LIBINPUT_|UPOWER_|\.)|^(?:DEVLINKS|TAGS|CURRENT_TAGS|USEC_INITIALIZED)$/;
/** Those that have a place of their own in the record. */
const DERIVED = new Set(['DEVLINKS', 'TAGS', 'CURRENT_TAGS', 'USEC_INITIALIZED']);

function add(draft: Draft, letter: string, value: string, failed: (message: string) => ParseError): void {
  if (letter === 'N') {
    // What the node holds may follow.
    draft.node = value.replace(/=.*$/s, '');
    return;
  }
  if (letter === 'S') {
    draft.symlinks.push(value);
    return;
  }
  const equals = value.indexOf('=');
  if (equals <= 0) throw failed(`${letter}: is NAME=VALUE, not ${value}`);
  const [name, text] = [value.slice(0, equals), value.slice(equals + 1)];
  if (letter === 'E') {
    draft.all.set(name, text);
    return;
  }
  if (!isSafeName(name) || name === 'uevent' || name === 'subsystem') {
    if (isSafeName(name)) return;
    throw failed(`not the name of an attribute: ${name}`);
  }
  if (letter === 'A') draft.attributes.set(name, text.replace(/\\([\\n])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : '\\')));
  else if (letter === 'L') draft.links.set(name, text);
  else if (!/^(?:[0-9A-Fa-f]{2})*$/.test(text)) throw failed(`${name} is not hexadecimal`);
  else draft.attributes.set(name, Buffer.from(text, 'hex'));
}

function finish({ devpath, all, attributes, links, symlinks, node }: Draft): CapturedDevice {
  const properties = new Map([...all].filter(([key]) => !OF_UDEV.test(key) && key !== 'SUBSYSTEM' && key !== 'DEVPATH'));
  const devname = node ?? properties.get('DEVNAME');
  if (devname !== undefined) properties.set('DEVNAME', devname.replace(/^\/dev\//, ''));
  const driver = properties.get('DRIVER');
  if (driver !== undefined && !links.has('driver')) links.set('driver', driver);
  const stored = new Map([...all].filter(([key]) => OF_UDEV.test(key) && !DERIVED.has(key)));
  const tags = tagsOf(all.get('TAGS'));
  const isKnown = stored.size > 0 || tags.size > 0 || symlinks.length > 0;
  const usec = all.get('USEC_INITIALIZED') ?? '';
  return {
    devpath, subsystem: all.get('SUBSYSTEM') || undefined, properties, attributes, links,
    record: isKnown ? {
      ...EMPTY_RECORD, links: symlinks, properties: stored, tags, currentTags: all.has('CURRENT_TAGS') ? tagsOf(all.get('CURRENT_TAGS')) : tags,
      initialisedUsec: /^[0-9]{1,15}$/.test(usec) ? Number(usec) : 0,
    } : undefined,
  };
}

function tagsOf(text: string | undefined): Set<string> {
  return new Set((text ?? '').split(':').filter((tag) => tag !== ''));
}
