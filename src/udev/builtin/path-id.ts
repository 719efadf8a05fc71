// The builtin path_id: a name for where a device is plugged in, from the buses between it and the root.

import type { Device } from '../device.ts';
import { topOf } from './ancestors.ts';
import type { Builtin, BuiltinContext, BuiltinOutcome } from './builtin.ts';
import { ap, bcma, cciss, nvme, tapeMode, usb } from './path-id-bus.ts';
import { DevicePath } from './path-id-path.ts';
import { scsi } from './path-id-scsi.ts';

export const pathId: Builtin = {
  name: 'path_id',
  help: 'Compose persistent device path',
  runOnce: true,
  run: (context) => runPathId(context),
};

/** A bus: adds what it knows to the path, and returns the device above which the walk goes on; undefined ends the walk. */
export type BusStep = (device: Device, path: DevicePath, context: BuiltinContext) => Device | undefined;

const BUSES: Readonly<Record<string, BusStep>> = {
  scsi,
  scsi_tape: tapeMode,
  usb,
  cciss,
  bcma,
  ap,
  nvme,
  'nvme-subsystem': nvme,
  serio(device, path) {
    if (device.sysnum === undefined) return device;
    path.add(`serio-${device.sysnum}`);
    return topOf(device, 'serio');
  },
  pci: namedBus('pci', { root: true }),
  platform: namedBus('platform', { root: true, transport: true }),
  amba: namedBus('amba', { root: true, transport: true }),
  acpi: namedBus('acpi', { root: true }),
  xen: namedBus('xen', { root: true }),
  scm: namedBus('scm', { root: true, transport: true }),
  ccw: namedBus('ccw', { root: true, transport: true }),
  ccwgroup: namedBus('ccwgroup', { root: true, transport: true }),
  iucv: namedBus('iucv', { root: true, transport: true }),
  // A virtio device has no address of its own: that of the device it sits on is enough.
  virtio(device, path) {
    path.hasTransport = true;
    return topOf(device, 'virtio');
  },
  spi(device, path) {
    if (device.sysnum !== undefined) path.add(`cs-${device.sysnum}`);
    return topOf(device, 'spi');
  },
};

function runPathId(context: BuiltinContext): BuiltinOutcome {
  const { device } = context;
  const path = new DevicePath();
  for (let at: Device | undefined = device; at; at = at.parent) {
    const subsystem: string | undefined = at.subsystem;
    if (subsystem === undefined || !Object.hasOwn(BUSES, subsystem)) continue;
    at = BUSES[subsystem]?.(at, path, context);
    if (!at) break;
  }
  if (path.text === undefined || !path.hasRoot || (device.subsystem === 'block' && !path.hasTransport)) return undefined;
  const outcome = new Map<string, string>();
  if (path.withUsbRevision !== undefined) outcome.set('ID_PATH_WITH_USB_REVISION', path.withUsbRevision);
  outcome.set('ID_PATH', path.text);
  const tag = tagOf(path.text);
  if (tag !== '') outcome.set('ID_PATH_TAG', tag);
  if (path.compat !== undefined) outcome.set('ID_PATH_ATA_COMPAT', path.compat);
  return outcome;
}

/** A tag may be a file's name: anything but letters, digits and `-` becomes `_`, runs of them one, none at the ends. */
function tagOf(path: string): string {
  return path.replace(/[^0-9A-Za-z-]+/g, '_').replace(/^_|_$/g, '');
}

type BusTraits = { readonly root?: boolean; readonly transport?: boolean };

/** A bus whose devices are named by their addresses. */
function namedBus(bus: string, { root = false, transport = false }: BusTraits): BusStep {
  return (device, path) => {
    path.add(`${bus}-${device.sysname}`);
    path.hasRoot ||= root;
    path.hasTransport ||= transport;
    return topOf(device, bus);
  };
}
