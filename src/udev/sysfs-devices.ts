// All devices of a machine, and its subsystems, drivers and modules, as udevadm enumerates them.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, LimitError } from '../errors.ts';
import type { System } from '../system.ts';
import type { Device } from './device.ts';
import { DEVICES_MAX, enumerate } from './enumerate.ts';
import { openDevice } from './sysfs-device.ts';

/** Devices that have a subsystem, in udev's order. Throws as `enumerate` does. */
export async function listDevices(system: System): Promise<readonly Device[]> {
  const found = await enumerate(system);
  return sortDevices(found.filter(({ subsystem }) => subsystem !== undefined).flatMap(({ devpath }) => openDevice(system, devpath) ?? []));
}

/** `/sys/module/*`, `/sys/bus/*` and the drivers of each, in no order. */
export function listSubsystems(system: System): readonly Device[] {
  const { sys } = system.roots;
  const buses = names(join(sys, 'bus'));
  const devpaths = [
    ...names(join(sys, 'module')).map((name) => `/module/${name}`),
    ...buses.map((bus) => `/bus/${bus}`),
    ...buses.flatMap((bus) => {
      const drivers = names(join(sys, 'bus', bus, 'drivers')).map((driver) => `/bus/${bus}/drivers/${driver}`);
      // udev comes to the directory as the one above a driver.
      return drivers.length === 0 ? [] : [`/bus/${bus}/drivers`, ...drivers];
    }),
  ];
  if (devpaths.length > DEVICES_MAX) throw new LimitError({ file: sys, limit: 'DEVICES_MAX', maximum: DEVICES_MAX });
  return devpaths.flatMap((devpath) => openDevice(system, devpath) ?? []);
}

/** By devpath, byte by byte; arrays and mapped devices last, because they are made of others. */
export function sortDevices(devices: readonly Device[]): readonly Device[] {
  const isLate = ({ devpath }: Device): boolean => /\/block\/(?:md|dm-)/.test(devpath);
  return devices.toSorted((a, b) => Number(isLate(a)) - Number(isLate(b)) || (a.devpath < b.devpath ? -1 : Number(a.devpath > b.devpath)));
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}
