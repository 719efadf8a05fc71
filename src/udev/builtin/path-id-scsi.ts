// The SCSI part of path_id: every transport has its own words for a target.

import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';

import { codeOf } from '../../errors.ts';
import type { Device } from '../device.ts';
import { ancestor, namedDevice, topOf } from './ancestors.ts';
import type { BuiltinContext } from './builtin.ts';
import type { DevicePath } from './path-id-path.ts';

export function scsi(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  if (device.devtype !== 'scsi_device') return device;
  // Discs on FireWire.
  const ieee1394 = device.attribute('ieee1394_id');
  if (ieee1394 !== undefined) {
    path.add(`ieee1394-0x${ieee1394}`);
    path.hasRoot = true;
    path.hasTransport = true;
    return topOf(device, 'scsi');
  }
  const { syspath } = device;
  path.hasTransport = true;
  if (syspath.includes('/rport-')) {
    path.hasRoot = true;
    return fibreChannel(device, path, context);
  }
  if (syspath.includes('/end_device-')) {
    path.hasRoot = true;
    return sas(device, path, context);
  }
  if (syspath.includes('/session')) {
    path.hasRoot = true;
    return iscsi(device, path, context);
  }
  if (syspath.includes('/ata')) return ata(device, path, context);
  if (syspath.includes('/vmbus_') || syspath.includes('/VMBUS')) return hyperv(device, path);
  return hostNumber(device, path, context);
}

function fibreChannel(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  const target = ancestor(device, 'scsi', 'scsi_target');
  const port = target && namedDevice(context, 'fc_transport', target.sysname)?.attribute('port_name');
  const lun = lunOf(device);
  if (port === undefined || lun === undefined) return undefined;
  path.add(`fc-${port}-${lun}`);
  return device;
}

function sas(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  const endDevice = ancestor(device, 'scsi', 'scsi_target')?.parent;
  const sasDevice = endDevice && namedDevice(context, 'sas_device', endDevice.sysname);
  const port = endDevice?.parent;
  const sasPort = port && namedDevice(context, 'sas_port', port.sysname);
  const phys = sasPort?.attribute('num_phys');
  const lun = lunOf(device);
  if (!sasDevice || phys === undefined || lun === undefined) return undefined;
  if (phys !== '1') {
    const address = sasDevice.attribute('sas_address');
    if (address === undefined) return undefined;
    path.add(`sas-${address}-${lun}`);
    return device;
  }
  const phy = sasDevice.attribute('phy_identifier');
  // Above the port is the host, or an expander.
  const above = port?.parent;
  if (phy === undefined || !above) return undefined;
  const expander = namedDevice(context, 'sas_device', above.sysname)?.attribute('sas_address');
  path.add(expander === undefined ? `sas-phy${phy}-${lun}` : `sas-exp${expander}-phy${phy}-${lun}`);
  return device;
}

function iscsi(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  let session: Device | undefined = device;
  do session = session.parent; while (session && !session.sysname.startsWith('session'));
  if (!session) return undefined;
  const target = namedDevice(context, 'iscsi_session', session.sysname)?.attribute('targetname');
  const connection = namedDevice(context, 'iscsi_connection', `connection${session.sysnum ?? ''}:0`);
  const address = connection?.attribute('persistent_address');
  const port = connection?.attribute('persistent_port');
  const lun = lunOf(device);
  if (target === undefined || address === undefined || port === undefined || lun === undefined) return undefined;
  path.add(`ip-${address}:${port}-iscsi-${target}-${lun}`);
  return device;
}

function ata(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  const host = ancestor(device, 'scsi', 'scsi_host');
  const [, bus, target] = addressOf(host && device) ?? [];
  const port = host?.parent;
  const number = port && namedDevice(context, 'ata_port', port.sysname)?.attribute('port_no');
  if (bus === undefined || target === undefined || number === undefined) return undefined;
  // Behind a port multiplier the bus is not 0; of two drives on one cable the target is.
  path.add(bus === 0 ? `ata-${number}.${target}` : `ata-${number}.${bus}.0`, { compat: `ata-${number}` });
  return host;
}

function hyperv(device: Device, path: DevicePath): Device | undefined {
  const host = ancestor(device, 'scsi', 'scsi_host');
  const guid = host?.parent?.attribute('device_id');
  const lun = lunOf(device);
  if (guid === undefined || lun === undefined) return undefined;
  path.add(`vmbus-${guid.replace(/[{}-]/g, '')}-${lun}`);
  return host?.parent;
}

/** Hosts are numbered as they come: counted from the first of the same parent they stay the same. */
function hostNumber(device: Device, path: DevicePath, context: BuiltinContext): Device | undefined {
  const host = ancestor(device, 'scsi', 'scsi_host');
  const [number, bus, target, lun] = addressOf(host && device) ?? [];
  if (!host || number === undefined) return undefined;
  const first = firstHost(dirname(host.syspath));
  if (first === undefined) {
    context.system.log.debug({ code: 'path-id', message: `${device.syspath}: no host directory beside it` });
    return undefined;
  }
  path.add(`scsi-${number - first}:${bus}:${target}:${lun}`);
  return host;
}

function firstHost(directory: string): number | undefined {
  let first: number | undefined;
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const number = entry.isDirectory() ? /^host(\d{1,9})$/.exec(entry.name)?.[1] : undefined;
      if (number !== undefined && (first === undefined || Number(number) < first)) first = Number(number);
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
  return first;
}

/** `HOST:BUS:TARGET:LUN`, the name of a SCSI device. */
function addressOf(device: Device | undefined): readonly number[] | undefined {
  const match = /^(\d{1,9}):(\d{1,9}):(\d{1,9}):(\d{1,9})/.exec(device?.sysname ?? '');
  return match?.slice(1).map(Number);
}

/** As in Linux' `scsilun_to_int`: addresses below 256 are peripheral LUNs and written short, others as SAM has them. */
function lunOf(device: Device): string | undefined {
  if (device.sysnum === undefined || device.sysnum.length > 18) return undefined;
  const lun = BigInt(device.sysnum);
  if (lun < 256n) return `lun-${lun}`;
  const hex = (value: bigint) => (value & 0xffffn).toString(16).padStart(4, '0');
  return `lun-0x${hex(lun)}${hex(lun >> 16n)}00000000`;
}
