// A device that is plain data: of a captured machine, or of a test.

import type { Device, DeviceNumber } from './device.ts';
import { isSafeName } from './sysfs-attribute.ts';

export type DeviceData = {
  /** Below /sys, starting with a slash. */
  readonly devpath: string;
  readonly subsystem?: string;
  readonly driver?: string;
  /** Of the `uevent` file: DEVNAME, DEVTYPE, MAJOR, MINOR, IFINDEX and MODALIAS are here. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly attributes?: Readonly<Record<string, string>>;
};

/**
 * The devices of a machine by their devpaths. Parents are found among them. `roots` are those that the machine itself would name.
 */
export function dataDevices(machine: readonly DeviceData[], roots: { readonly sys: string; readonly dev: string }): ReadonlyMap<string, Device> {
  const devices = new Map<string, Device>();
  for (const data of machine) devices.set(data.devpath, dataDevice(data, roots, devices));
  return devices;
}

function dataDevice(data: DeviceData, roots: { readonly sys: string; readonly dev: string }, devices: ReadonlyMap<string, Device>): Device {
  const { devpath, subsystem, driver } = data;
  const properties = new Map(Object.entries(data.properties ?? {}));
  const attributes = new Map(Object.entries(data.attributes ?? {}));
  const sysname = devpath.slice(devpath.lastIndexOf('/') + 1).replaceAll('!', '/');
  const devname = properties.get('DEVNAME');
  const below = devname?.startsWith(`${roots.dev}/`) ? devname.slice(roots.dev.length + 1) : devname;
  return {
    devpath, subsystem, driver, properties, sysname,
    syspath: roots.sys + devpath,
    sysnum: /^.*[^0-9]([0-9]+)$/s.exec(sysname)?.[1],
    devtype: properties.get('DEVTYPE'),
    devnum: numberOf(properties, subsystem),
    ifindex: integer(properties.get('IFINDEX')),
    devname: below !== undefined && isSafeName(below) ? below : undefined,
    get parent() {
      for (let end = devpath.lastIndexOf('/'); end > 0; end = devpath.lastIndexOf('/', end - 1)) {
        const parent = devices.get(devpath.slice(0, end));
        if (parent) return parent;
      }
      return undefined;
    },
    attribute: (name) => attributes.get(name),
    attributeNames: () => [...attributes.keys()].sort(),
  };
}

function numberOf(properties: ReadonlyMap<string, string>, subsystem: string | undefined): DeviceNumber | undefined {
  const major = integer(properties.get('MAJOR'));
  const minor = integer(properties.get('MINOR'));
  return major === undefined || minor === undefined ? undefined : { type: subsystem === 'block' ? 'block' : 'char', major, minor };
}

function integer(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}
