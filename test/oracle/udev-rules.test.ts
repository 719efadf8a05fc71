import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';

import { unpackedPackage } from '../../scripts/debian-package.mjs';
import { messageOf } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import type { Builtin } from '../../src/udev/builtin/builtin.ts';
import { deviceId } from '../../src/udev/device.ts';
import { deviceBySyspath } from '../../src/udev/device-lookup.ts';
import { enumerate } from '../../src/udev/enumerate.ts';
import { parseImport } from '../../src/udev/import-lines.ts';
import type { DeviceRecord } from '../../src/udev/record.ts';
import { applyRules } from '../../src/udev/rules/apply.ts';
import { fullProperties } from '../../src/udev/rules/event-state.ts';
import type { RulesHost } from '../../src/udev/rules/host.ts';
import { parseRules } from '../../src/udev/rules/parse.ts';
import type { RuleSet } from '../../src/udev/rules/rule.ts';
import { systemRulesHost } from '../../src/udev/rules/system-host.ts';
import { recordingLog } from '../fixture-root.ts';
import type { CaseDevice } from './udev-cases.ts';
import { CORNERS, ruleFile } from './udev-cases.ts';
import type { UdevCase, UdevOutcome } from './udevadm.ts';
import { CMDLINE, udevadmTest, whyNoNamespace } from './udevadm.ts';

/** Of seconds on a machine that has nothing else to do. */
const TIMEOUT = 600_000;

const udev = findUdev();
const check = (name: string, body: (directory: string) => Promise<void>) => it(name, (context) => ('reason' in udev ? context.skip(udev.reason) : body(udev.directory)), TIMEOUT);

/** Debian's package, unpacked, and leave to give it a namespace; or why not. */
function findUdev(): { readonly directory: string } | { readonly reason: string } {
  try {
    const namespace = whyNoNamespace();
    if (namespace !== undefined) throw new Error(namespace);
    return { directory: unpackedPackage('udev') };
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    return { reason: messageOf(error) };
  }
}

const binary = (directory: string): string => ['bin/udevadm', 'usr/bin/udevadm'].map((path) => join(directory, path)).find((path) => existsSync(path)) ?? '';

const system = openSystem({ log: recordingLog() });
const hostOf = (builtin?: (name: string) => Builtin | undefined): RulesHost => ({ ...systemRulesHost(system, { writes: false, ...(builtin && { builtin }) }), cmdline: () => CMDLINE });
const names = (path: string) => (name: string) => {
  const id = readFileSync(path, 'utf8').split('\n').find((line) => line.startsWith(`${name}:`))?.split(':')[2];
  return id === undefined ? undefined : Number(id);
};
const context = { resolveUser: names('/etc/passwd'), resolveGroup: names('/etc/group') };
const readRules = (files: UdevCase['rules']): RuleSet => ({
  files: Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => parseRules(text, name, context).rules),
});

type Outcome = Omit<UdevOutcome, 'log' | 'permissions'>;

async function ours({ syspath, action }: UdevCase, rules: RuleSet, host: RulesHost, record?: DeviceRecord): Promise<Outcome> {
  const device = deviceBySyspath(system, syspath);
  if (!device) throw new Error(`no ${syspath}`);
  const result = await applyRules(rules, { device, action, record }, host);
  const properties = fullProperties(result, '/dev');
  for (const key of ['DEVLINKS', 'TAGS', 'CURRENT_TAGS', 'USEC_INITIALIZED']) properties.delete(key);
  return {
    properties: Object.fromEntries([...properties].sort(([a], [b]) => (a < b ? -1 : 1))), links: [...result.links].sort(), tags: [...result.tags].sort(),
    currentTags: [...result.currentTags].sort(), run: result.run.map(({ command }) => command),
  };
}

/** 252 goes on showing the last of these when there are none left. */
function withoutStale(theirs: UdevOutcome, own: Outcome): Outcome {
  const { log, permissions, ...rest } = theirs;
  void log;
  void permissions;
  const left = (key: 'links' | 'tags' | 'currentTags') => (own[key].length === 0 ? [] : rest[key]);
  return { ...rest, links: left('links'), tags: left('tags'), currentTags: left('currentTags') };
}

