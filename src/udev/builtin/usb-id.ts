// The builtin usb_id: what a USB device says of itself, and what the SCSI device behind it says where it is a disk.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../../errors.ts';
import type { Device } from '../device.ts';
import { ancestor } from './ancestors.ts';
import type { Builtin, BuiltinContext, BuiltinOutcome } from './builtin.ts';
import { encodeName, safeName, truncateBytes } from './encode-id.ts';
import { packedInterfaces } from './usb-descriptors.ts';

export const usbId: Builtin = {
  name: 'usb_id',
  help: 'USB device properties',
  runOnce: true,
  run: (context) => runUsbId(context),
};

/** Bytes of a name, its encoded form, and of a serial number, as udev has them. */
const NAME_MAX = 63;
const ENCODED_MAX = 255;
const SERIAL_MAX = 255;

const USB_CLASS_MASS_STORAGE = 8; // linux/usb/ch9.h

function runUsbId(context: BuiltinContext): BuiltinOutcome {
  const { device, system } = context;
  const usbInterface = device.devtype === 'usb_device' ? undefined : ancestor(device, 'usb', 'usb_interface');
  const usbDevice = device.devtype === 'usb_device' ? device : usbInterface && ancestor(usbInterface, 'usb', 'usb_device');
  if (!usbDevice) {
    system.log.debug({ code: 'usb-id', message: `${device.sysname}: not on USB` });
    return undefined;
  }
  let facts: Facts = {};
  if (usbInterface) {
    const interfaceClass = numberOf(usbInterface, 'bInterfaceClass');
    if (interfaceClass === undefined) return undefined;
    facts = interfaceClass === USB_CLASS_MASS_STORAGE ? storageFacts(device, usbInterface) : { type: interfaceType(interfaceClass) };
  }
  const vendorId = usbDevice.attribute('idVendor');
  const modelId = usbDevice.attribute('idProduct');
  if (vendorId === undefined || modelId === undefined) return undefined;
  const vendor = named(facts.vendor) ?? usbDevice.attribute('manufacturer') ?? vendorId;
  const model = named(facts.model) ?? usbDevice.attribute('product') ?? modelId;
  const revision = named(facts.revision) ?? usbDevice.attribute('bcdDevice') ?? '';
  const serial = serialOf(usbDevice);
  const names = { vendor: safe(vendor), model: safe(model) };
  const identity = new Map<string, string | undefined>([
    ['MODEL', names.model],
    ['MODEL_ENC', truncateBytes(encodeName(model), ENCODED_MAX)],
    ['MODEL_ID', modelId],
    ['SERIAL', `${names.vendor}_${names.model}${serial === undefined ? '' : `_${serial}`}${facts.instance === undefined ? '' : `-${facts.instance}`}`],
    ['SERIAL_SHORT', serial],
    ['VENDOR', names.vendor],
    ['VENDOR_ENC', truncateBytes(encodeName(vendor), ENCODED_MAX)],
    ['VENDOR_ID', vendorId],
    ['REVISION', safe(revision)],
    ['TYPE', facts.type],
    ['INSTANCE', facts.instance],
  ]);
  const outcome = new Map<string, string>();
  const put = (key: string, value: string | undefined) => {
    if (value !== undefined) outcome.set(key, value);
  };
  // A disk behind a bridge of another bus has said who it is: only the names that are USB's own are added.
  if (!context.properties.has('ID_BUS')) {
    put('ID_BUS', 'usb');
    for (const [key, value] of identity) put(`ID_${key}`, value);
  }
  for (const [key, value] of identity) put(`ID_USB_${key}`, value);
  put('ID_USB_INTERFACES', interfacesOf(context, usbDevice));
  put('ID_USB_INTERFACE_NUM', usbInterface?.attribute('bInterfaceNumber'));
  put('ID_USB_DRIVER', usbInterface?.driver);
  return outcome;
}

/** What is known before the device itself is asked. */
type Facts = {
  readonly vendor?: string;
  readonly model?: string;
  readonly revision?: string | undefined;
  readonly type?: string;
  /** `TARGET:LUN`, of a device with more than one disk. */
  readonly instance?: string;
};

/** USB mass storage: bInterfaceSubClass says which command set; behind two of them is a SCSI device, which knows itself better than its bridge. */
function storageFacts(device: Device, usbInterface: Device): Facts {
  const attribute = usbInterface.attribute('bInterfaceSubClass');
  if (attribute === undefined) return {};
  const subclass = /^[0-9a-f]{1,2}$/i.test(attribute) ? parseInt(attribute, 16) : 0;
  const type = storageType(subclass);
  if (subclass !== 2 && subclass !== 6) return { type };
  const scsi = ancestor(device, 'scsi', 'scsi_device');
  const address = /^(\d{1,9}):(\d{1,9}):(\d{1,9}):(\d{1,9})/.exec(scsi?.sysname ?? '');
  const vendor = scsi?.attribute('vendor');
  const model = scsi?.attribute('model');
  const kind = scsi?.attribute('type');
  const revision = scsi?.attribute('rev');
  if (!address) return { type };
  // Each is asked only when the one before was there; the number of the disk only when all were.
  if (vendor === undefined) return { type };
  if (model === undefined) return { type, vendor };
  if (kind === undefined) return { type, vendor, model };
  if (revision === undefined) return { type: scsiType(kind), vendor, model };
  return { vendor, model, type: scsiType(kind), revision, instance: `${Number(address[3])}:${Number(address[4])}` };
}

function interfaceType(interfaceClass: number): string {
  switch (interfaceClass) {
    case 1: return 'audio';
    case 3: return 'hid';
    case 6: return 'media';
    case 7: return 'printer';
    case 8: return 'storage';
    case 9: return 'hub';
    case 14: return 'video';
    default: return 'generic';
  }
}

function storageType(subclass: number): string {
  switch (subclass) {
    case 1: return 'rbc';
    case 2: return 'atapi';
    case 3: return 'tape';
    case 4: return 'floppy';
    case 6: return 'scsi';
    default: return 'generic';
  }
}

/** scsi/scsi_proto.h: TYPE_DISK and the others. */
function scsiType(type: string): string {
  switch (type === '' ? undefined : Number(type)) {
    case 0:
    case 14: return 'disk';
    case 1: return 'tape';
    case 4:
    case 7:
    case 15: return 'optical';
    case 5: return 'cd';
    default: return 'generic';
  }
}

/** Undefined where there is none, or one that is not plain text. */
function serialOf(usbDevice: Device): string | undefined {
  const serial = usbDevice.attribute('serial');
  if (serial === undefined || /[^\x20-\x7f]|,/.test(serial)) return undefined;
  return truncateBytes(safeName(serial), SERIAL_MAX) || undefined;
}

/** Blanks are no name. */
function named(text: string | undefined): string | undefined {
  return text === undefined || safe(text) === '' ? undefined : text;
}

function safe(text: string): string {
  return truncateBytes(safeName(text), NAME_MAX);
}

/** A hexadecimal attribute. */
function numberOf(device: Device, name: string): number | undefined {
  const text = device.attribute(name);
  return text !== undefined && /^[0-9a-f]{1,2}$/i.test(text) ? parseInt(text, 16) : undefined;
}

function interfacesOf({ system }: BuiltinContext, usbDevice: Device): string | undefined {
  const path = join(usbDevice.syspath, 'descriptors');
  try {
    return packedInterfaces(readFileSync(path));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'usb-id', message: `${path}: ${messageOf(error)}` });
    return undefined;
  }
}
