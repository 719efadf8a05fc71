// A directory that looks like /sys, written from captured devices.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';

import { codeOf } from '../errors.ts';
import type { CapturedDevice } from './umockdev.ts';

/** Subsystems below /sys/bus; all others are classes. */
const BUSES: ReadonlySet<string> = new Set([
  'acpi', 'amba', 'ap', 'bcma', 'ccw', 'ccwgroup', 'clockevents', 'clocksource', 'container', 'cpu', 'event_source', 'gpio', 'hdaudio', 'hid', 'i2c', 'iucv',
  'machinecheck', 'macio', 'memory', 'memstick', 'mmc', 'nd', 'netdevsim', 'node', 'nvme-fabrics', 'pci', 'platform', 'pnp', 'pseudo', 'scm', 'scsi', 'sdio', 'serial',
  'serial-base', 'serio', 'spi', 'thunderbolt', 'tifm', 'usb', 'usb-serial', 'virtio', 'visorbus', 'vmbus', 'workqueue', 'xen',
]);

/** Writes into the directory `sys`; nothing gets outside of it. Throws as the file system does. */
export function writeMockSysfs(sys: string, devices: readonly CapturedDevice[]): void {
  for (const device of devices) writeFiles(sys, device);
  // Links come last: nothing is written through one.
  for (const device of devices) writeLinks(sys, device);
}

function writeFiles(sys: string, { devpath, properties, attributes }: CapturedDevice): void {
  const directory = sys + devpath;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'uevent'), [...properties].map(([key, value]) => `${key}=${value}\n`).join(''));
  for (const [name, value] of attributes) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), typeof value === 'string' && !value.endsWith('\n') ? `${value}\n` : value);
  }
}

function writeLinks(sys: string, { devpath, subsystem, links }: CapturedDevice): void {
  const directory = sys + devpath;
  for (const [name, target] of links) {
    const to = resolve(directory, target);
    link(to.startsWith(`${sys}/`) && !target.startsWith('/') ? target : basename(target), join(directory, name));
  }
  if (subsystem === undefined || subsystem.includes('/') || subsystem.startsWith('.')) return;
  const isBus = BUSES.has(subsystem);
  const home = join(sys, isBus ? 'bus' : 'class', subsystem);
  const list = isBus ? join(home, 'devices') : home;
  mkdirSync(list, { recursive: true });
  link(relative(directory, home), join(directory, 'subsystem'));
  link(relative(list, directory), join(list, basename(devpath)));
}

/** Two devices of a class may have one name; the first one is found by it. */
function link(target: string, path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