/** Devices that a Linux machine has, whatever it is; others are left out. */
const DEVICES: readonly CaseDevice[] = [
  {
    syspath: '/sys/class/mem/null', attributes: ['dev', 'uevent', 'nothing', 'subsystem'], parentAttributes: ['dev', 'nothing'],
    kernels: ['null'], parentKernels: ['null', 'mem'], subsystems: ['mem'], drivers: ['x'],
  },
  {
    syspath: '/sys/class/tty/tty0', attributes: ['dev', 'uevent', 'nothing', 'active'], parentAttributes: ['dev'],
    kernels: ['tty0'], parentKernels: ['tty0'], subsystems: ['tty'], drivers: ['x'],
  },
  {
    syspath: '/sys/devices/system/cpu/cpu0', attributes: ['online', 'uevent', 'nothing', 'topology/core_id'], parentAttributes: ['online', 'crash_notes'],
    kernels: ['cpu0'], parentKernels: ['cpu0', 'cpu'], subsystems: ['cpu'], drivers: ['processor'],
  },
  {
    syspath: '/sys/class/net/lo', attributes: ['mtu', 'ifindex', 'address', 'nothing'], parentAttributes: ['mtu'],
    kernels: ['lo'], parentKernels: ['lo'], subsystems: ['net'], drivers: ['x'],
  },
  ...someOf('/sys/block', /^(?:vd|sd|nvme)/).map((syspath) => ({
    syspath, attributes: ['size', 'ro', 'removable', 'nothing', 'queue/rotational', 'uevent', 'device', 'subsystem', 'power/control', '[dmi/id]sys_vendor', '[module/x]y'],
    parentAttributes: ['vendor', 'device', 'class', 'size', 'ro', 'nothing', 'driver', 'subsystem_vendor'], kernels: [syspath.split('/').at(-1) ?? '', 'v', 'sda'],
    parentKernels: ['virtio1', 'pci0000:00'], subsystems: ['block', 'virtio', 'pci'], drivers: ['virtio_blk', 'virtio-pci', 'x'],
  })),
  ...someOf('/sys/bus/pci/devices', /./).map((syspath) => ({
    syspath, attributes: ['vendor', 'device', 'class', 'driver', 'numa_node', 'nothing', 'config', 'irq'], parentAttributes: ['vendor', 'class', 'driver', 'nothing'],
    kernels: [syspath.split('/').at(-1) ?? ''], parentKernels: ['pci0000:00'], subsystems: ['pci'], drivers: ['virtio-pci'],
  })),
].filter(({ syspath }) => existsSync(syspath));

/** At most two. */
function someOf(directory: string, pattern: RegExp): string[] {
  return existsSync(directory) ? readdirSync(directory).filter((name) => pattern.test(name)).slice(0, 2).map((name) => join(directory, name)) : [];
}

const RECORD: DeviceRecord = {
  links: ['old/link'], linkPriority: 5, initialisedUsec: 1234, properties: new Map([['DBKEY', 'db value'], ['ID_OLD', '1']]), tags: new Set(['seen']), currentTags: new Set(['seen']),
};
const RECORD_TEXT = 'S:old/link\nL:5\nI:1234\nE:DBKEY=db value\nE:ID_OLD=1\nG:seen\nQ:seen\nV:1\n';

type Given = UdevCase & { readonly record?: DeviceRecord };

function caseOf(syspath: string, action: string, rules: UdevCase['rules'], hasRecord = false): Given {
  const device = deviceBySyspath(system, syspath);
  const id = device && deviceId(device);
  return { syspath: device?.syspath ?? syspath, action, rules, ...(hasRecord && id !== undefined && { database: [id, RECORD_TEXT], record: RECORD }) };
}

