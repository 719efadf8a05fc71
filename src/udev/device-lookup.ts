// How a device is found: by its path, its node, its place in the database, or its subsystem and name.

import { existsSync, realpathSync, statSync } from 'node:fs';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import type { Device, DeviceNumber } from './device.ts';
import { isSafeName } from './sysfs-attribute.ts';
import { deviceExists, openDevice } from './sysfs-device.ts';

/** A path at or below /sys, links followed; also one below it without the root. Undefined where no device is there. */
export function deviceBySyspath(system: System, path: string): Device | undefined {
  const { sys } = system.roots;
  const below = path === sys || path.startsWith(`${sys}/`) ? path : join(sys, path);
  const root = realOf(sys);
  const real = realOf(resolve(below));
  if (root === undefined || real === undefined || !real.startsWith(`${root}/`)) return undefined;
  const devpath = real.slice(root.length);
  return deviceExists(system, devpath) ? openDevice(system, devpath) : undefined;
}

/**
 * A device node, by its number: links to it do as well as its own name. Relative names are below /dev. In a recorded machine what stands for
 * a node is a link to the device.
 */
export function deviceByNode(system: System, name: string): Device | undefined {
  let stat;
  try {
    stat = statSync(resolve(system.roots.dev, name), { throwIfNoEntry: false });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
  if (stat?.isDirectory()) {
    const real = realOf(resolve(system.roots.dev, name));
    return real?.startsWith(`${realOf(system.roots.sys) ?? system.roots.sys}/`) ? deviceBySyspath(system, real) : undefined;
  }
  const type = stat?.isBlockDevice() ? 'block' : stat?.isCharacterDevice() ? 'char' : undefined;
  if (!stat || type === undefined) return undefined;
  return deviceByNumber(system, deviceNumber(type, stat.rdev));
}

/** The number in an `st_rdev` or `st_dev` of stat(2). */
export function deviceNumber(type: DeviceNumber['type'], rdev: number): DeviceNumber {
  return { type, major: majorOf(rdev), minor: minorOf(rdev) };
}

export function deviceByNumber(system: System, { type, major, minor }: DeviceNumber): Device | undefined {
  return deviceBySyspath(system, join(system.roots.sys, 'dev', type, `${major}:${minor}`));
}

/** `[subsystem/sysname]` of the rules. `/` in the name is the kernel's `!`; a driver is `bus:name`. */
export function deviceBySubsystem(system: System, subsystem: string, sysname: string): Device | undefined {
  const name = sysname.replaceAll('/', '!');
  if (!isSafeName(subsystem) || !isSafeName(name) || subsystem.includes('/')) return undefined;
  for (const path of placesOf(subsystem, name)) {
    // Looked at before it is resolved: an error costs more than all the rest.
    const full = join(system.roots.sys, path);
    const device = existsSync(full) ? deviceBySyspath(system, full) : undefined;
    if (device) return device;
  }
  return undefined;
}

/** `b8:0`, `c1:3`, `n2`, `+usb:5-2:1.0`, `+drivers:pci:ahci`. */
export function deviceById(system: System, id: string): Device | undefined {
  const number = /^([bc])([0-9]{1,10}):([0-9]{1,10})$/.exec(id);
  if (number) {
    return deviceByNumber(system, { type: number[1] === 'b' ? 'block' : 'char', major: Number(number[2]), minor: Number(number[3]) });
  }
  const index = /^n([0-9]{1,10})$/.exec(id);
  if (index) return deviceByIfindex(system, Number(index[1]));
  const named = /^\+([^:/]+):([^/]+)$/s.exec(id);
  return named ? deviceBySubsystem(system, named[1] ?? '', named[2] ?? '') : undefined;
}

export function deviceByIfindex(system: System, ifindex: number): Device | undefined {
  const directory = join(system.roots.sys, 'class', 'net');
  let names: readonly string[] = [];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
  for (const name of names) {
    const device = deviceBySyspath(system, join(directory, name));
    if (device?.ifindex === ifindex) return device;
  }
  return undefined;
}

function placesOf(subsystem: string, name: string): readonly string[] {
  if (subsystem === 'subsystem') return [`bus/${name}`, `class/${name}`];
  if (subsystem === 'module') return [`module/${name}`];
  if (subsystem === 'drivers') {
    const colon = name.indexOf(':');
    return colon > 0 && colon < name.length - 1 ? [`bus/${name.slice(0, colon)}/drivers/${name.slice(colon + 1)}`] : [];
  }
  return [`bus/${subsystem}/devices/${name}`, `class/${subsystem}/${name}`, `firmware/${subsystem}/${name}`];
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

/** makedev(3): of the 64 bits, major has 8 to 19 and 32 to 43 (and up), minor 0 to 7 and 20 to 31. */
function majorOf(rdev: number): number {
  return (Math.floor(rdev / 256) & 0xfff) + (Math.floor(rdev / 2 ** 32) & 0xfffff000);
}

function minorOf(rdev: number): number {
  return (rdev & 0xff) + (Math.floor(rdev / 4096) & 0xfff00);
}
