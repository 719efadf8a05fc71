// One event from its message to its broadcast: rules, interface name, node and links, database, programs, and what is told to others.

import { closeSync } from 'node:fs';

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { deleteRecord, initialisedUsec, recordOf, writeRecord } from './database.ts';
import { deviceId } from './device.ts';
import type { Device } from './device.ts';
import type { DeviceWatch } from './device-watch.ts';
import { lockDisk } from './disk-lock.ts';
import { removeLinks, updateLinks } from './links.ts';
import { renameInterface } from './net-rename.ts';
import { removeNode, updateNode } from './node.ts';
import { EMPTY_RECORD } from './record-file.ts';
import type { DeviceRecord } from './record.ts';
import { applyRules } from './rules/apply.ts';
import type { EventResult, RunEntry } from './rules/event-result.ts';
import { fullProperties } from './rules/event-state.ts';
import type { RulesHost } from './rules/host.ts';
import type { RuleSet } from './rules/rule.ts';
import { openDevice } from './sysfs-device.ts';
import { sendBroadcast } from './udev-monitor.ts';
import { updateTags } from './tags.ts';
import type { Activity } from './queue.ts';
import type { Uevent } from './uevent.ts';
import type { UnstoredRecord } from './unstored.ts';

export type EventMachine = {
  readonly system: System;
  readonly rules: RuleSet;
  readonly host: RulesHost;
  readonly watch?: Pick<DeviceWatch, 'begin' | 'end'>;
  /** False leaves the network group 2 alone. */
  readonly broadcast?: boolean;
  readonly report?: (activity: Activity) => void;
  readonly signal?: AbortSignal;
};

export type EventOutcome = {
  /** Of the device in the database. */
  readonly id: string | undefined;
  readonly result: EventResult;
  /** As it was broadcast. */
  readonly properties: ReadonlyMap<string, string>;
  /** The programs and builtins of RUN that failed, and why. */
  readonly failures: readonly { readonly run: RunEntry; readonly reason: string }[];
  /** What the database could not take. */
  readonly unstored?: UnstoredRecord;
};

/**
 * Carries an event out. What fails for the device is logged and in the outcome; rejects only when `signal` is aborted, or for a devpath
 * that is none. Safe while other events, and other processes, do the same for other devices.
 */
export async function processEvent(machine: EventMachine, event: Uevent): Promise<EventOutcome> {
  const device = openDevice(machine.system, event.devpath, event.properties);
  if (!device) throw new TypeError(`not a devpath: ${event.devpath}`);
  machine.watch?.begin(device);
  return event.action === 'remove' ? removeDevice(machine, event, device) : updateDevice(machine, event, device);
}

async function removeDevice(machine: EventMachine, event: Uevent, device: Device): Promise<EventOutcome> {
  const { system } = machine;
  const id = deviceId(device);
  const record = recordOf(system, device);
  if (id !== undefined) {
    deleteRecord(system, id);
    updateTags(system, id, [], record?.tags ?? []);
  }
  machine.report?.({ what: 'rules' });
  const result = await applyRules(machine.rules, { device, action: event.action, properties: event.properties, record }, machine.host, options(machine));
  if (device.devnum) {
    await removeLinks(system, device, record?.links ?? []);
    removeNode(system, device);
  }
  const properties = propertiesOf(machine, result, record?.initialisedUsec ?? 0);
  const failures = await runAll(machine, device, event.action, result, properties);
  await tell(machine, device, result, properties);
  return { id, result, properties, failures };
}

async function updateDevice(machine: EventMachine, event: Uevent, device: Device): Promise<EventOutcome> {
  const { system } = machine;
  const lock = device.devnum?.type === 'block' ? await lockDisk(machine.system, device, options(machine), () => machine.report?.({ what: 'lock', name: device.devname ?? '' })) : undefined;
  try {
    const id = deviceId(device);
    const record = recordOf(system, device);
    machine.report?.({ what: 'rules' });
    const result = await applyRules(machine.rules, { device, action: event.action, properties: event.properties, record }, machine.host, options(machine));
    const renamed = await rename(machine, device, event, result);
    if (device.devnum) {
      await updateNode(system, device, result, { applyLabels: event.action === 'add' });
      await updateLinks(system, device, { links: result.links, priority: result.linkPriority, previous: record?.links ?? [] });
    }
    const usec = initialisedUsec(system, record);
    const unstored = id === undefined ? undefined
      : store(system, id, { ...result, properties: result.databaseProperties, initialisedUsec: usec }, record ?? EMPTY_RECORD);
    const properties = propertiesOf(machine, result, usec, renamed);
    const failures = await runAll(machine, device, event.action, result, properties);
    if (result.watch === true) machine.watch?.end(device);
    await tell(machine, device, result, properties);
    return { id, result, properties, failures, ...(unstored ? { unstored } : {}) };
  } finally {
    if (lock !== undefined) closeSync(lock);
  }
}

