// What there is to be triggered: the devices of a machine, its subsystems, drivers and modules, and all that is below one of them.

import type { System } from '../system.ts';
import { isInitialised, recordOf } from './database.ts';
import { deviceId } from './device.ts';
import type { Device } from './device.ts';
import { checkDeviceCount, SYSFS_DEPTH_MAX } from './enumerate.ts';
import { EMPTY_RECORD } from './record-file.ts';
import type { DeviceRecord } from './record.ts';
import { fullProperties, kernelProperties } from './rules/event-state.ts';
import { deviceExists, openDevice } from './sysfs-device.ts';
import { directoriesIn, listDevices, listSubsystems } from './sysfs-devices.ts';
import type { TriggerCandidate } from './trigger.ts';

export type TriggerType = 'devices' | 'subsystems' | 'all';

/** In no order, each once. With `parents` (devpaths) and devices among what is asked for, all below them and themselves. Throws as `enumerate` does. */
export async function triggerDevices(system: System, type: TriggerType, parents: readonly string[]): Promise<readonly Device[]> {
  // udev looks below the parents, where it finds more than devices: the directories of drivers.
  if (type !== 'subsystems' && parents.length > 0) return below(system, parents);
  const devices = type === 'subsystems' ? [] : await listDevices(system);
  return type === 'devices' ? devices : [...devices, ...listSubsystems(system)];
}

/** A device with what the database knows of it, which is read when it is asked for. */
export function triggerCandidate(system: System, device: Device): TriggerCandidate {
  const id = deviceId(device);
  let known: DeviceRecord | undefined;
  const record = (): DeviceRecord => (known ??= recordOf(system, device) ?? EMPTY_RECORD);
  return {
    devpath: device.devpath,
    sysname: device.sysname,
    subsystem: device.subsystem,
    attribute: (name) => device.attribute(name),
    properties: () => knownProperties(system, device, record()),
    tags: () => record().tags,
    isInitialised: () => id !== undefined && isInitialised(system, id),
  };
}

/** All that is known of a device without an event: what the kernel says, and what the database has. */
export function knownProperties(system: System, device: Device, record: DeviceRecord): ReadonlyMap<string, string> {
  const { dev } = system.roots;
  const properties = kernelProperties(device, dev);
  if (record.initialisedUsec > 0) properties.set('USEC_INITIALIZED', String(record.initialisedUsec));
  for (const [key, value] of record.properties) properties.set(key, value);
  return fullProperties({ properties, tags: record.tags, currentTags: record.currentTags, links: record.links }, dev);
}

function below(system: System, parents: readonly string[]): readonly Device[] {
  const found = new Map<string, Device>();
  const stack = parents.map((devpath) => ({ devpath, depth: 0 }));
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { devpath, depth } = top;
    if (found.has(devpath)) continue;
    const device = deviceExists(system, devpath) ? openDevice(system, devpath) : undefined;
    if (device) found.set(devpath, device);
    checkDeviceCount(system, found.size);
    if (depth >= SYSFS_DEPTH_MAX) continue;
    for (const name of directoriesIn(system, devpath)) stack.push({ devpath: `${devpath}/${name}`, depth: depth + 1 });
  }
  return [...found.values()];
}
