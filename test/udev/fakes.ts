// Stand-ins for the tests of udev: a sysfs written to a temporary directory, a Kmod that loads nothing, messages of the kernel.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { KmodFactory } from '../../src/applets/udevd.ts';
import type { GoalResult, Outcome, ProbeFailure, ProbeGoal, ProbePlan, ProbeResult } from '../../src/kmod/probe.ts';
import { openSystem } from '../../src/system.ts';
import type { Clock, Log, Native, System } from '../../src/system.ts';
import { recordingLog } from '../fixture-root.ts';

/** By devpath: the text of the `uevent` file; `subsystem` becomes the link. */
export type SysfsTree = Readonly<Record<string, { readonly uevent: string; readonly subsystem?: string }>>;

export type TemporaryRoot = { readonly path: string; remove(): void };

/** A directory that looks like /, with an empty /sys/devices and /dev. */
export function makeRoot(): TemporaryRoot {
  const path = mkdtempSync(join(tmpdir(), 'tsudevd-test-'));
  mkdirSync(join(path, 'sys/devices'), { recursive: true });
  mkdirSync(join(path, 'dev'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function addDevices(root: string, tree: SysfsTree): void {
  for (const [devpath, { uevent, subsystem }] of Object.entries(tree)) {
    const directory = join(root, 'sys', devpath);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'uevent'), uevent);
    if (subsystem !== undefined) symlinkSync(`../../bus/${subsystem}`, join(directory, 'subsystem'));
  }
}

/** Time stands still but in sleeps, which end at once; `sleeps` tells their lengths. */
export function testClock(onSleep: (ms: number, signal?: AbortSignal) => void | Promise<void> = () => undefined): Clock & { readonly sleeps: number[] } {
  let now = 1000;
  const sleeps: number[] = [];
  return {
    sleeps,
    now: () => now,
    sleep: async (ms, signal) => {
      sleeps.push(ms);
      await onSleep(ms, signal);
      signal?.throwIfAborted();
      now += ms;
    },
  };
}

export function testSystem(root: string, options: { native?: Native; clock?: Clock; log?: Log } = {}): System {
  return openSystem({ root, release: '6.12.0-test', clock: testClock(), log: recordingLog(), native: openFakeNative(), ...options });
}

export type FakeModule = {
  readonly module: string;
  readonly outcome?: Outcome;
  readonly failure?: ProbeFailure;
  readonly status?: ProbeGoal['status'];
  /** Modules that must come first. */
  readonly needs?: readonly string[];
};

export type FakeKmod = ReturnType<KmodFactory> & {
  readonly planned: { readonly name: string; readonly useBlacklist: string | undefined }[];
  readonly executed: string[];
  reloads: number;
  closed: number;
};

/** Knows the modules of each alias. `onLoad` runs in place of finit_module and may make devices, or take its time. */
export function fakeKmod(
  aliases: Readonly<Record<string, readonly FakeModule[]>>, onLoad: (module: string) => void | Promise<void> = () => undefined,
): FakeKmod {
  const inKernel = new Set<string>();
  const planned: FakeKmod['planned'] = [];
  const executed: string[] = [];
  const known = (module: string) => Object.values(aliases).flat().find((entry) => entry.module === module);
  return {
    planned,
    executed,
    reloads: 0,
    closed: 0,
    plan(name, options): ProbePlan {
      planned.push({ name, useBlacklist: options?.useBlacklist });
      const modules = Object.hasOwn(aliases, name) ? aliases[name] ?? [] : [];
      return { target: name, warnings: [], goals: modules.map((entry) => fakeGoal(entry, name)) };
    },
    async execute(plan, { dryRun = false } = {}): Promise<ProbeResult> {
      if (!dryRun) executed.push(plan.target);
      const goals: GoalResult[] = [];
      for (const goal of plan.goals) {
        const steps: GoalResult['steps'][number][] = [];
        for (const step of goal.steps) {
          const entry = known(step.module);
          const isLive = inKernel.has(step.module);
          if (!isLive && !dryRun) await onLoad(step.module);
          const outcome = isLive ? 'live' : dryRun ? 'skipped' : entry?.outcome ?? 'inserted';
          if (outcome === 'inserted') inKernel.add(step.module);
          steps.push({ ...step, outcome, ms: isLive || dryRun ? 0 : 12, ...(entry?.failure && !dryRun ? { failure: entry.failure } : {}) });
        }
        goals.push({ ...goal, steps, outcome: steps.at(-1)?.outcome ?? (goal.status === 'blacklisted' ? 'blacklisted' : 'live') });
      }
      return { target: plan.target, warnings: [], goals, ms: 12 };
    },
    reload() {
      this.reloads++;
    },
    async close() {
      this.closed++;
    },
  };
}

function fakeGoal({ module, status = 'load', needs = [] }: FakeModule, alias: string): ProbeGoal {
  const reason = { kind: 'alias', from: alias, pattern: `${alias.slice(0, 4)}*`, source: { file: '/lib/modules/6.12.0-test/modules.alias.bin' } } as const;
  if (status === 'blacklisted') return { module, reason, status, steps: [], source: { file: '/etc/modprobe.d/blacklist.conf', line: 3 } };
  if (status === 'ready') return { module, reason, status, steps: [] };
  const step = { action: 'insmod', params: '', required: true } as const;
  const pathOf = (name: string) => `/lib/modules/6.12.0-test/kernel/${name}.ko.xz`;
  const needed = needs.map((name, index) => (
    { ...step, module: name, path: pathOf(name), reason: { kind: 'dep', from: module } as const, after: index === 0 ? [] : [index - 1] }
  ));
  return { module, reason, status, steps: [...needed, { ...step, module, path: pathOf(module), reason, after: needed.map((_, index) => index) }] };
}

/** A message as lib/kobject_uevent.c builds it. */
export function ueventBytes(properties: Readonly<Record<string, string>>): Uint8Array {
  const { ACTION = '', DEVPATH = '' } = properties;
  const strings = [`${ACTION}@${DEVPATH}`, ...Object.entries(properties).map(([key, value]) => `${key}=${value}`)];
  return Buffer.from(strings.map((text) => `${text}\0`).join(''));
}

/** The kernel's message of a device that was added, or of another action. */
export function eventBytes(devpath: string, modalias: string, { action = 'add', seqnum = 100 } = {}): Uint8Array {
  return ueventBytes({ ACTION: action, DEVPATH: devpath, SUBSYSTEM: 'pci', MODALIAS: modalias, SEQNUM: String(seqnum) });
}

export type Gate = { readonly opened: Promise<void>; open(): void };

/** Something to wait for that the test opens. */
export function gate(): Gate {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
