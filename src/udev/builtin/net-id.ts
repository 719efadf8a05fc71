// The builtin net_id: names for a network interface that stay the same, by its address, slot, path or firmware (systemd.net-naming-scheme(7)).

import type { Device } from '../device.ts';
import type { HwdbSource } from '../hwdb-source.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { busNames } from './net-id-bus.ts';
import { bcmaNames, pciNames, usbNames } from './net-id-pci.ts';
import { netScheme, NET_SCHEME_SINCE } from './net-scheme.ts';
import type { NetScheme } from './net-scheme.ts';

/** What the names are made of. */
export type NetLink = {
  readonly device: Device;
  readonly context: BuiltinContext;
  readonly scheme: NetScheme;
  /** linux/if_arp.h. */
  readonly type: number;
  /** `en`, `wl`, `ww`, `ib`, `sl`. */
  readonly prefix: string;
  /** '' where the driver says none. */
  readonly portName: string;
};

/** Parts of names, each of which follows the prefix. */
export type NetNames = { readonly onboard?: string; readonly label?: string; readonly path?: string; readonly slot?: string };

/** linux/if_arp.h. */
export const ARPHRD_ETHER = 1;
export const ARPHRD_INFINIBAND = 32;
const ARPHRD_SLIP = 256;
const PREFIXES: Readonly<Record<number, string>> = { [ARPHRD_ETHER]: 'en', [ARPHRD_INFINIBAND]: 'ib', [ARPHRD_SLIP]: 'sl' };

/** linux/netdevice.h: addr_assign_type of an address that is the hardware's. */
const NET_ADDR_PERM = 0;

export function netIdBuiltin(hwdb: HwdbSource): Builtin {
  return {
    name: 'net_id',
    help: 'Network device properties',
    runOnce: false,
    run: (context) => {
      const { device } = context;
      const type = integer(device.attribute('type'));
      const iflink = integer(device.attribute('iflink'));
      if (device.ifindex === undefined || type === undefined || iflink === undefined) return undefined;
      const scheme = netScheme(context.system);
      const properties = new Map<string, string>();
      // VLANs and their like have the name of the interface below them to build on.
      if (iflink !== device.ifindex) return properties;
      const prefix = prefixOf(type, device.devtype, scheme);
      if (prefix === undefined) return properties;

      const link: NetLink = { device, context, scheme, type, prefix, portName: device.attribute('phys_port_name') ?? '' };
      properties.set('ID_NET_NAMING_SCHEME', scheme.name);
      addMacNames(link, hwdb, properties);
      const names = busNames(link) ?? pciNames(link) ?? usbNames(link) ?? bcmaNames(link) ?? {};
      if (names.onboard !== undefined) properties.set('ID_NET_NAME_ONBOARD', prefix + names.onboard);
      if (names.label !== undefined) {
        const labelPrefix = scheme.version >= NET_SCHEME_SINCE.labelWithoutPrefix ? '' : prefix;
        properties.set('ID_NET_LABEL_ONBOARD', labelPrefix + names.label);
      }
      if (names.path !== undefined) properties.set('ID_NET_NAME_PATH', prefix + names.path);
      if (names.slot !== undefined) properties.set('ID_NET_NAME_SLOT', prefix + names.slot);
      return properties;
    },
  };
}

/** A 32-bit number as strtoul(3) reads all of a text: `base` 0 takes 0x and 0 for 16 and 8. undefined for anything else. */
export function integer(text: string | undefined, base: 0 | 10 | 16 = 10): number | undefined {
  const match = /^\s*\+?(?:(0[xX])([0-9a-fA-F]+)|(0?)([0-9a-fA-F]+))$/.exec(text ?? '');
  if (!match) return undefined;
  const [, hex, hexDigits = '', zero, digits = hexDigits] = match;
  if (hex !== undefined && base === 10) return undefined;
  const actual = base !== 0 ? base : hex !== undefined ? 16 : zero === '0' ? 8 : 10;
  if (!DIGITS[actual].test(digits)) return undefined;
  const value = Number.parseInt(digits, actual);
  return value <= 0xffffffff ? value : undefined;
}

const DIGITS = { 8: /^[0-7]+$/, 10: /^[0-9]+$/, 16: /^[0-9a-fA-F]+$/ } as const;

/** undefined for types that get no names. */
function prefixOf(type: number, devtype: string | undefined, scheme: NetScheme): string | undefined {
  const prefix = PREFIXES[type];
  if (prefix === undefined || (type === ARPHRD_INFINIBAND && scheme.version < NET_SCHEME_SINCE.infiniband)) return undefined;
  return devtype === 'wlan' ? 'wl' : devtype === 'wwan' ? 'ww' : prefix;
}

/** ID_NET_NAME_MAC and the maker of the card, for an address that is the hardware's own. */
function addMacNames({ device, type, prefix }: NetLink, hwdb: HwdbSource, properties: Map<string, string>): void {
  // Those of InfiniBand have 20 bytes, of which only some stay.
  if (type === ARPHRD_INFINIBAND || integer(device.attribute('addr_assign_type')) !== NET_ADDR_PERM) return;
  const address = device.attribute('address') ?? '';
  if (!/^[0-9a-fA-F]{1,2}(?:[:-][0-9a-fA-F]{1,2}){5}$/.test(address)) return;
  const hex = address.split(/[:-]/).map((byte) => byte.toLowerCase().padStart(2, '0')).join('');
  properties.set('ID_NET_NAME_MAC', `${prefix}x${hex}`);
  // 00:00:00 is Xerox's, and in use by whoever has none.
  if (hex.startsWith('000000')) return;
  for (const [key, value] of hwdb.lookup(`OUI:${hex.toUpperCase()}`) ?? []) properties.set(key, value);
}
