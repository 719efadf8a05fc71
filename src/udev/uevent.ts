// The kernel's uevents: messages of the netlink socket and the `uevent` files of sysfs, as values.

import { FormatError, LimitError } from '../errors.ts';

/** The kernel's buffer for the properties has 2048 bytes (UEVENT_BUFFER_SIZE, linux/kobject.h); the header repeats the devpath. */
export const UEVENT_MESSAGE_MAX = 8192;
/** The kernel stops at 64 (UEVENT_NUM_ENVP, linux/kobject.h). */
export const UEVENT_PROPERTIES_MAX = 256;
/** A sysfs attribute is one page, and a page has up to 64 KiB. */
export const UEVENT_FILE_MAX = 65536;

/** A map, because the keys come from outside: `__proto__` is one like any other. */
export type UeventProperties = ReadonlyMap<string, string>;

export type Uevent = {
  /** `add`, `remove`, `change`, `move`, `online`, `offline`, `bind`, `unbind`, or what a later kernel invents. */
  readonly action: string;
  /** Below /sys, starting with a slash. Free of `..` and empty components: safe to append to a path. */
  readonly devpath: string;
  readonly subsystem: string;
  readonly seqnum: number;
  /** All of them, also those that have a field of their own. */
  readonly properties: UeventProperties;
};

/**
 * One message of group 1 of NETLINK_KOBJECT_UEVENT: `ACTION@DEVPATH\0KEY=VALUE\0…`. Throws FormatError when it is not
 * what the kernel writes, LimitError when it is too large.
 */
export function parseUeventMessage(bytes: Uint8Array, file = 'uevent'): Uevent {
  if (bytes.length > UEVENT_MESSAGE_MAX) {
    throw new LimitError({ file, limit: 'UEVENT_MESSAGE_MAX', maximum: UEVENT_MESSAGE_MAX, actual: bytes.length });
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Every string has its NUL, the last one too: without it the message was cut.
  if (buffer.at(-1) !== 0) throw malformed(file, buffer.length, 'NUL after the last property', 'end of message');
  const headerEnd = buffer.indexOf(0);
  const header = buffer.toString('utf8', 0, headerEnd);
  const properties = readProperties(buffer, headerEnd + 1, file);

  const action = required(properties, 'ACTION', /^[a-z]{1,32}$/, file);
  const devpath = required(properties, 'DEVPATH', /^\//, file);
  const subsystem = required(properties, 'SUBSYSTEM', /^[^/\p{Cc}]{1,255}$/u, file);
  const seqnum = Number(required(properties, 'SEQNUM', /^[0-9]{1,16}$/, file));
  if (!Number.isSafeInteger(seqnum)) throw malformed(file, 0, 'SEQNUM below 2^53', String(seqnum));
  if (header !== `${action}@${devpath}`) throw malformed(file, 0, `header "${action}@${devpath}"`, JSON.stringify(header));
  const fault = devpathFault(devpath);
  if (fault !== undefined) throw malformed(file, header.indexOf('@') + 1, 'a path below /sys', fault);
  return { action, devpath, subsystem, seqnum, properties };
}

/**
 * The `uevent` file of a device: `KEY=VALUE` lines; others are ignored, as udev does. Where a key is there twice the
 * last one counts: drivers put text that a device chose (HID_NAME) before MODALIAS, and a newline in it must not win.
 */
export function parseUeventFile(text: string, file = 'uevent'): UeventProperties {
  if (text.length > UEVENT_FILE_MAX) {
    throw new LimitError({ file, limit: 'UEVENT_FILE_MAX', maximum: UEVENT_FILE_MAX, actual: text.length });
  }
  const properties = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals <= 0) continue;
    properties.set(line.slice(0, equals), line.slice(equals + 1));
    checkCount(properties, file);
  }
  return properties;
}

function readProperties(buffer: Buffer, start: number, file: string): UeventProperties {
  const properties = new Map<string, string>();
  // At once: each call into a Buffer costs more than a property.
  const all = buffer.toString('utf8', start);
  const hasNewline = all.includes('\n');
  const texts = all.split('\0');
  for (let i = 0; i < texts.length - 1; i++) {
    // A value ends at a newline: what follows could pose as another line in every text made of it.
    const text = (hasNewline ? texts[i]?.split('\n', 1)[0] : texts[i]) ?? '';
    const equals = text.indexOf('=');
    if (equals <= 0) throw malformed(file, offsetOf(buffer, start, i), 'KEY=VALUE', JSON.stringify(text));
    properties.set(text.slice(0, equals), text.slice(equals + 1));
    checkCount(properties, file);
  }
  return properties;
}

/** Where the property of this number begins. */
function offsetOf(buffer: Buffer, start: number, number: number): number {
  let offset = start;
  for (let i = 0; i < number; i++) offset = buffer.indexOf(0, offset) + 1;
  return offset;
}

function checkCount(properties: UeventProperties, file: string): void {
  if (properties.size > UEVENT_PROPERTIES_MAX) {
    throw new LimitError({ file, limit: 'UEVENT_PROPERTIES_MAX', maximum: UEVENT_PROPERTIES_MAX });
  }
}

function required(properties: UeventProperties, key: string, shape: RegExp, file: string): string {
  const value = properties.get(key);
  if (value === undefined) throw malformed(file, 0, `property ${key}`, 'none');
  if (!shape.test(value)) throw malformed(file, 0, `${key} like ${shape.source}`, JSON.stringify(value));
  return value;
}

/** Why a DEVPATH must not become a path, or undefined. NUL cannot be in it: it ends a property. */
export function devpathFault(devpath: string): string | undefined {
  const components = devpath.slice(1).split('/');
  if (components.includes('')) return 'an empty component';
  if (components.includes('.') || components.includes('..')) return 'a component "." or ".."';
  return undefined;
}

function malformed(file: string, offset: number, expected: string, actual: string): FormatError {
  return new FormatError({ file, offset, expected, actual: actual.length > 200 ? `${actual.slice(0, 200)}…` : actual });
}