function options({ signal }: EventMachine): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function store(
  system: System, id: string, { links, linkPriority, initialisedUsec: usec, properties, tags, currentTags, dbPersist: persist }: DeviceRecord & { readonly dbPersist: boolean },
  previous: DeviceRecord,
): UnstoredRecord | undefined {
  const record: DeviceRecord = { links, linkPriority, initialisedUsec: usec, properties, tags, currentTags };
  updateTags(system, id, tags, previous.tags);
  return writeRecord(system, id, record, { persist }) ? undefined : { id, record, persist };
}

/** What programs see, and what is broadcast. */
function propertiesOf(
  { host }: EventMachine, result: EventResult, usec: number, more: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const properties = fullProperties(result, host.roots.dev);
  if (usec > 0) properties.set('USEC_INITIALIZED', String(usec));
  for (const [key, value] of more) properties.set(key, value);
  return properties;
}

/** The properties that a rename changes. The kernel says the rest with an event of its own, `move`. */
async function rename(machine: EventMachine, device: Device, event: Uevent, { name }: EventResult): Promise<ReadonlyMap<string, string>> {
  const { ifindex, sysname } = device;
  if (name === undefined || ifindex === undefined || event.action !== 'add') return new Map();
  if (await renameInterface(machine.system, device, name, options(machine)) !== 'renamed') return new Map();
  const devpath = `${event.devpath.slice(0, event.devpath.lastIndexOf('/'))}/${name}`;
  return new Map([['DEVPATH', devpath], ['INTERFACE', name], ['INTERFACE_OLD', sysname]]);
}

/** In order, one after the other. */
async function runAll(
  machine: EventMachine, device: Device, action: string, { run }: EventResult, properties: ReadonlyMap<string, string>,
): Promise<EventOutcome['failures']> {
  const { host, system, report, signal } = machine;
  const failures: EventOutcome['failures'][number][] = [];
  for (const entry of run) {
    const { type, command, source } = entry;
    report?.({ what: type, name: command, rule: `${source.file}:${source.line}` });
    const reason = type === 'program' ? await programFailure(host, command, properties)
      : await builtinFailure(machine, { system, device, properties, action, findDevice: host.deviceOf, rule: source, ...(signal ? { signal } : {}) }, command);
    if (reason === undefined) continue;
    failures.push({ run: entry, reason });
    system.log.warn({ code: 'run-failed', message: `${device.sysname}: '${command}' of ${source.file}:${source.line} failed: ${reason}`, ...source });
  }
  return failures;
}

async function programFailure(host: RulesHost, command: string, properties: ReadonlyMap<string, string>): Promise<string | undefined> {
  const { status, failure } = await host.runProgram(command, properties);
  return status === 0 ? undefined : failure ?? `exit code ${status}`;
}

/** A builtin that is not there or fails is everyday: the stock rules ask for what a small machine lacks. It has told the log. */
async function builtinFailure({ host }: EventMachine, context: Parameters<NonNullable<ReturnType<RulesHost['builtin']>>['run']>[0], command: string): Promise<undefined> {
  const argv = command.split(/\s+/).filter((word) => word !== '');
  const builtin = host.builtin(argv[0] ?? '');
  if (!builtin) return;
  try {
    await builtin.run(context, argv);
  } catch (error) {
    context.signal?.throwIfAborted();
    host.log.debug({ code: 'builtin-failed', message: `${context.device.sysname}: builtin '${command}': ${messageOf(error)}` });
  }
}

async function tell({ system, broadcast = true }: EventMachine, device: Device, { tags }: EventResult, properties: ReadonlyMap<string, string>): Promise<void> {
  if (broadcast) await sendBroadcast(system, { subsystem: device.subsystem, devtype: device.devtype, tags, properties });
}
