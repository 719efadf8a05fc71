// A device as sysfs shows it, read when asked and kept for the life of the object.

import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

import { codeOf, FormatError, LimitError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import type { Device, DeviceNumber } from './device.ts';
import { isSafeName, readAttribute, readText } from './sysfs-attribute.ts';
import { parseUeventFile } from './uevent.ts';

/** Attributes are also in directories below that of the device (`power/control`, `mq/0/cpu_list`). */
const ATTRIBUTES_MAX = 4096;
const ATTRIBUTE_DEPTH_MAX = 16;

/**
 * The device at a devpath, which need not exist: one that has gone answers from its last message alone. `properties` are those of a message;
 * without them they come from the `uevent` file. Undefined for a devpath that is none.
 */
export function openDevice(system: System, devpath: string, properties?: ReadonlyMap<string, string>): Device | undefined {
  return devpath.startsWith('/') && isSafeName(devpath.slice(1)) ? new SysfsDevice(system, devpath, properties) : undefined;
}

/** Whether there is a device at a devpath: a directory below /sys/devices needs a `uevent` file to be one. */
export function deviceExists(system: System, devpath: string): boolean {
  const path = system.roots.sys + devpath;
  return existsSync(devpath.startsWith('/devices/') ? `${path}/uevent` : path);
}

/** Not asked yet, where undefined is an answer. */
const UNREAD = Symbol('unread');
type Lazy<T> = T | undefined | typeof UNREAD;

class SysfsDevice implements Device {
  readonly devpath: string;
  readonly syspath: string;
  readonly sysname: string;
  readonly sysnum: string | undefined;
  private readonly system: System;
  private readonly given: ReadonlyMap<string, string> | undefined;
  private readonly attributes = new Map<string, string | undefined>();
  private read: ReadonlyMap<string, string> | undefined;
  private lazySubsystem: Lazy<string> = UNREAD;
  private lazyDriver: Lazy<string> = UNREAD;
  private lazyDevnum: Lazy<DeviceNumber> = UNREAD;
  private lazyParent: Lazy<Device> = UNREAD;

  constructor(system: System, devpath: string, properties: ReadonlyMap<string, string> | undefined) {
    this.system = system;
    this.devpath = devpath;
    this.syspath = system.roots.sys + devpath;
    this.sysname = devpath.slice(devpath.lastIndexOf('/') + 1).replaceAll('!', '/');
    this.sysnum = trailingDigits(this.sysname);
    this.given = properties;
  }

  get properties(): ReadonlyMap<string, string> {
    return this.given ?? (this.read ??= this.readUevent());
  }

  get subsystem(): string | undefined {
    if (this.lazySubsystem === UNREAD) {
      this.lazySubsystem = this.given?.get('SUBSYSTEM') ?? this.linkName('subsystem') ?? impliedSubsystem(this.devpath);
    }
    return this.lazySubsystem;
  }

  get devtype(): string | undefined {
    return this.properties.get('DEVTYPE');
  }

  get driver(): string | undefined {
    if (this.lazyDriver === UNREAD) this.lazyDriver = this.given?.get('DRIVER') ?? this.linkName('driver');
    return this.lazyDriver;
  }

  get devnum(): DeviceNumber | undefined {
    if (this.lazyDevnum === UNREAD) this.lazyDevnum = this.numberOf();
    return this.lazyDevnum;
  }

  get ifindex(): number | undefined {
    return parseNumber(this.properties.get('IFINDEX'));
  }

  get devname(): string | undefined {
    const name = this.properties.get('DEVNAME');
    if (name === undefined) return undefined;
    const { dev } = this.system.roots;
    const below = name.startsWith(`${dev}/`) ? name.slice(dev.length + 1) : name;
    return isSafeName(below) ? below : undefined;
  }

  get parent(): Device | undefined {
    if (this.lazyParent === UNREAD) this.lazyParent = this.findParent();
    return this.lazyParent;
  }

  attribute(name: string): string | undefined {
    const known = this.attributes.get(name);
    if (known !== undefined || this.attributes.has(name)) return known;
    const value = readAttribute(this.system.roots.sys, this.syspath, name);
    this.attributes.set(name, value);
    return value;
  }

  attributeNames(): readonly string[] {
    return namesBelow(this.syspath, '').sort();
  }

  private readUevent(): ReadonlyMap<string, string> {
    const path = `${this.syspath}/uevent`;
    try {
      return parseUeventFile(readText(path) ?? '', path);
    } catch (error) {
      if (codeOf(error) === undefined && !(error instanceof LimitError) && !(error instanceof FormatError)) throw error;
      this.system.log.debug({ code: 'no-uevent', message: `${path}: ${messageOf(error)}` });
      return new Map();
    }
  }

  private linkName(name: string): string | undefined {
    const path = `${this.syspath}/${name}`;
    try {
      // Most devices have no driver, and an error costs ten times a look.
      return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? basename(readlinkSync(path)) : undefined;
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      return undefined;
    }
  }

  private numberOf(): DeviceNumber | undefined {
    const major = parseNumber(this.properties.get('MAJOR'));
    const minor = parseNumber(this.properties.get('MINOR'));
    if (major === undefined || minor === undefined) return undefined;
    return { type: this.subsystem === 'block' ? 'block' : 'char', major, minor };
  }

  private findParent(): Device | undefined {
    const { roots: { sys } } = this.system;
    // "/devices" itself is none, and neither is what holds classes and buses.
    for (let end = this.devpath.lastIndexOf('/'); end > 0; end = this.devpath.lastIndexOf('/', end - 1)) {
      const devpath = this.devpath.slice(0, end);
      if (devpath.lastIndexOf('/') > 0 && existsSync(`${sys}${devpath}/uevent`)) return new SysfsDevice(this.system, devpath, undefined);
    }
    return undefined;
  }
}

/** What the kernel has no link for. */
function impliedSubsystem(devpath: string): string | undefined {
  if (devpath.startsWith('/module/')) return 'module';
  if (devpath.includes('/drivers/') || devpath.endsWith('/drivers')) return 'drivers';
  return /^\/(?:class|bus)\//.test(devpath) ? 'subsystem' : undefined;
}

function trailingDigits(name: string): string | undefined {
  let start = name.length;
  while (start > 0 && isDigit(name.charCodeAt(start - 1))) start--;
  return start === name.length || start === 0 ? undefined : name.slice(start);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** Of the kernel: plain decimal, at most 32 bits. */
function parseNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}

/** Files and known links, those of plain directories with their path; a directory with a `uevent` is another device. */
function namesBelow(directory: string, prefix: string, depth = 0): string[] {
  const names: string[] = [];
  for (const entry of entriesOf(directory)) {
    if (names.length >= ATTRIBUTES_MAX) break;
    if (entry.isFile() || (entry.isSymbolicLink() && prefix === '')) names.push(prefix + entry.name);
    else if (entry.isDirectory() && depth < ATTRIBUTE_DEPTH_MAX && !existsSync(`${directory}/${entry.name}/uevent`)) {
      names.push(...namesBelow(`${directory}/${entry.name}`, `${prefix}${entry.name}/`, depth + 1));
    }
  }
  return names;
}

function entriesOf(directory: string): ReturnType<typeof readDirectory> {
  try {
    return readDirectory(directory);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}

function readDirectory(directory: string) {
  return readdirSync(directory, { withFileTypes: true });
}
