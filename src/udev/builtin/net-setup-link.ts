// The builtin net_setup_link: which .link file is for a network interface, and what it asks for.

import { readFileSync } from 'node:fs';

import { codeOf } from '../../errors.ts';
import { fnmatch } from '../../kmod/alias.ts';
import type { Device } from '../device.ts';
import { isInterfaceName, parseHardwareAddress, UNSUPPORTED_MATCHES } from '../link-config.ts';
import type { LinkConfig, LinkMatch } from '../link-config.ts';
import { loadLinkConfigs } from '../link-files.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { addAlternativeNames, applyAddress, POLICY_PROPERTIES } from './link-identity.ts';
import { linkTypeName } from './link-type.ts';
import { integer } from './net-id.ts';

/** linux/if.h. */
const IFF_LOOPBACK = 0x8;

/** linux/netdevice.h: who gave the name. */
const NET_NAME_PREDICTABLE = 2;
const NET_NAME_USER = 3;
const NET_NAME_RENAMED = 4;

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86-64', arm64: 'arm64', riscv64: 'riscv64' };

/** How long the files are taken as read, in milliseconds: udev too looks for changes at most this often. */
const CHECK_INTERVAL = 3000;

/**
 * Sets ID_NET_DRIVER, ID_NET_LINK_FILE and ID_NET_NAME; renaming is left to the rules. With `applies` also the address and the alternative
 * names of the interface; what ethtool sets is not touched. Without a .link file that fits it succeeds and says the driver only.
 */
export function netSetupLinkBuiltin({ applies = false }: { readonly applies?: boolean } = {}): Builtin {
  let loaded: { readonly configs: readonly LinkConfig[]; readonly until: number } | undefined;
  return {
    name: 'net_setup_link',
    help: 'Configure network link',
    runOnce: false,
    run: async (context, argv) => {
      const { system, device } = context;
      if (argv.length > 1) {
        system.log.debug({ code: 'net-setup-link', message: 'net_setup_link takes no arguments' });
        return undefined;
      }
      const properties = new Map<string, string>();
      const answer = await (await system.native()).ethtoolDriver(device.sysname);
      const driver = 'driver' in answer && answer.driver !== '' ? answer.driver : undefined;
      if (driver !== undefined) properties.set('ID_NET_DRIVER', driver);

      if (((integer(device.attribute('flags'), 0) ?? 0) & IFF_LOOPBACK) !== 0) return properties;
      const now = system.clock.now();
      if (!loaded || now >= loaded.until) loaded = { configs: loadLinkConfigs(system), until: now + CHECK_INTERVAL };
      const config = loaded.configs.find((each) => each.match.every((match) => fits(match, context, driver)));
      if (!config) return properties;
      const name = newName(config, context);
      properties.set('ID_NET_LINK_FILE', config.file);
      properties.set('ID_NET_NAME', name);
      if (applies) {
        await applyAddress(config, context);
        await addAlternativeNames(config, name, context);
      }
      return properties;
    },
  };
}

/** The name that the interface should have, which may be the one that it has. */
function newName(config: LinkConfig, { system, device, properties, action }: BuiltinContext): string {
  const current = device.sysname;
  // A move says that the interface was just renamed.
  if (action === 'move') return current;
  const assigned = integer(device.attribute('name_assign_type'));
  const isPolicyOff = /(?:^|\s)net\.ifnames=(?:0|no|n|false|f|off)(?:\s|$)/.test(cmdline(system.roots.proc));
  for (const policy of isPolicyOff ? [] : config.namePolicy ?? []) {
    if (policy === 'kernel') {
      if (assigned === NET_NAME_PREDICTABLE) return current;
    } else if (policy === 'keep') {
      if (assigned === NET_NAME_USER || assigned === NET_NAME_RENAMED) return current;
    } else {
      const name = properties.get(POLICY_PROPERTIES[policy] ?? '');
      if (name !== undefined && isInterfaceName(name)) return name;
    }
  }
  return config.name ?? current;
}

function fits({ key, values, negated }: LinkMatch, context: BuiltinContext, driver: string | undefined): boolean {
  const { system, device, properties } = context;
  if (UNSUPPORTED_MATCHES.includes(key)) return false;
  const matchesAny = (text: string | undefined): boolean => (text !== undefined && values.some((value) => fnmatch(value, text))) !== negated;
  switch (key) {
    case 'OriginalName':
      return matchesAny(device.sysname);
    case 'MACAddress':
      return values.some((value) => isAddress(value, device.attribute('address') ?? '')) !== negated;
    case 'Path':
      return matchesAny(properties.get('ID_PATH'));
    case 'Driver':
      return matchesAny(device.parent?.properties.get('ID_NET_DRIVER') ?? driver);
    case 'Type':
      return matchesAny(device.devtype ?? typeName(device));
    case 'Property':
      return values.every((value) => hasProperty(properties, value));
    case 'KernelVersion':
      return values.every((value) => fitsRelease(value, system.release)) !== negated;
    case 'Architecture':
      return matchesAny(ARCHITECTURES[process.arch] ?? process.arch);
    case 'KernelCommandLine': {
      const words = cmdline(system.roots.proc).split(/\s+/);
      return values.some((value) => words.some((word) => word === value || (!value.includes('=') && word.startsWith(`${value}=`)))) !== negated;
    }
    default:
      return false;
  }
}

/** A glob, or a comparison such as `>=6.1`. */
function fitsRelease(value: string, release: string): boolean {
  const [, operator, version = ''] = /^(<=|>=|!=|<|>|=)(.*)$/.exec(value) ?? [];
  if (operator === undefined) return fnmatch(value, release);
  const order = compareReleases(release, version);
  return (order === 0 && /=/.test(operator) && operator !== '!=') || (order < 0 && operator.startsWith('<')) || (order > 0 && operator.startsWith('>')) ||
    (order !== 0 && operator === '!=');
}

/** By the numbers in them, as far as the shorter one goes, then by length. */
function compareReleases(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (text.match(/\d+/g) ?? []).map(Number));
  for (const [index, number] of (left ?? []).entries()) {
    const other = right?.[index];
    if (other === undefined) return 1;
    if (number !== other) return number - other;
  }
  return (left?.length ?? 0) - (right?.length ?? 0);
}

/** `KEY=GLOB`, or `!KEY=GLOB`. */
function hasProperty(properties: ReadonlyMap<string, string>, value: string): boolean {
  const negated = value.startsWith('!');
  const [, key = '', pattern = ''] = /^!?([^=]*)=(.*)$/s.exec(value) ?? [];
  const actual = properties.get(key);
  return (actual !== undefined && fnmatch(pattern, actual)) !== negated;
}

function typeName(device: Device): string | undefined {
  const type = integer(device.attribute('type'));
  return type === undefined ? undefined : linkTypeName(type);
}

function isAddress(text: string, address: string): boolean {
  const bytes = parseHardwareAddress(address);
  return bytes !== undefined && parseHardwareAddress(text)?.every((byte, index) => byte === bytes[index]) === true;
}

function cmdline(proc: string): string {
  try {
    return readFileSync(`${proc}/cmdline`, 'utf8');
  } catch (error) {
    // A foreign root has no command line.
    if (codeOf(error) === undefined) throw error;
    return '';
  }
}
