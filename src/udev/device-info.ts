// What `udevadm info` tells of one device: its records, its properties in udev's order, its attributes in the form of rules.

import { lstatSync } from 'node:fs';

import type { Device } from './device.ts';
import { deviceId } from './device.ts';
import type { DeviceRecord } from './record.ts';

/** A device and what the database has of it. */
export type InfoDevice = { readonly device: Device; readonly record: DeviceRecord | undefined };

export type InfoOptions = {
  /** The directory of nodes. */
  readonly dev: string;
  /** The kernel's properties come before SUBSYSTEM, as where udev has found the device by its number, or was asked for properties only. */
  readonly ueventFirst: boolean;
};

/** Longer lists come from a damaged sysfs only; a chain of devices is about 25 long. */
const PARENTS_MAX = 64;
/** Attributes that rules should not look at, or that the walk shows in other ways. */
const SKIPPED_ATTRIBUTES = new Set(['uevent', 'dev', 'modalias', 'resource', 'driver', 'subsystem', 'module']);

/** All properties, as rules and listeners see them, in the order in which udev has them. */
export function infoProperties({ device, record }: InfoDevice, { dev, ueventFirst }: InfoOptions): ReadonlyMap<string, string> {
  const properties = new Map([['DEVPATH', device.devpath]]);
  const addSubsystem = (): void => {
    if (device.subsystem !== undefined) properties.set('SUBSYSTEM', device.subsystem);
  };
  if (!ueventFirst) addSubsystem();
  const numbers: [string, string][] = [];
  for (const [key, value] of device.properties) {
    if (key === 'MAJOR' || key === 'MINOR') numbers.push([key, value]);
    else if (key === 'DEVNAME') properties.set(key, `${dev}/${device.devname ?? value}`);
    else if (key !== 'DEVPATH' && key !== 'SUBSYSTEM') properties.set(key, value);
  }
  for (const [key, value] of numbers) properties.set(key, value);
  addSubsystem();
  if (device.driver !== undefined) properties.set('DRIVER', device.driver);
  if (!record) return properties;
  if (record.initialisedUsec > 0) properties.set('USEC_INITIALIZED', String(record.initialisedUsec));
  for (const [key, value] of record.properties) properties.set(key, value);
  if (record.links.length > 0) properties.set('DEVLINKS', record.links.map((link) => `${dev}/${link}`).join(' '));
  if (record.tags.size > 0) properties.set('TAGS', `:${[...record.tags].join(':')}:`);
  if (record.currentTags.size > 0) properties.set('CURRENT_TAGS', `:${[...record.currentTags].join(':')}:`);
  return properties;
}

/** The lines of `info --query=all`, each with the letter of its kind, without the blank line behind them. */
export function infoRecord(info: InfoDevice, options: InfoOptions): readonly string[] {
  const { device, record } = info;
  const lines: string[] = [];
  const add = (letter: string, value: string | number | undefined): void => {
    if (value !== undefined) lines.push(`${letter}: ${value}`);
  };
  const { devnum } = device;
  add('P', device.devpath);
  add('M', device.sysname);
  add('R', device.sysnum);
  add('J', deviceId(device));
  add('U', device.subsystem);
  add('T', device.devtype);
  if (devnum) add('D', `${devnum.type === 'block' ? 'b' : 'c'} ${devnum.major}:${devnum.minor}`);
  if (devnum) add('N', device.devname);
  if (devnum) add('L', record?.linkPriority ?? 0);
  for (const link of record?.links ?? []) add('S', link);
  add('I', device.ifindex);
  add('Q', device.properties.get('DISKSEQ'));
  add('V', device.driver);
  add('B', driverSubsystem(device));
  for (const [key, value] of infoProperties(info, options)) add('E', `${key}=${value}`);
  return lines;
}

/** The keys of `info --json`, in udev's order. */
export function infoObject(info: InfoDevice, options: InfoOptions): ReadonlyMap<string, string> {
  const { device } = info;
  const head: readonly (readonly [string, string | undefined])[] = [
    ['SYSNAME', device.sysname], ['SYSNUM', device.sysnum], ['DRIVER_SUBSYSTEM', driverSubsystem(device)], ['DEVICE_ID', deviceId(device)],
  ];
  return new Map([...head.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])), ...infoProperties(info, options)]);
}

/** One device of `info --attribute-walk`. */
export type AttributeStep = {
  readonly devpath: string;
  readonly isParent: boolean;
  readonly kernel: string;
  readonly subsystem: string | undefined;
  readonly driver: string | undefined;
  readonly attributes: readonly (readonly [name: string, value: string])[];
};

/** The device and its parents upwards, with all attributes that a rule may match. */
export function attributeWalk(device: Device): readonly AttributeStep[] {
  const walk: AttributeStep[] = [];
  for (let each: Device | undefined = device; each && walk.length < PARENTS_MAX; each = each.parent) {
    walk.push({
      devpath: each.devpath, isParent: walk.length > 0, kernel: each.sysname, subsystem: each.subsystem, driver: each.driver, attributes: matchableAttributes(each),
    });
  }
  return walk;
}

/** The text of one step, in the form of rules, with the blank line before it. */
export function attributeText({ devpath, isParent, kernel, subsystem, driver, attributes }: AttributeStep): string {
  const s = isParent ? 'S' : '';
  return [
    '', `  looking at ${isParent ? 'parent ' : ''}device '${devpath}':`, `    KERNEL${s}=="${kernel}"`, `    SUBSYSTEM${s}=="${subsystem ?? ''}"`,
    `    DRIVER${s}=="${driver ?? ''}"`, ...attributes.map(([name, value]) => `    ATTR${s}{${name}}=="${value}"`), '',
  ].join('\n');
}

/** The object of one step of `info --attribute-walk --json`. */
export function attributeObject({ devpath, isParent, kernel, subsystem, driver, attributes }: AttributeStep): Readonly<Record<string, unknown>> {
  const s = isParent ? 'S' : '';
  return {
    DEVPATH: devpath, [`KERNEL${s}`]: kernel, [`SUBSYSTEM${s}`]: subsystem ?? null, [`DRIVER${s}`]: driver ?? null, [`ATTR${s}`]: Object.fromEntries(attributes),
  };
}

/** Of what is itself a driver: the bus. */
function driverSubsystem({ subsystem, devpath }: Device): string | undefined {
  return subsystem === 'drivers' ? /^\/bus\/([^/]+)\/drivers(?:\/|$)/.exec(devpath)?.[1] : undefined;
}

function matchableAttributes(device: Device): readonly (readonly [string, string])[] {
  return device.attributeNames().flatMap((name): readonly (readonly [string, string])[] => {
    if (SKIPPED_ATTRIBUTES.has(name)) return [];
    const value = device.attribute(name) ?? unreadable(device, name);
    // Paths say nothing of the device, and what cannot be printed cannot be written into a rule.
    return value === undefined || value.startsWith('/') || /[^\x20-\x7e]/.test(value) ? [] : [[name, value]];
  });
}

/** What udev shows of an attribute that can only be written; undefined for others, which had nothing to show. */
function unreadable({ syspath }: Device, name: string): string | undefined {
  const stat = lstatSync(`${syspath}/${name}`, { throwIfNoEntry: false });
  return stat?.isFile() === true && (stat.mode & 0o444) === 0 ? '(not readable)' : undefined;
}
