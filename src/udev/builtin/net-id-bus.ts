// Names of network interfaces whose parent sits on another bus than PCI: s390 channels, VIO, ACPI platform, netdevsim, Xen, devicetree.

import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../../errors.ts';
import type { Device } from '../device.ts';
import type { NetLink, NetNames } from './net-id.ts';
import { NET_SCHEME_SINCE } from './net-scheme.ts';

/** undefined where the parent is on none of these buses, or has no name that fits. */
export function busNames(link: NetLink): NetNames | undefined {
  return ccwNames(link) ?? vioNames(link) ?? platformNames(link) ?? netdevsimNames(link) ?? xenNames(link) ?? devicetreeNames(link);
}

/** Upwards over the virtio device between an interface and the bus it is on. */
export function skipVirtio(device: Device | undefined): Device | undefined {
  let above = device;
  while (above?.subsystem === 'virtio') above = above.parent;
  return above;
}

/** `0.0.f5f0` becomes `cf5f0`: leading zeros and dots go, but never all of it. */
function ccwNames({ device }: NetLink): NetNames | undefined {
  const parent = skipVirtio(device.parent);
  if (parent?.subsystem !== 'ccw' && parent?.subsystem !== 'ccwgroup') return undefined;
  const busId = parent.sysname;
  if (busId.length < 8 || busId.length > 9) return undefined;
  return { path: `c${busId.replace(/^[.0]+(?=.)/, '')}` };
}

/** The slot that was chosen for the virtual adapter is the lower half of its unit address. */
function vioNames({ device }: NetLink): NetNames | undefined {
  if (device.parent?.subsystem !== 'vio') return undefined;
  const slot = /^\/devices\/vio\/[0-9a-f]{4}([0-9a-f]{1,4})\/net\/eth[0-9]+/.exec(device.devpath)?.[1];
  return slot === undefined ? undefined : { slot: `v${Number.parseInt(slot, 16)}` };
}

/** ACPI devices: maker (4 or 3 letters), model and instance: `HISI00C2:00` becomes `ahisic2i0`. */
function platformNames({ device }: NetLink): NetNames | undefined {
  if (device.parent?.subsystem !== 'platform') return undefined;
  const place = /^\/devices\/platform\/([^/]*)\/net\/eth[0-9]+/.exec(device.devpath)?.[1] ?? '';
  const match = /^([A-Z]{3}|[A-Z0-9]{4})([0-9A-Fa-f]{4}):([0-9A-Fa-f]{1,2})$/.exec(place);
  if (!match) return undefined;
  const [, vendor = '', model = '', instance = ''] = match;
  return { path: `a${vendor.toLowerCase()}${Number.parseInt(model, 16).toString(16)}i${Number.parseInt(instance, 16)}` };
}

function netdevsimNames({ device, portName, scheme }: NetLink): NetNames | undefined {
  if (scheme.version < NET_SCHEME_SINCE.netdevsim || device.parent?.subsystem !== 'netdevsim' || portName === '') return undefined;
  const address = /^netdevsim([0-9]+)/.exec(device.parent.sysname)?.[1];
  return address === undefined ? undefined : { path: `i${Number(address)}n${portName}` };
}

/** In the guest only: interfaces of the backend have names of their own. */
function xenNames({ device, scheme }: NetLink): NetNames | undefined {
  if (scheme.version < NET_SCHEME_SINCE.xenVif || device.parent?.subsystem !== 'xen') return undefined;
  const vif = /^vif-(0|[1-9][0-9]*)$/.exec(device.parent.sysname)?.[1];
  return vif === undefined ? undefined : { slot: `X${Number(vif)}` };
}

/** `/aliases/ethernetN` of the devicetree that points at the parent. */
function devicetreeNames({ device, context, prefix, scheme }: NetLink): NetNames | undefined {
  if (scheme.version < NET_SCHEME_SINCE.devicetreeAliases || prefix !== 'en' || !device.parent) return undefined;
  const node = join(device.parent.syspath, 'of_node');
  const tree = join(context.system.roots.proc, 'device-tree');
  if (!existsSync(node) || !existsSync(tree)) return undefined;
  try {
    const base = realpathSync(tree);
    const path = realpathSync(node);
    const names = readdirSync(join(base, 'aliases'));
    // Both would be number 0.
    const isTwice = names.includes('ethernet') && names.includes('ethernet0');
    for (const name of names.sort()) {
      const index = /^ethernet(0|[1-9][0-9]*)?$/.exec(name);
      if (!index) continue;
      const target = readFileSync(join(base, 'aliases', name), 'utf8').replace(/\0.*$/s, '');
      if (base + target !== path) continue;
      const number = Number(index[1] ?? 0);
      return number === 0 && isTwice ? undefined : { onboard: `d${number}` };
    }
  } catch (error) {
    context.system.log.debug({ code: 'net-id-devicetree', message: `${device.devpath}: devicetree: ${codeOf(error)}` });
  }
  return undefined;
}
