// A recorded stream through our daemon: a kernel that is a directory and a list of events, and what must be true in the end.

import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { ProbeResult } from '../kmod/probe.ts';
import { errnoByName, UEVENT_GROUP_KERNEL } from '../system.ts';
import type { Native, System, UeventSocketOptions } from '../system.ts';
import { openBuiltins } from '../udev/builtin/table.ts';
import { recordOf } from '../udev/database.ts';
import type { Device } from '../udev/device.ts';
import { enumerate } from '../udev/enumerate.ts';
import { processEvent } from '../udev/event.ts';
import { openJournal } from '../udev/journal.ts';
import { moduleLoader } from '../udev/load.ts';
import type { ModuleProber } from '../udev/load.ts';
import { openMetrics } from '../udev/metrics.ts';
import { writeMockSysfs } from '../udev/mock-sysfs.ts';
import { wishedAccess } from '../udev/node.ts';
import { openModuleRequests } from '../udev/module-requests.ts';
import type { EventHandler } from '../udev/queue.ts';
import type { EventResult } from '../udev/rules/event-result.ts';
import type { RuleSet } from '../udev/rules/rule.ts';
import { systemRulesHost } from '../udev/rules/system-host.ts';
import { isSafeName } from '../udev/sysfs-attribute.ts';
import { openDevice } from '../udev/sysfs-device.ts';
import { startUdevd } from '../udev/udevd.ts';
import { areRelated, type Delivery, type Fault, withFaults } from './chaos.ts';
import type { Machine } from './open-machine.ts';

export type ReplayOptions = {
  /** Plans are made and nothing is loaded. */
  readonly kmod: ModuleProber;
  readonly rules: RuleSet;
  /** In recorded time; as fast as the daemon takes them when absent. */
  readonly inTime?: boolean;
  readonly faults?: readonly Fault[];
  readonly signal?: AbortSignal;
  readonly onEvent?: (done: number, total: number) => void;
};

/** A node as the rules want it; what they leave open is the kernel's. None is made: one of that number would be a device of this machine. */
export type ReplayNode = {
  readonly name: string;
  readonly type: 'block' | 'char';
  readonly major: number;
  readonly minor: number;
  readonly mode?: number;
  readonly owner?: number;
  readonly group?: number;
  /** Below /dev, sorted. */
  readonly links: readonly string[];
};

export type ReplayResult = {
  /** Of the stream as it was played. */
  readonly events: number;
  readonly lost: number;
  /** What the daemon handled: those that came, and those that its walks of /sys made up. */
  readonly handled: number;
  /** In sysfs in the end. */
  readonly devices: number;
  /** That would have been inserted. */
  readonly modules: readonly string[];
  /** How often rules asked for a program: none is run. */
  readonly programs: number;
  /** What they asked for, each once, at most COMMANDS_MAX. */
  readonly commands: readonly string[];
  /** What /dev would have in the end, by name. */
  readonly nodes: readonly ReplayNode[];
  /** What is not as it must be. */
  readonly problems: readonly string[];
  readonly ms: number;
};

/** How long the daemon may take once the last event was sent, in milliseconds. */
const SETTLE_MAX = 60_000;
const STALL_MS = 20;
export const COMMANDS_MAX = 1000;
/** Events that arrive in one turn of the event loop. */
const BURST = 16;

