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

export type MockSysfsOptions = {
  /** Known ones beside our own list. */
  readonly buses?: ReadonlySet<string>;
  /** No more than a walk for modaliases looks at: the `uevent` file and the subsystem. */
  readonly ueventsOnly?: boolean;
};

/** Writes into the directory `sys`; nothing gets outside of it. Throws as the file system does. */
export function writeMockSysfs(sys: string, devices: readonly CapturedDevice[], { buses = new Set(), ueventsOnly = false }: MockSysfsOptions = {}): void {
  const made = new Set<string>();
  /** An error for what is there costs more than all the rest. */
  const make = (directory: string): void => {
    if (made.has(directory)) return;
    mkdirSync(directory, { recursive: true });
    made.add(directory);
  };
  const link = (target: string, path: string): void => {
    make(dirname(path));
    symlink(target, path);
  };
  for (const device of devices) {
    const directory = sys + device.devpath;
    make(directory);
    writeFileSync(join(directory, 'uevent'), [...device.properties].map(([key, value]) => `${key}=${value}\n`).join(''));
    if (!ueventsOnly) writeAttributes(directory, device, make);
  }
  // Links come last: nothing is written through one.
  for (const { devpath, subsystem, properties, links } of devices) {
    const directory = sys + devpath;
    for (const [name, target] of ueventsOnly ? [] : links) {
      const to = resolve(dirname(join(directory, name)), target);
      link(to.startsWith(`${sys}/`) && !target.startsWith('/') ? target : basename(target), join(directory, name));
    }
    if (subsystem === undefined || subsystem.includes('/') || subsystem.startsWith('.')) continue;
    const isBus = BUSES.has(subsystem) || buses.has(subsystem);
    const home = join(sys, isBus ? 'bus' : 'class', subsystem);
    link(relative(directory, home), join(directory, 'subsystem'));
    if (ueventsOnly) continue;
    const list = isBus ? join(home, 'devices') : home;
    link(relative(list, directory), join(list, basename(devpath)));
    const number = `${properties.get('MAJOR')}:${properties.get('MINOR')}`;
    if (!/^[0-9]{1,10}:[0-9]{1,10}$/.test(number)) continue;
    const numbers = join(sys, 'dev', subsystem === 'block' ? 'block' : 'char');
    link(relative(numbers, directory), join(numbers, number));
  }
}

function writeAttributes(directory: string, { attributes }: CapturedDevice, make: (directory: string) => void): void {
  for (const [name, value] of attributes) {
    const path = join(directory, name);
    make(dirname(path));
    writeFileSync(path, typeof value === 'string' && !value.endsWith('\n') ? `${value}\n` : value);
  }
}

/** Two devices of a class may have one name; the first one is found by it. */
function symlink(target: string, path: string): void {
  try {
    symlinkSync(target, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
