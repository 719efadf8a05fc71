// What a .link file asks for beside the name of an interface: its hardware address, and names that it has as well.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { codeOf } from '../../errors.ts';
import { errnoName } from '../../system.ts';
import type { System } from '../../system.ts';
import type { Device } from '../device.ts';
import type { LinkConfig } from '../link-config.ts';
import { parseHardwareAddress } from '../link-config.ts';
import { sipHash24 } from '../sip-hash.ts';
import type { BuiltinContext } from './builtin.ts';
import { ARPHRD_ETHER, ARPHRD_INFINIBAND, integer } from './net-id.ts';

/** linux/netdevice.h: where the address is from. */
const NET_ADDR_PERM = 0;
const NET_ADDR_RANDOM = 1;

/** systemd's key for addresses that stay: the same machine has the same addresses under its udev and ours. */
const ADDRESS_KEY = Buffer.from('d31e48fa90fe4b4c9dafd5d7a1b12e8a', 'hex');

/** The properties of net_id and hwdb that each policy reads. */
export const POLICY_PROPERTIES: Readonly<Record<string, string>> = {
  database: 'ID_NET_NAME_FROM_DATABASE', onboard: 'ID_NET_NAME_ONBOARD', slot: 'ID_NET_NAME_SLOT', path: 'ID_NET_NAME_PATH', mac: 'ID_NET_NAME_MAC',
};

/** Gives the interface the address that the file asks for. What the kernel refuses is logged. */
export async function applyAddress(config: LinkConfig, { system, device, properties }: BuiltinContext): Promise<void> {
  const current = parseHardwareAddress(device.attribute('address') ?? '');
  const { ifindex } = device;
  if (!current || ifindex === undefined) return;
  const wanted = config.macAddressPolicy === undefined ? config.macAddress : policyAddress(config.macAddressPolicy, system, device, properties);
  if (!wanted || wanted.length !== current.length) return;
  const address = Buffer.from(wanted);
  // The multicast bit: no interface can have such an address.
  if (address.length === ETH_ALEN) address[0] = (address[0] ?? 0) & 0xfe;
  if (address.equals(current)) return;
  const text = address.toString('hex').replace(/..(?=.)/g, '$&:');
  const errno = (await system.native()).setInterfaceAddress(ifindex, address);
  if (errno === 0) system.log.info({ code: 'address-set', message: `interface ${device.sysname} has the address ${text} now` });
  else system.log.warn({ code: 'address-failed', message: `interface ${device.sysname} cannot have the address ${text}: ${errnoName(errno)}` });
}

/** Gives the interface the other names that the file asks for. One that is taken is no error: it may be this interface's own. */
export async function addAlternativeNames(config: LinkConfig, newName: string, { system, device, properties }: BuiltinContext): Promise<void> {
  const { ifindex, sysname } = device;
  if (ifindex === undefined) return;
  const policyNames = config.alternativeNamesPolicy.map((policy) => properties.get(POLICY_PROPERTIES[policy] ?? '') ?? '');
  const names = new Set([...config.alternativeNames, ...policyNames]);
  for (const name of ['', sysname, newName]) names.delete(name);
  for (const name of [...names].sort()) {
    const errno = (await system.native()).addInterfaceName(ifindex, name);
    if (errno === 0) continue;
    const level = errnoName(errno) === 'EEXIST' ? 'debug' : 'warn';
    system.log[level]({ code: 'alternative-name', message: `interface ${sysname} cannot have the name ${name} as well: ${errnoName(errno)}` });
  }
}

const ETH_ALEN = 6;
/** Of the address of an InfiniBand interface the last bytes are its own. */
const INFINIBAND_OWN = 8;

/** Undefined where the address already is as the policy wants it, was set by somebody, or cannot be made. */
function policyAddress(policy: 'persistent' | 'random', system: System, device: Device, properties: ReadonlyMap<string, string>): Uint8Array | undefined {
  const assigned = integer(device.attribute('addr_assign_type'));
  const wanted = policy === 'random' ? NET_ADDR_RANDOM : NET_ADDR_PERM;
  if ((assigned !== NET_ADDR_PERM && assigned !== NET_ADDR_RANDOM) || assigned === wanted) return undefined;
  const type = integer(device.attribute('type'));
  if (type !== ARPHRD_ETHER && type !== ARPHRD_INFINIBAND) return undefined;
  const own = policy === 'random' ? randomBytes(INFINIBAND_OWN) : persistentBytes(system, device, properties);
  if (!own) return undefined;
  if (type === ARPHRD_INFINIBAND) return Buffer.concat([Buffer.alloc(20 - INFINIBAND_OWN), own]);
  const address = own.subarray(0, ETH_ALEN);
  // Unicast, and administered here.
  address[0] = ((address[0] ?? 0) & 0xfe) | 0x02;
  return address;
}

/** From the id of the machine and what net_id calls the interface, or the kernel: the same at each boot. */
function persistentBytes({ roots, log }: System, { sysname }: Device, properties: ReadonlyMap<string, string>): Buffer | undefined {
  const path = `${roots.config}/etc/machine-id`;
  let id: string;
  try {
    id = readFileSync(path, 'latin1').trimEnd();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    id = '';
  }
  if (!/^[0-9a-f]{32}$/i.test(id)) {
    log.debug({ code: 'address-failed', message: `${sysname}: no persistent address: no machine id in ${path}` });
    return undefined;
  }
  const name = Object.values(POLICY_PROPERTIES).map((key) => properties.get(key)).find((value) => value !== undefined) ?? sysname;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(sipHash24(Buffer.concat([Buffer.from(id, 'hex'), Buffer.from(name)]), ADDRESS_KEY));
  return bytes;
}
