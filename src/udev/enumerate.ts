// The devices of a machine: a walk of /sys/devices that reads the `uevent` file of each.

import { closeSync, constants, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { codeOf, FormatError, LimitError, messageOf } from '../errors.ts';
import { systemError } from '../system.ts';
import type { System } from '../system.ts';
import { parseUeventFile, UEVENT_FILE_MAX } from './uevent.ts';
import type { UeventProperties } from './uevent.ts';

/** Below /sys/devices. Real trees reach about 25 (a USB disk behind hubs and bridges). */
export const SYSFS_DEPTH_MAX = 64;
/** Machines with terabytes of memory have tens of thousands of memory devices. */
export const DEVICES_MAX = 1 << 18;
/** How long the walk holds the event loop at a time, in milliseconds. */
const SLICE_MS = 8;

export type SysDevice = {
  /** Below /sys, starting with a slash: `/devices/…`. */
  readonly devpath: string;
  readonly subsystem: string | undefined;
  /** The driver that is bound. */
  readonly driver: string | undefined;
  readonly modalias: string | undefined;
  /** All of the `uevent` file. */
  readonly properties: UeventProperties;
};

/**
 * All devices below `system.roots.sys`, parents before children, siblings by name. Devices that vanish meanwhile are left
 * out. Throws SystemError when there is no /sys/devices to read, LimitError, or the reason of `signal`.
 *
 * File calls are synchronous (a device costs 10 µs, on threads it would be 200), in slices that let events in between.
 */
export async function enumerate(system: System, options: { readonly signal?: AbortSignal } = {}): Promise<readonly SysDevice[]> {
  const devices: SysDevice[] = [];
  const buffer = Buffer.allocUnsafe(UEVENT_FILE_MAX + 1);
  // A stack of our own, last in first out: no recursion to overflow, and a place to stop between two directories.
  const stack = [{ devpath: '/devices', depth: 0 }];
  let sliceEnd = system.clock.now() + SLICE_MS;
  for (let top = stack.pop(); top; top = stack.pop()) {
    options.signal?.throwIfAborted();
    const directory = readDirectory(system, top.devpath);
    if (directory.isDevice) {
      const device = readDevice(system, top.devpath, directory.hasSubsystem, buffer);
      if (device) devices.push(device);
      checkDeviceCount(system, devices.length);
    }
    if (top.depth >= SYSFS_DEPTH_MAX && directory.children.length > 0) {
      system.log.warn({ code: 'sysfs-depth', message: `${system.roots.sys}${top.devpath}: deeper than ${SYSFS_DEPTH_MAX} levels, not entered` });
      continue;
    }
    for (const name of directory.children.toReversed()) stack.push({ devpath: `${top.devpath}/${name}`, depth: top.depth + 1 });
    if (system.clock.now() >= sliceEnd) {
      await nextTurn();
      sliceEnd = system.clock.now() + SLICE_MS;
    }
  }
  return devices;
}

/** Throws LimitError for more devices than DEVICES_MAX. */
export function checkDeviceCount(system: System, count: number): void {
  if (count > DEVICES_MAX) throw new LimitError({ file: join(system.roots.sys, 'devices'), limit: 'DEVICES_MAX', maximum: DEVICES_MAX });
}

type Directory = { readonly children: readonly string[]; readonly isDevice: boolean; readonly hasSubsystem: boolean };

/** Real directories only: the symbolic links of sysfs lead to devices that have a place of their own. */
function readDirectory(system: System, devpath: string): Directory {
  const path = system.roots.sys + devpath;
  const children: string[] = [];
  let isDevice = false;
  let hasSubsystem = false;
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) children.push(entry.name);
      else if (entry.name === 'uevent') isDevice = entry.isFile();
      else if (entry.name === 'subsystem') hasSubsystem = entry.isSymbolicLink();
    }
  } catch (error) {
    if (devpath === '/devices') throw asSystemError(error, 'scandir', path);
    skip(system, path, error);
    return { children: [], isDevice: false, hasSubsystem: false };
  }
  children.sort();
  // The power attributes of a device are nearly half of all directories. (/sys/devices/power is a device, not such a group.)
  return { children: isDevice ? children.filter((name) => name !== 'power') : children, isDevice, hasSubsystem };
}

function readDevice(system: System, devpath: string, hasSubsystem: boolean, buffer: Buffer): SysDevice | undefined {
  const path = system.roots.sys + devpath;
  try {
    // cpu devices have their MODALIAS here only, so the `modalias` files are never looked at.
    const properties = readUevent(`${path}/uevent`, buffer);
    const subsystem = hasSubsystem ? basename(readlinkSync(`${path}/subsystem`)) : undefined;
    return { devpath, subsystem, driver: valueOf(properties, 'DRIVER'), modalias: valueOf(properties, 'MODALIAS'), properties };
  } catch (error) {
    skip(system, path, error);
    return undefined;
  }
}

function readUevent(path: string, buffer: Buffer): UeventProperties {
  // O_NONBLOCK: a FIFO in a foreign tree must not stop us; it reads as empty.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    // One read gives a whole attribute (Documentation/filesystems/sysfs.rst).
    const length = readSync(fd, buffer, 0, buffer.length, null);
    return parseUeventFile(buffer.toString('utf8', 0, length), path);
  } finally {
    closeSync(fd);
  }
}

function valueOf(properties: UeventProperties, key: string): string | undefined {
  return properties.get(key) || undefined;
}

/** A device may vanish between two calls (ENOENT, ENODEV, ENXIO), or its driver refuse (EIO): the others count no less. */
function skip(system: System, path: string, error: unknown): void {
  if (codeOf(error) === undefined && !(error instanceof LimitError) && !(error instanceof FormatError)) throw error;
  system.log.debug({ code: 'device-skipped', message: `${path}: skipped: ${messageOf(error)}` });
}

function asSystemError(error: unknown, syscall: string, path: string): unknown {
  const errno = error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? -error.errno : undefined;
  return errno === undefined ? error : systemError(syscall, errno, path);
}