/** The directory of the machine is changed by it: a machine is for one replay. Rejects with the reason of `signal`, and as startUdevd does. */
export async function replay(machine: Machine, { kmod, rules, inTime = false, faults = [], signal, onEvent }: ReplayOptions): Promise<ReplayResult> {
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([stop.signal, signal]) : stop.signal;
  const recorded = machine.openSystem();
  const kernel = openKernel(recorded);
  const { system } = kernel;
  const first = Number(machine.recording.events[0]?.properties.get('SEQNUM') ?? 1);
  const deliveries = withFaults(machine.recording.events, faults, first);
  kernel.number(first - 1);
  const start = system.clock.now();
  const modules = new Set<string>();
  const asked = new Set<string>();
  const problems = new Set<string>();
  const journal = openJournal(system);
  const requests = openModuleRequests(system, faultyKmod(kmod, faults, system), ({ name, result }) => {
    asked.add(name);
    for (const step of result.goals.flatMap(({ steps }) => steps)) if (step.action === 'insmod') modules.add(step.module);
  });
  const account = { handled: 0, programs: 0 };
  const commands = new Set<string>();
  const nodes = new Map<string, ReplayNode>();
  const onProgram = (command: string): void => {
    account.programs++;
    if (commands.size < COMMANDS_MAX) commands.add(command);
  };
  const { handle, check } = watched(handlerOf(system, rules, requests, { onProgram, nodes }), problems);
  const udevd = await startUdevd(system, { handle, requests, journal, metrics: openMetrics(), signal: signals, onEvent: () => void account.handled++ });
  try {
    await Promise.race([udevd.ready, udevd.stopped]);
    const begun = system.clock.now();
    for (const [index, delivery] of deliveries.entries()) {
      signals.throwIfAborted();
      if (inTime) await system.clock.sleep(Math.max(0, begun + delivery.ms - system.clock.now()), signals);
      else if (index % BURST === BURST - 1) await nextTurn();
      await kernel.send(delivery);
      onEvent?.(index + 1, deliveries.length);
    }
    await kernel.flush();
    udevd.receive();
    const isQuiet = await Promise.race([settled(udevd, system), system.clock.sleep(SETTLE_MAX, signals).then(() => false)]);
    if (!isQuiet) problems.add(`not settled after ${SETTLE_MAX / 1000} s: ${udevd.queue.pending().map(({ event }) => `${event.action} ${event.devpath}`).slice(0, 5).join(', ')}`);
    check(deliveries);
    const devices = await enumerate(system);
    const present = new Set(devices.map(({ devpath }) => devpath));
    for (const { devpath, modalias } of devices) {
      // What has no subsystem has no events.
      if (!journal.devices.has(devpath) && devices.some((each) => each.devpath === devpath && each.subsystem !== undefined)) problems.add(`forgotten: ${devpath}`);
      else if (modalias !== undefined && journal.devices.has(devpath) && !asked.has(modalias)) problems.add(`no module asked for: ${devpath} (${modalias})`);
    }
    for (const devpath of journal.devices.keys()) if (!present.has(devpath) && devpath.startsWith('/devices/')) problems.add(`still known, and gone: ${devpath}`);
    return {
      events: deliveries.length, lost: deliveries.filter(({ isLost }) => isLost).length, ...account, commands: [...commands],
      nodes: [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), devices: devices.length, modules: [...modules].sort(),
      problems: [...problems], ms: system.clock.now() - start,
    };
  } finally {
    stop.abort();
    await Promise.allSettled([udevd.stopped]);
  }
}

async function settled(udevd: Awaited<ReturnType<typeof startUdevd>>, system: System): Promise<true> {
  // A walk after a loss begins when the queue is idle.
  for (let calm = 0; calm < 3; calm++) {
    await udevd.quiet(0);
    await system.clock.sleep(5);
    if (udevd.queue.size > 0) calm = -1;
  }
  return true;
}

/** Rules, or modules alone where there are none; nothing outside of the machine's directory is touched, and no program is run. */
function handlerOf(system: System, rules: RuleSet, requests: ReturnType<typeof openModuleRequests>, { onProgram, nodes }: { readonly onProgram: (command: string) => void; readonly nodes: Map<string, ReplayNode> }): EventHandler {
  const load = moduleLoader(requests);
  const host = {
    ...systemRulesHost(system, { builtin: openBuiltins(system, requests), record: (device) => recordOf(system, device) }),
    runProgram: (command: string) => {
      onProgram(command);
      return { status: 0, stdout: '', truncated: false };
    },
  };
  return async (event, report) => {
    const { result } = await processEvent({ system, rules, host, report, broadcast: false }, event);
    const node = event.action === 'remove' ? undefined : nodeOf(openDevice(system, event.devpath, event.properties), result);
    nodes.delete(event.properties.get('DEVPATH_OLD') ?? '');
    if (node) nodes.set(event.devpath, node);
    else nodes.delete(event.devpath);
    // Rules of a distribution load by `kmod load`; the answer is the same, and asked for once.
    await load(event, report);
  };
}

