// A device as a person names it to udevadm: a path below /sys, a node below /dev, or less where the option says which is meant.

import { join } from 'node:path';

import { deviceByNode, deviceBySyspath } from '../udev/device-lookup.ts';
import type { Device } from '../udev/device.ts';
import { pathOfDeviceUnit } from '../udev/unit-name.ts';
import type { System } from '../system.ts';

/** What a name without its directory is below. */
export type DevicePrefix = 'dev' | 'sys';

/** Undefined where there is no such device. */
export function deviceOfArgument(system: System, text: string, prefix?: DevicePrefix): Device | undefined {
  const { dev, sys } = system.roots;
  if (text === '') return undefined;
  if (text.startsWith(`${dev}/`)) return deviceByNode(system, text);
  if (text.startsWith(`${sys}/`)) return bySyspath(system, text);
  // As udevadm where no systemd runs: with one it asks for the path, which is the same.
  if (prefix === undefined) return deviceOfUnit(system, text);
  return prefix === 'dev' ? deviceByNode(system, `${dev}/${text}`) : bySyspath(system, `${sys}/${text}`);
}

/** The device of `dev-sda.device`. */
export function deviceOfUnit(system: System, name: string): Device | undefined {
  const { dev, sys } = system.roots;
  const [, top, ...below] = pathOfDeviceUnit(name)?.split('/') ?? [];
  if (below.length === 0) return undefined;
  if (top === 'dev') return deviceByNode(system, join(dev, ...below));
  return top === 'sys' ? bySyspath(system, join(sys, ...below)) : undefined;
}

/** Why udevadm says that it is none: what has no slash and is no unit of systemd cannot be a device at all. */
export function deviceArgumentFault(text: string): string {
  return text.includes('/') || pathOfDeviceUnit(text) !== undefined ? 'No such device' : 'Invalid argument';
}

/** The directory of all devices is none, as what is below it without a `uevent` file. */
function bySyspath(system: System, path: string): Device | undefined {
  const device = deviceBySyspath(system, path);
  return device?.devpath === '/devices' ? undefined : device;
}
