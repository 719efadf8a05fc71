// All that a coldplug has an event for: the devices, and the subsystems, drivers and modules, in the order of udevadm trigger.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { enumerate } from './enumerate.ts';
import type { UeventProperties } from './uevent.ts';

export type Scanned = {
  readonly devpath: string;
  readonly subsystem: string;
  /** Of the `uevent` file; empty for what is no device. */
  readonly properties: UeventProperties;
};

/**
 * Devices that have a subsystem. Others have no rules, no database and no events. With `first`, the devices of these subsystems and
 * their parents come before all others; disks that are made of disks come last. Throws as `enumerate` does.
 */
export async function scanDevices(
  system: System, options: { readonly first?: readonly string[]; readonly signal?: AbortSignal } = {},
): Promise<readonly Scanned[]> {
  const { first = [], signal } = options;
  const devices: Scanned[] = [];
  for (const { devpath, subsystem, properties } of await enumerate(system, signal ? { signal } : {})) {
    if (subsystem !== undefined) devices.push({ devpath, subsystem, properties });
  }
  return inTriggerOrder(devices, first);
}

/** Modules, buses and drivers: what has a `uevent` file and is no device. */
export function scanSubsystems(system: System): readonly Scanned[] {
  const scanned: Scanned[] = [];
  const add = (directory: string, subsystem: string): void => {
    for (const name of namesIn(system, directory)) {
      const devpath = `${directory}/${name}`;
      // These files can be written only.
      if (existsSync(join(system.roots.sys, devpath, 'uevent'))) scanned.push({ devpath, subsystem, properties: NOTHING });
    }
  };
  add('/module', 'module');
  add('/bus', 'subsystem');
  for (const bus of namesIn(system, '/bus')) add(`/bus/${bus}/drivers`, 'drivers');
  return scanned;
}

const NOTHING: UeventProperties = new Map();

function inTriggerOrder(devices: readonly Scanned[], first: readonly string[]): readonly Scanned[] {
  const early = new Set<string>();
  for (const subsystem of first) {
    for (const device of devices) {
      if (device.subsystem !== subsystem) continue;
      for (let path = device.devpath; path !== ''; path = path.slice(0, path.lastIndexOf('/'))) early.add(path);
    }
  }
  const rank = ({ devpath }: Scanned): number => (isMadeOfDisks(devpath) ? 2 : early.has(devpath) ? 0 : 1);
  // The walk has parents before children, and sort() is stable.
  return [...devices].sort((a, b) => rank(a) - rank(b));
}

/** A RAID or device mapper's disk needs the others first. */
function isMadeOfDisks(devpath: string): boolean {
  return /\/block\/(?:md|dm-)/.test(devpath);
}

function namesIn(system: System, directory: string): readonly string[] {
  try {
    return readdirSync(system.roots.sys + directory).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