function nodeOf(device: Device | undefined, result: EventResult): ReplayNode | undefined {
  if (device?.devnum === undefined || device.devname === undefined) return undefined;
  const { mode, owner, group } = wishedAccess(device, result);
  return {
    name: device.devname, ...device.devnum, ...(mode === undefined ? {} : { mode }), ...(owner === undefined ? {} : { owner }), ...(group === undefined ? {} : { group }),
    links: [...result.links].sort(),
  };
}

/** What the queue promises: no two events of related devices at the same time, and those of the kernel of one device in their order. */
function watched(handle: EventHandler, problems: Set<string>): { readonly handle: EventHandler; check(deliveries: readonly Delivery[]): void } {
  const running = new Set<string>();
  /** When an event was handled last: one that a walk makes up may be the same as one that comes after it. */
  const last = new Map<string, number>();
  let position = 0;
  const keyOf = (seqnum: string | number | undefined, action: string | undefined, devpath: string | undefined): string => `${seqnum} ${action} ${devpath}`;
  return {
    async handle(event, report) {
      const { devpath, seqnum, action } = event;
      for (const other of running) if (areRelated(devpath, other)) problems.add(`at the same time: ${action} ${devpath} and ${other}`);
      last.set(keyOf(seqnum, action, devpath), position++);
      running.add(devpath);
      try {
        await handle(event, report);
      } finally {
        running.delete(devpath);
      }
    },
    check(deliveries) {
      const reached = new Map<string, number>();
      for (const { properties, isLost, isHidden } of deliveries.toSorted((a, b) => Number(a.properties.get('SEQNUM')) - Number(b.properties.get('SEQNUM')))) {
        if (isLost || isHidden) continue;
        const [action, devpath = ''] = [properties.get('ACTION'), properties.get('DEVPATH')];
        const at = last.get(keyOf(properties.get('SEQNUM'), action, devpath));
        if (at === undefined) problems.add(`not handled: ${action} ${devpath}`);
        else if (at < (reached.get(devpath) ?? -1)) problems.add(`out of order: ${action} ${devpath}`);
        else reached.set(devpath, at);
      }
    },
  };
}

function faultyKmod(kmod: ModuleProber, faults: readonly Fault[], system: System): ModuleProber {
  const named = (kind: 'fail' | 'stall', { goals }: ProbeResult): boolean => faults.some((fault) => fault.kind === kind && goals.some(({ module }) => module === fault.module));
  return {
    ...kmod,
    async execute(plan) {
      const result = await kmod.execute(plan, { dryRun: true });
      if (named('stall', result)) await system.clock.sleep(STALL_MS);
      if (!named('fail', result)) return result;
      const failure = { code: 'EIO', errno: errnoByName('EIO') ?? 5, syscall: 'finit_module', text: 'Input/output error', kernel: [] };
      return { ...result, goals: result.goals.map((goal) => ({ ...goal, outcome: 'failed' as const, failure })) };
    },
  };
}

