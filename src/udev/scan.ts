// All that a coldplug has an event for: the devices, and the subsystems, drivers and modules, in the order of udevadm trigger.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { System } from '../system.ts';
import { enumerate } from './enumerate.ts';
import { listSubsystems } from './sysfs-devices.ts';
import { triggerOrder } from './trigger.ts';
import type { UeventProperties } from './uevent.ts';

export type Scanned = {
  readonly devpath: string;
  readonly subsystem: string;
  /** Of the `uevent` file; empty for what is no device. */
  readonly properties: UeventProperties;
};

/**
 * Devices that have a subsystem. Others have no rules, no database and no events. The order is that of `triggerOrder`. Throws
 * as `enumerate` does.
 */
export async function scanDevices(
  system: System, options: { readonly first?: readonly string[]; readonly signal?: AbortSignal } = {},
): Promise<readonly Scanned[]> {
  const { first = [], signal } = options;
  const devices: Scanned[] = [];
  for (const { devpath, subsystem, properties } of await enumerate(system, signal ? { signal } : {})) {
    if (subsystem !== undefined) devices.push({ devpath, subsystem, properties });
  }
  return triggerOrder(devices, first);
}

/** Modules, buses and drivers: what has a `uevent` file and is no device. */
export function scanSubsystems(system: System): readonly Scanned[] {
  return listSubsystems(system).flatMap(({ devpath, syspath, subsystem }) => (
    // These files can be written only.
    subsystem !== undefined && existsSync(join(syspath, 'uevent')) ? [{ devpath, subsystem, properties: NOTHING }] : []
  ));
}

const NOTHING: UeventProperties = new Map();
