// The buses of path_id whose parts of the path are more than a name: USB, NVMe, and some old or rare ones.

import type { Device } from '../device.ts';
import { namedDevice, topOf } from './ancestors.ts';
import type { BuiltinContext } from './builtin.ts';
import type { DevicePath } from './path-id-path.ts';

/** `1-2.3:1.0`, port numbers from the root hub on, of a device or one of its interfaces. */
export function usb(device: Device, path: DevicePath): Device | undefined {
  if (device.devtype !== 'usb_interface' && device.devtype !== 'usb_device') return device;
  const dash = device.sysname.indexOf('-');
  if (dash < 0) return device;
  const ports = device.sysname.slice(dash + 1);
  const rootHub = topOf(device, 'usb');
  const revision = usbRevision(rootHub);
  path.hasTransport = true;
  path.add(`usb-0:${ports}`, revision === undefined ? {} : { withUsbRevision: `usbv${revision}-0:${ports}` });
  return rootHub;
}

/** A controller has a root hub for each revision, with ports of the same numbers. */
function usbRevision(hub: Device): number | undefined {
  // bDeviceProtocol of hubs, linux/usb/ch11.h: 0 full or high speed, 1 and 2 high speed with one or more translators, 3 SuperSpeed.
  const protocol = hub.attribute('bDeviceProtocol');
  if (protocol === undefined || !/^[0-9a-f]{1,2}$/i.test(protocol)) return undefined;
  switch (parseInt(protocol, 16)) {
    case 0: {
      const speed = hub.attribute('speed');
      return speed === undefined ? undefined : speed === '480' ? 2 : 1;
    }
    case 1:
    case 2: return 2;
    case 3: return 3;
    default: return undefined;
  }
}

/** A namespace is known by its number; with multipath it hangs below a subsystem, and the controller of its name is elsewhere. */
export function nvme(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  const nsid = context.device.attribute('nsid');
  if (nsid === undefined) return device;
  const controller = device.subsystem === 'nvme' ? topOf(device, 'nvme') : controllerOf(context);
  if (!controller) return undefined;
  path.add(`nvme-${nsid}`);
  path.hasRoot = true;
  path.hasTransport = true;
  return controller;
}

function controllerOf(context: BuiltinContext): Device | undefined {
  const name = /^nvme\d+/.exec(context.device.sysname)?.[0];
  return name === undefined ? undefined : namedDevice(context, 'nvme', name);
}

/** udev looks for the letter of the mode where the kernel has the number (`nst0l`), so that all modes of a drive have one path. */
export function tapeMode(device: Device, path: DevicePath): Device | undefined {
  const name = /^n?st(?:[lma]|$)/.exec(device.sysname)?.[0];
  if (name !== undefined) path.add(name);
  return device;
}

/** `c0d1`, `c0d1p1`: controller, disk. */
export function cciss(device: Device, path: DevicePath): Device | undefined {
  const disk = /^c\d+d(\d+)/.exec(device.sysname)?.[1];
  if (disk === undefined) return undefined;
  path.add(`cciss-disk${Number(disk)}`);
  path.hasTransport = true;
  return topOf(device, 'cciss');
}

/** `bcma0:3`: bus, core. */
export function bcma(device: Device, path: DevicePath): Device | undefined {
  const core = /^bcma\d+:(\d+)/.exec(device.sysname)?.[1];
  if (core === undefined) return undefined;
  path.add(`bcma-${Number(core)}`);
  path.hasTransport = true;
  return device;
}

/** Cryptographic cards of s390: by type and functions, so that any of a kind will do; else by name. */
export function ap(device: Device, path: DevicePath): Device | undefined {
  const type = device.attribute('type');
  const functions = device.attribute('ap_functions');
  path.add(type === undefined || functions === undefined ? `ap-${device.sysname}` : `ap-${type}-${functions}`);
  path.hasRoot = true;
  path.hasTransport = true;
  return topOf(device, 'ap');
}
