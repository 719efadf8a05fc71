// A sysfs from the text of umockdev-record: P: devpath, E: property, A: attribute, H: attribute in hex, L: link.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** Subsystems below /sys/bus; all others are classes. */
const BUSES = new Set([
  'acpi', 'amba', 'ap', 'bcma', 'ccw', 'ccwgroup', 'hid', 'iucv', 'nvme-fabrics', 'pci', 'platform', 'pnp', 'scm', 'scsi', 'serial-base', 'serio', 'spi',
  'usb', 'usb-serial', 'virtio', 'vmbus', 'xen', 'mmc', 'sdio', 'i2c', 'hdaudio', 'cpu', 'memory', 'node', 'workqueue', 'container', 'clocksource',
  'clockevents', 'event_source', 'machinecheck', 'nd', 'cciss', 'serial', 'netdevsim', 'visorbus', 'macio', 'pseudo', 'tifm', 'thunderbolt', 'gpio',
]);

/** Writes a tree into the empty directory `sys`. Returns the devpaths in the order of the text. */
export function writeSysfs(sys: string, text: string): readonly string[] {
  const devpaths: string[] = [];
  for (const paragraph of text.split(/\n\s*\n/)) {
    const lines = paragraph.split('\n').map((line) => line.trimStart()).filter((line) => /^[PNSEAHL]: /.test(line));
    const of = (letter: string) => lines.filter((line) => line.startsWith(`${letter}: `)).map((line) => line.slice(3));
    const devpath = of('P')[0];
    if (devpath === undefined) continue;
    devpaths.push(devpath);
    writeDevice(sys, devpath, { properties: of('E'), attributes: of('A'), hex: of('H'), links: of('L') });
  }
  return devpaths;
}

type Lines = Readonly<Record<'properties' | 'attributes' | 'hex' | 'links', readonly string[]>>;

function writeDevice(sys: string, devpath: string, { properties, attributes, hex, links }: Lines): void {
  const directory = join(sys, devpath);
  mkdirSync(directory, { recursive: true });
  const put = (name: string, content: string | Uint8Array) => {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  };
  put('uevent', properties.filter((line) => !line.startsWith('SUBSYSTEM=')).map((line) => `${line}\n`).join(''));
  for (const [name, value] of attributes.map(split)) put(name, `${value.replaceAll(String.raw`\n`, '\n')}\n`);
  for (const [name, value] of hex.map(split)) put(name, Buffer.from(value, 'hex'));
  for (const [name, target] of links.map(split)) symlinkSync(target, join(directory, name));
  const subsystem = properties.map(split).find(([key]) => key === 'SUBSYSTEM')?.[1];
  if (subsystem === undefined) return;
  const isBus = BUSES.has(subsystem);
  const home = join(sys, isBus ? `bus/${subsystem}` : `class/${subsystem}`);
  const list = isBus ? join(home, 'devices') : home;
  mkdirSync(list, { recursive: true });
  symlinkSync(relative(directory, home), join(directory, 'subsystem'));
  symlinkSync(relative(list, directory), join(list, devpath.slice(devpath.lastIndexOf('/') + 1)));
}

function split(line: string): readonly [string, string] {
  const equals = line.indexOf('=');
  return [line.slice(0, equals), line.slice(equals + 1)];
}
