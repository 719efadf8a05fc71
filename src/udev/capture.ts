// A case for `test-rules` from a live device: it, its parents, what programs and builtins answer, and what the rules make of it.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import type { Builtin } from './builtin/builtin.ts';
import { openBuiltins } from './builtin/table.ts';
import { recordOf } from './database.ts';
import type { Device } from './device.ts';
import { wishedMode } from './node.ts';
import { applyRules } from './rules/apply.ts';
import type { EventResult } from './rules/event-result.ts';
import type { RulesHost } from './rules/host.ts';
import { loadAllRules } from './rules/rule-modules.ts';
import { systemRulesHost } from './rules/system-host.ts';
import { formatDevice } from './umockdev.ts';
import type { CapturedDevice } from './umockdev.ts';

/** Of one device: those that are more, or longer, are left out. */
export const CAPTURED_ATTRIBUTES_MAX = 512;
export const CAPTURED_ATTRIBUTE_MAX = 4096;
/** No device has more above it. */
const PARENTS_MAX = 64;

/** The text of a file of one case. Nothing is written; programs of PROGRAM and IMPORT are run. */
export async function captureCase(system: System, device: Device, action: string): Promise<string> {
  const devices: string[] = [];
  for (let at: Device | undefined = device; at && devices.length < PARENTS_MAX; at = at.parent) devices.push(formatDevice(captureDevice(system, at)));
  const { rules } = await loadAllRules(system);
  const answers: string[] = [];
  const host = listening(system, answers);
  const result = await applyRules(rules, { device, action, record: recordOf(system, device) }, host);
  const head = [`case: ${device.subsystem ?? 'device'} ${device.sysname}, ${action}`, `action: ${action}`, `cmdline: ${host.cmdline().replace(/\p{Cc}/gu, ' ')}`];
  return `${devices.join('\n')}\n${[...head, ...answers].join('\n')}\n\nexpect:\n${expectations(system, device, result).join('\n')}\n`;
}

/** What sysfs and the database say of one device. */
export function captureDevice(system: System, device: Device): CapturedDevice {
  const { devpath, subsystem, properties } = device;
  const attributes = new Map<string, string | Uint8Array>();
  const links = new Map<string, string>();
  const names = device.attributeNames().filter((name) => !SKIPPED.test(name)).slice(0, CAPTURED_ATTRIBUTES_MAX);
  for (const name of [...names, ...binaryNames(device)]) {
    const path = join(device.syspath, name);
    const target = linkOf(path);
    if (target !== undefined) {
      if (name !== 'subsystem') links.set(name, target);
      continue;
    }
    const value = name === DESCRIPTORS ? bytesOf(path) : device.attribute(name);
    if (value !== undefined && value.length <= CAPTURED_ATTRIBUTE_MAX) attributes.set(name, isText(value) ? value : Buffer.from(value));
  }
  if (subsystem === 'block') for (const name of slavesOf(device)) links.set(`slaves/${name}`, linkOf(join(device.syspath, 'slaves', name)) ?? name);
  return { devpath, subsystem, properties, record: recordOf(system, device), attributes, links };
}

/** What a device mapper or MD device is made of. */
function slavesOf({ syspath }: Device): readonly string[] {
  return unlessGone(() => readdirSync(join(syspath, 'slaves')).sort()) ?? [];
}

const DESCRIPTORS = 'descriptors';
/** What is the kernel's own, changes with each reading, is large, or does something when it is read. */
const SKIPPED = /^(?:uevent|descriptors|config|rom|resource\d.*|vpd|reset.*|remove|rescan|power\/.*|statistics\/.*|stat|inflight|msi_irqs\/.*|trace\/.*|.*time.*_ms|meminfo|numastat|vmstat|max_bytes|cpuidle\/[^/]+\/(?:time|usage|above|below|rejected))$/;

function binaryNames({ subsystem, devtype }: Device): readonly string[] {
  return subsystem === 'usb' && devtype === 'usb_device' ? [DESCRIPTORS] : [];
}

function isText(value: string | Uint8Array): value is string {
  return typeof value === 'string' && !/[^\P{Cc}\n\t]|\ufffd/u.test(value);
}

function linkOf(path: string): string | undefined {
  return unlessGone(() => (lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined));
}

function bytesOf(path: string): Uint8Array | undefined {
  return unlessGone(() => readFileSync(path));
}

/** Undefined for what vanishes meanwhile, or refuses to be read. */
export function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

/** A host that writes down what it is answered. */
function listening(system: System, answers: string[]): RulesHost {
  const builtins = openBuiltins(system);
  const real = systemRulesHost(system, { writes: false, record: (other) => recordOf(system, other) });
  const seen = new Set<string>();
  const answer = (key: string, status: number, output: string): void => {
    if (seen.has(key)) return;
    seen.add(key);
    answers.push(key, ...output.split('\n').filter((line) => line.trim() !== '').map((line) => `  ${line}`), ...(status === 0 ? [] : [`status: ${status}`]));
  };
  const wrap = (builtin: Builtin): Builtin => ({
    ...builtin,
    async run(context, argv) {
      const outcome = await builtin.run(context, argv);
      answer(`builtin: ${argv.join(' ')}`, outcome ? 0 : 1, [...outcome ?? []].map(([key, value]) => `${key}=${value}\n`).join(''));
      return outcome;
    },
  });
  return {
    ...real,
    async runProgram(command, environment) {
      const result = await real.runProgram(command, environment);
      answer(`program: ${command}`, result.status ?? 127, result.stdout);
      return result;
    },
    builtin(name) {
      const found = builtins(name);
      return found && wrap(found);
    },
  };
}

function expectations(system: System, device: Device, result: EventResult): readonly string[] {
  const { links, currentTags, run, owner, group, databaseProperties, name } = result;
  const mode = wishedMode(device, result);
  return [
    `links: ${[...links].join(' ') || 'none'}`,
    `tags: ${[...currentTags].join(' ') || 'none'}`,
    ...(device.devnum ? [`mode: ${mode?.toString(8).padStart(4, '0') ?? 'none'}`] : []),
    ...(owner === undefined ? [] : [`owner: ${nameOf(system, 'passwd', owner)}`]),
    ...(group === undefined ? [] : [`group: ${nameOf(system, 'group', group)}`]),
    ...(name === undefined ? [] : [`name: ${name}`]),
    ...(run.length === 0 ? ['run: none'] : run.map(({ type, command }) => `${type === 'builtin' ? 'run{builtin}' : 'run'}: ${command}`)),
    'properties:',
    ...[...databaseProperties].map(([key, value]) => `  ${key}=${value}`),
  ];
}

/** Cases have names: ids are of one machine. */
function nameOf({ roots: { config } }: System, file: 'passwd' | 'group', id: number): string {
  const text = unlessGone(() => readFileSync(`${config}/${ETC}/${file}`, 'utf8')) ?? '';
  return text.split('\n').map((line) => line.split(':')).find(([, , number]) => number === String(id))?.[0] ?? String(id);
}

const ETC = 'etc';
