// All devices of a machine, and its subsystems, drivers and modules, as udevadm enumerates them.

import { readdirSync } from 'node:fs';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import type { Device } from './device.ts';
import { checkDeviceCount, enumerate } from './enumerate.ts';
import { openDevice } from './sysfs-device.ts';
import { triggerOrder } from './trigger.ts';

/** Devices that have a subsystem, in udev's order. Throws as `enumerate` does. */
export async function listDevices(system: System): Promise<readonly Device[]> {
  const devices = (await enumerate(system)).flatMap(({ devpath, subsystem, properties }) => (
    subsystem === undefined ? [] : openDevice(system, devpath, new Map([...properties, ['SUBSYSTEM', subsystem]])) ?? []
  ));
  return triggerOrder(devices);
}

/** `/sys/module/*`, `/sys/bus/*` and the drivers of each with their directory, each of the three by name. Throws LimitError. */
export function listSubsystems(system: System): readonly Device[] {
  const buses = directoriesIn(system, '/bus');
  const devpaths = [
    ...directoriesIn(system, '/module').map((name) => `/module/${name}`),
    ...buses.map((bus) => `/bus/${bus}`),
    ...buses.flatMap((bus) => {
      const drivers = directoriesIn(system, `/bus/${bus}/drivers`).map((driver) => `/bus/${bus}/drivers/${driver}`);
      // udev comes to the directory as the one above a driver.
      return drivers.length === 0 ? [] : [`/bus/${bus}/drivers`, ...drivers];
    }),
  ];
  checkDeviceCount(system, devpaths.length);
  return devpaths.flatMap((devpath) => openDevice(system, devpath) ?? []);
}

/** By name. Not links: those lead to devices that have a place of their own. What vanished holds none. */
export function directoriesIn(system: System, devpath: string): readonly string[] {
  try {
    return readdirSync(system.roots.sys + devpath, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name).sort();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}
