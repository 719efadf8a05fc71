// Where a device stands: its ancestors by subsystem and type, and devices that are named rather than above it.

import type { Device } from '../device.ts';
import type { BuiltinContext } from './builtin.ts';

/** The nearest device above, itself not counted, of this subsystem and, where one is given, this DEVTYPE. */
export function ancestor(device: Device, subsystem: string, devtype?: string): Device | undefined {
  for (let up = device.parent; up; up = up.parent) {
    if (up.subsystem === subsystem && (devtype === undefined || up.devtype === devtype)) return up;
  }
  return undefined;
}

/** The last of the devices upwards, beginning with `device`, that are without a gap of these subsystems. */
export function topOf(device: Device, ...subsystems: readonly string[]): Device {
  let top = device;
  for (let up: Device | undefined = device; up && isOf(up, subsystems); up = up.parent) top = up;
  return top;
}

/** A device by its subsystem and name: what the kernel keeps about a device beside it, and not above. */
export function namedDevice({ findDevice }: BuiltinContext, subsystem: string, sysname: string): Device | undefined {
  return findDevice?.(`+${subsystem}:${sysname}`);
}

function isOf(device: Device, subsystems: readonly string[]): boolean {
  return device.subsystem !== undefined && subsystems.includes(device.subsystem);
}
