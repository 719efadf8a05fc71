// The device of a target with those above it, and the driver of each: as sysfs shows them.

import { existsSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { deviceByNode, deviceBySyspath } from '../udev/device-lookup.ts';
import type { Device } from '../udev/device.ts';
import { enumerate } from '../udev/enumerate.ts';
import { openDevice } from '../udev/sysfs-device.ts';
import type { DeviceFacts } from './facts.ts';

/** `/devices/…`, a path below /sys, a node below /dev, or the name of an interface or disk. Undefined where there is no such device. */
export async function findDevice(system: System, target: string): Promise<Device | undefined> {
  const { sys, dev } = system.roots;
  // As people type them, wherever the machine's own are.
  const [, typed, below = ''] = /^\/(sys|dev|devices)\/(.*)$/s.exec(target) ?? [];
  if (typed === 'devices') return deviceBySyspath(system, sys + target);
  if (typed === 'sys' || target.startsWith(`${sys}/`)) return deviceBySyspath(system, typed === 'sys' ? `${sys}/${below}` : target);
  const node = typed === 'dev' ? below : target.startsWith(`${dev}/`) ? target.slice(dev.length + 1) : undefined;
  if (node !== undefined) return deviceByNode(system, `${dev}/${node}`) ?? byName(system, node);
  if (!/^[^/:]+$/.test(target) || target === '.' || target === '..') return undefined;
  const classes = ['net', 'block'].map((name) => `${sys}/class/${name}/${target}`);
  return classes.flatMap((path) => (existsSync(path) ? deviceBySyspath(system, path) ?? [] : []))[0];
}

/** Of a captured machine, which has no nodes. */
async function byName(system: System, name: string): Promise<Device | undefined> {
  const found = (await enumerate(system)).find(({ properties }) => properties.get('DEVNAME') === name);
  return found && openDevice(system, found.devpath);
}

export function deviceFacts(device: Device): DeviceFacts {
  const { devpath, syspath, sysname, subsystem, properties, driver } = device;
  return {
    devpath, sysname, subsystem, path: syspath, modalias: properties.get('MODALIAS') ?? (device.attribute('modalias') || undefined),
    driver: driver === undefined ? undefined : { name: driver, module: linkName(`${syspath}/driver/module`), path: `${syspath}/driver` },
  };
}

/** The target's own device, then all above it that have a modalias or a driver, the nearest first. */
export function deviceChain(device: Device): DeviceFacts[] {
  const chain = [deviceFacts(device)];
  for (let above = device.parent; above; above = above.parent) {
    const facts = deviceFacts(above);
    if (facts.modalias !== undefined || facts.driver !== undefined) chain.push(facts);
  }
  return chain;
}

function linkName(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch (error) {
    // ENOENT: a driver of the kernel itself.
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}