async function compare(udevadm: string, cases: readonly Given[], host: RulesHost): Promise<void> {
  const theirs = udevadmTest(udevadm, cases, { network: true });
  // All differences at once, each with its rules.
  const own: unknown[] = [];
  const expected: unknown[] = [];
  for (const [i, each] of cases.entries()) {
    const mine = await ours(each, readRules(each.rules), host, each.record);
    const outcome = theirs[i];
    const wanted = outcome && withoutStale(outcome, mine);
    if (isDeepStrictEqual(mine, wanted)) continue;
    const { syspath, action, rules } = each;
    own.push({ syspath, action, rules, ...mine });
    expected.push({ syspath, action, rules, ...wanted });
  }
  expect(own).toEqual(expected);
}

describe('rules beside udevadm test', () => {
  check('hundreds of files that are made up', async (directory) => {
    const actions = ['add', 'change', 'remove', 'add'];
    const cases = Array.from({ length: 400 }, (_, seed) => {
      const device = DEVICES[seed % DEVICES.length] ?? DEVICES[0];
      if (!device) throw new Error('no devices');
      const action = actions[Math.floor(seed / DEVICES.length) % actions.length] ?? 'add';
      // An `add` would rename the interface.
      return caseOf(device.syspath, device.syspath.includes('/net/') && action === 'add' ? 'change' : action, { '10-made-up.rules': ruleFile(seed, device) }, seed % 3 === 0);
    });
    await compare(binary(directory), cases, hostOf());
  });

  check('single lines, each a corner of the language', async (directory) => {
    await compare(binary(directory), CORNERS.flatMap((text) => ['add', 'change'].map((action) => caseOf(
      '/sys/class/mem/null', action, Object.fromEntries(text.split('\n---\n').map((part, i) => [`${10 + i}-corner.rules`, `${part}\n`])), true,
    ))), hostOf());
  });

  check('Debian\'s rules on every device of this machine', async (directory) => {
    const udevadm = binary(directory);
    const rules = debianRules(directory);
    const set = readRules(rules);
    const host = hostOf(builtinOf(udevadm));
    // Of the interfaces only lo is in the other namespace.
    const devices = (await enumerate(system)).filter(({ subsystem, devpath }) => subsystem !== undefined && (!devpath.includes('/net/') || devpath.endsWith('/lo')));
    const cases = devices.map(({ devpath }, i) => caseOf(`/sys${devpath}`, i % 3 === 0 ? 'change' : 'add', rules));
    const theirs = udevadmTest(udevadm, cases, { network: true });
    expect(cases.length).toBeGreaterThan(20);
    for (const [i, each] of cases.entries()) {
      const own = await ours(each, set, host);
      const outcome = theirs[i];
      expect({ syspath: each.syspath, ...own }).toEqual({ syspath: each.syspath, ...(outcome && withoutStale(outcome, own)) });
    }
  });
});

/** Its own rules and those that other packages left on this machine. */
function debianRules(directory: string): Record<string, string> {
  const places = ['/usr/lib/udev/rules.d', join(directory, 'lib/udev/rules.d'), join(directory, 'usr/lib/udev/rules.d')].filter((place) => existsSync(place));
  return Object.fromEntries(places.flatMap((place) => readdirSync(place).filter((name) => name.endsWith('.rules')).map((name) => [name, readFileSync(join(place, name), 'utf8')])));
}

/** Debian's builtins for our rules: here only the rules are compared. */
function builtinOf(udevadm: string): (name: string) => Builtin {
  const known = new Map<string, ReadonlyMap<string, string> | undefined>();
  return (name) => ({
    name, help: '', runOnce: ['blkid', 'path_id', 'usb_id', 'net_driver'].includes(name),
    run({ device }, argv) {
      const key = `${argv.join(' ')} ${device.syspath}`;
      if (!known.has(key)) {
        const { status, stdout } = spawnSync('unshare', ['-n', udevadm, 'test-builtin', argv.join(' '), device.syspath], { encoding: 'utf8' });
        known.set(key, status === 0 ? parseImport(stdout).properties : undefined);
      }
      return known.get(key);
    },
  });
}
