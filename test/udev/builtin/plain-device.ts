// A device of a fixture's /sys, read plainly: what the builtins are given in their tests.

import { lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import type { BuiltinContext } from '../../../src/udev/builtin/builtin.ts';
import type { Device } from '../../../src/udev/device.ts';
import type { System } from '../../../src/system.ts';
import { parseUeventFile } from '../../../src/udev/uevent.ts';

export function plainDevice(system: System, devpath: string): Device {
  const syspath = system.roots.sys + devpath;
  const properties = parseUeventFile(readFileSync(join(syspath, 'uevent'), 'utf8'));
  const sysname = basename(devpath).replaceAll('!', '/');
  const linkName = (name: string) => (exists(join(syspath, name)) ? basename(readlinkSync(join(syspath, name))) : undefined);
  const digits = /[0-9]+$/.exec(sysname)?.[0];
  const [major, minor] = [Number(properties.get('MAJOR')), Number(properties.get('MINOR'))];
  const subsystem = linkName('subsystem');
  return {
    devpath, syspath, sysname, subsystem, properties,
    sysnum: digits === sysname ? undefined : digits,
    devtype: properties.get('DEVTYPE'),
    driver: linkName('driver'),
    devnum: major > 0 ? { type: subsystem === 'block' ? 'block' : 'char', major, minor } : undefined,
    ifindex: properties.has('IFINDEX') ? Number(properties.get('IFINDEX')) : undefined,
    devname: properties.get('DEVNAME'),
    get parent() {
      let above = dirname(devpath);
      while (above.length > 1 && !exists(join(system.roots.sys + above, 'uevent'))) above = dirname(above);
      return above.length > 1 ? plainDevice(system, above) : undefined;
    },
    attribute: (name) => {
      const path = join(syspath, name);
      if (!exists(path) || !statSync(path).isFile()) return undefined;
      return readFileSync(path, 'utf8').replace(/\n+$/, '');
    },
    attributeNames: () => [],
  };
}

export function contextOf(system: System, devpath: string, more: Partial<BuiltinContext> = {}): BuiltinContext {
  const device = plainDevice(system, devpath);
  return { system, device, properties: device.properties, action: 'add', ...more };
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
