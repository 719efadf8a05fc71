// What there is to be triggered: the devices of a machine, its subsystems, drivers and modules, and all that is below one of them.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, LimitError } from '../errors.ts';
import type { System } from '../system.ts';
import { isInitialised, readRecord } from './database.ts';
import { deviceId } from './device.ts';
import type { Device } from './device.ts';
import { DEVICES_MAX, enumerate, SYSFS_DEPTH_MAX } from './enumerate.ts';
import { EMPTY_RECORD } from './record-file.ts';
import type { DeviceRecord } from './record.ts';
import { fullProperties, kernelProperties } from './rules/event-state.ts';
import { deviceExists, openDevice } from './sysfs-device.ts';
import type { TriggerCandidate } from './trigger.ts';

export type TriggerType = 'devices' | 'subsystems' | 'all';

/** In no order, each once. With `parents` (devpaths) and devices among what is asked for, all below them and themselves. Throws as `enumerate` does. */
export async function triggerDevices(system: System, type: TriggerType, parents: readonly string[]): Promise<readonly Device[]> {
  // udev looks below the parents, where it finds more than devices: the directories of drivers.
  if (type !== 'subsystems' && parents.length > 0) return below(system, parents);
  const devices = type === 'subsystems' ? [] : await allDevices(system);
  return type === 'devices' ? devices : [...devices, ...allSubsystems(system)];
}

/** A device with what the database knows of it, which is read when it is asked for. */
export function triggerCandidate(system: System, device: Device): TriggerCandidate {
  const id = deviceId(device);
  let known: DeviceRecord | undefined;
  const record = (): DeviceRecord => (known ??= (id === undefined ? undefined : readRecord(system, id)) ?? EMPTY_RECORD);
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

async function allDevices(system: System): Promise<readonly Device[]> {
  const devices = (await enumerate(system)).filter(({ subsystem }) => subsystem !== undefined);
  return devices.flatMap(({ devpath, subsystem = '', driver, properties }) => (
    openDevice(system, devpath, new Map([...properties, ['SUBSYSTEM', subsystem], ...(driver === undefined ? [] : [['DRIVER', driver] as const])])) ?? []
  ));
}

/** Modules, buses and drivers. */
function allSubsystems(system: System): readonly Device[] {
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
  if (devpaths.length > DEVICES_MAX) throw tooMany(system);
  return devpaths.flatMap((devpath) => openDevice(system, devpath) ?? []);
}

function below(system: System, parents: readonly string[]): readonly Device[] {
  const found = new Map<string, Device>();
  const stack = parents.map((devpath) => ({ devpath, depth: 0 }));
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { devpath, depth } = top;
    if (found.has(devpath)) continue;
    const device = deviceExists(system, devpath) ? openDevice(system, devpath) : undefined;
    if (device) found.set(devpath, device);
    if (found.size > DEVICES_MAX) throw tooMany(system);
    if (depth >= SYSFS_DEPTH_MAX) continue;
    for (const name of directoriesIn(system, devpath)) stack.push({ devpath: `${devpath}/${name}`, depth: depth + 1 });
  }
  return [...found.values()];
}

/** Not links: those lead to devices that have a place of their own. What vanished holds none. */
function directoriesIn(system: System, devpath: string): readonly string[] {
  try {
    return readdirSync(system.roots.sys + devpath, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}

function tooMany(system: System): LimitError {
  return new LimitError({ file: join(system.roots.sys, 'devices'), limit: 'DEVICES_MAX', maximum: DEVICES_MAX });
}
