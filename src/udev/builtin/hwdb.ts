// The builtin hwdb: properties of the hardware database for the modalias of a device or of its parents.

import { fnmatch } from '../../kmod/alias.ts';
import type { Device } from '../device.ts';
import type { HwdbSource } from '../hwdb-source.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { parseBuiltinCommand } from './options.ts';
import type { BuiltinOptionSpec } from './options.ts';

const OPTIONS: readonly BuiltinOptionSpec[] = [
  { long: 'filter', short: 'f', argument: 'required' },
  { long: 'device', short: 'd', argument: 'required' },
  { long: 'subsystem', short: 's', argument: 'required' },
  { long: 'lookup-prefix', short: 'p', argument: 'required' },
];

/** `hwdb [--filter=PATTERN] [--device=ID] [--subsystem=NAME] [--lookup-prefix=TEXT] [MODALIAS]`. Fails when nothing is found. */
export function hwdbBuiltin(hwdb: HwdbSource): Builtin {
  return {
    name: 'hwdb',
    help: 'Hardware database',
    runOnce: false,
    run: (context, argv) => {
      const { options, operands, ignored } = parseBuiltinCommand(argv, OPTIONS);
      if (ignored.length > 0) context.system.log.debug({ code: 'builtin-options', message: `hwdb: ignoring ${ignored.join(' ')}` });
      const prefix = options.get('lookup-prefix') ?? '';
      const filter = options.get('filter');
      const lookup = (modalias: string) => filtered(hwdb.lookup(prefix + modalias), filter);

      const [modalias] = operands;
      if (modalias !== undefined) return lookup(modalias);
      const id = options.get('device');
      const device = id === undefined ? context.device : context.findDevice?.(id);
      if (!device) {
        context.system.log.debug({ code: 'hwdb-device', message: `hwdb: no device '${id}'` });
        return undefined;
      }
      return searchParents(context, device, options.get('subsystem'), lookup);
    },
  };
}

/** Of the device and its parents upwards: what the first modalias that is known has. */
function searchParents(
  context: BuiltinContext, start: Device, subsystem: string | undefined, lookup: (modalias: string) => ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, string> | undefined {
  for (let device: Device | undefined = start; device; device = device.parent) {
    if (device.subsystem === undefined || (subsystem !== undefined && device.subsystem !== subsystem)) continue;
    // The device of the event shows what its rules have set; the others what the kernel says.
    const properties = device === context.device ? context.properties : device.properties;
    const isUsbDevice = device.subsystem === 'usb' && device.devtype === 'usb_device';
    const modalias = properties.get('MODALIAS') ?? (isUsbDevice ? usbModalias(device) : undefined);
    const found = modalias === undefined ? undefined : lookup(modalias);
    if (found) return found;
    // Above a USB device are hubs, which say nothing of it.
    if (isUsbDevice) return undefined;
  }
  return undefined;
}

/** A USB device itself has no modalias, only its interfaces do. The form is udev's, for 20-usb-vendor-model.hwdb and others. */
function usbModalias(device: Device): string | undefined {
  const vendor = hexAttribute(device, 'idVendor');
  const product = hexAttribute(device, 'idProduct');
  if (vendor === undefined || product === undefined) return undefined;
  return `usb:v${vendor}p${product}:${device.attribute('product') ?? ''}`;
}

function hexAttribute(device: Device, name: string): string | undefined {
  const text = device.attribute(name);
  if (text === undefined || !/^[0-9a-fA-F]{1,4}$/.test(text)) return undefined;
  return text.toUpperCase().padStart(4, '0');
}

function filtered(found: ReadonlyMap<string, string> | undefined, filter: string | undefined): ReadonlyMap<string, string> | undefined {
  if (!found) return undefined;
  // A filter may hold no escapes (FNM_NOESCAPE); keys have no backslash, so that one in a filter just never matches.
  const wanted = filter === undefined ? found : new Map([...found].filter(([key]) => !filter.includes('\\') && fnmatch(filter, key)));
  return wanted.size > 0 ? wanted : undefined;
}