/** A system whose uevent socket says what `send` is given, whose sysfs follows, and that can do nothing to this machine. */
function openKernel(recorded: System): { readonly system: System; number(seqnum: number): void; send(delivery: Delivery): Promise<void>; flush(): Promise<void> } {
  let socket: UeventSocketOptions | undefined;
  let isLossy = false;
  const refused = errnoByName('EPERM') ?? 1;
  const refuse = { value: () => refused };
  const fakes: PropertyDescriptorMap = {
    openUeventSocket: {
      value: (options: UeventSocketOptions) => {
        socket = options;
        return { socket: { receiveBuffer: 0, receive: () => undefined, close: async () => void (socket = undefined) } };
      },
    },
    sendUevent: { value: () => 0 },
    finitModule: { value: async () => refused }, initModule: { value: async () => refused }, rereadPartitionTable: { value: async () => refused }, ioctl: { value: async () => ({ errno: refused }) },
    finitModuleSync: refuse, deleteModule: refuse, mknod: refuse, setxattr: refuse, limitCapabilities: refuse, renameInterface: refuse, setInterfaceAddress: refuse, addInterfaceName: refuse,
  };
  let native: Promise<Native> | undefined;
  const system: System = { ...recorded, native: () => (native ??= recorded.native().then((real) => Object.create(real, fakes) as Native)) };
  const number = (seqnum: number): void => {
    const path = join(system.roots.sys, 'kernel/uevent_seqnum');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${seqnum}\n`);
  };
  return {
    system, number,
    async send(delivery) {
      const { properties, isLost, isHidden, isLate } = delivery;
      number(Number(properties.get('SEQNUM')));
      if (!isLate) follow(system, properties);
      if (isLost) isLossy = true;
      else if (!isHidden) {
        if (isLossy) socket?.onLost();
        isLossy = false;
        socket?.onDatagram({ data: messageOf(properties), pid: 0, groups: UEVENT_GROUP_KERNEL, uid: 0, truncated: false });
      }
      if (!isLate) return;
      await nextTurn();
      follow(system, properties);
    },
    async flush() {
      if (isLossy) socket?.onLost();
      isLossy = false;
      await nextTurn();
    },
  };
}

function messageOf(properties: ReadonlyMap<string, string>): Uint8Array {
  const lines = [`${properties.get('ACTION')}@${properties.get('DEVPATH')}`, ...[...properties].map(([key, value]) => `${key}=${value}`)];
  return Buffer.from(lines.map((line) => `${line}\0`).join(''));
}

/** Of the message only: they are not in the `uevent` file. */
const OF_MESSAGE = new Set(['ACTION', 'DEVPATH', 'SUBSYSTEM', 'SEQNUM', 'SYNTH_UUID', 'DEVPATH_OLD']);

/** As devtmpfs: what stands for a node in a machine's directory is a link to its device. */
function followNode({ sys, dev }: Pick<System['roots'], 'sys' | 'dev'>, properties: ReadonlyMap<string, string>): void {
  const name = properties.get('DEVNAME')?.replace(/^\/dev\//, '');
  const action = properties.get('ACTION');
  if (name === undefined || !isSafeName(name) || (action !== 'add' && action !== 'remove')) return;
  const path = join(dev, name);
  rmSync(path, { force: true });
  if (action === 'remove') return;
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(relative(dirname(path), sys + (properties.get('DEVPATH') ?? '')), path);
}

/** sysfs as the event leaves it. A recording knows no attributes of what came later. */
function follow({ roots: { sys, dev } }: System, properties: ReadonlyMap<string, string>): void {
  const devpath = properties.get('DEVPATH') ?? '';
  if (!devpath.startsWith('/devices/') || !isSafeName(devpath.slice(1))) return;
  if (properties.get('ACTION') === 'remove') rmSync(sys + devpath, { recursive: true, force: true });
  followNode({ sys, dev }, properties);
  const old = properties.get('DEVPATH_OLD') ?? '';
  if (properties.get('ACTION') === 'move' && old.startsWith('/devices/') && isSafeName(old.slice(1)) && existsSync(sys + old) && !existsSync(sys + devpath)) {
    mkdirSync(dirname(sys + devpath), { recursive: true });
    renameSync(sys + old, sys + devpath);
  }
  if (properties.get('ACTION') !== 'add') return;
  const own = new Map([...properties].filter(([key]) => !OF_MESSAGE.has(key)));
  writeMockSysfs(sys, [{ devpath, subsystem: properties.get('SUBSYSTEM'), properties: own, record: undefined, attributes: new Map(), links: new Map() }]);
}
