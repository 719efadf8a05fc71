// Which version of systemd's names for network interfaces is wanted (systemd.net-naming-scheme(7)).

import { readFileSync } from 'node:fs';

import { codeOf } from '../../errors.ts';
import type { System } from '../../system.ts';

export type NetScheme = {
  /** `v252`: what ID_NET_NAMING_SCHEME says. */
  readonly name: string;
  readonly version: number;
};

/** Those that udev 252 knows. The names of the others are those of the one before them. */
const SCHEMES: readonly NetScheme[] = [238, 239, 240, 241, 243, 245, 247, 249, 250, 251, 252].map((version) => ({ name: `v${version}`, version }));

const LATEST: NetScheme = { name: 'v252', version: 252 };

/** The version from which each rule for names counts. */
export const NET_SCHEME_SINCE = {
  virtualFunctions: 239, alternativeRoutingId: 239, infiniband: 240, zeroAcpiIndex: 240, stableVirtualMacs: 241, netdevsim: 243,
  labelWithoutPrefix: 243, noBridgeSlot: 247, slotOfFunctionId: 249, index16Bit: 249, xenVif: 250, bridgeSlotOfMultifunction: 251,
  devicetreeAliases: 252,
} as const;

/** By system: neither the command line nor the environment changes. */
const known = new WeakMap<System, NetScheme>();

/**
 * `net.naming_scheme=` of the kernel's command line or NET_NAMING_SCHEME of the environment; the latter wins, but not when its value
 * starts with a colon. An unknown one is logged, and the latest taken.
 */
export function netScheme(system: System): NetScheme {
  const scheme = known.get(system) ?? chooseScheme(system);
  known.set(system, scheme);
  return scheme;
}

function chooseScheme(system: System): NetScheme {
  const variable = system.env['NET_NAMING_SCHEME'] ?? '';
  const yields = variable.startsWith(':');
  const fromCmdline = yields || variable === '' ? cmdlineValue(system) : undefined;
  const wanted = fromCmdline ?? (yields ? variable.slice(1) : variable);
  if (wanted === '' || wanted === 'latest') return LATEST;
  const scheme = SCHEMES.find(({ name }) => name === wanted);
  if (!scheme) system.log.warn({ code: 'net-naming-scheme', message: `Unknown interface naming scheme '${wanted}' requested, ignoring.` });
  return scheme ?? LATEST;
}

function cmdlineValue(system: System): string | undefined {
  let text: string;
  try {
    text = readFileSync(`${system.roots.proc}/cmdline`, 'utf8');
  } catch (error) {
    // A foreign root has no command line.
    if (codeOf(error) !== 'ENOENT') system.log.debug({ code: 'net-naming-scheme', message: `no kernel command line: ${codeOf(error)}` });
    return undefined;
  }
  return /(?:^|\s)net[._]naming[-_]scheme=(\S+)/.exec(text)?.[1];
}
