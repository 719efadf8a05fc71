// The daemon: events while it starts, losses, reloads, and its end.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeNative, FakeUeventSocket } from '../../native-bindings/fake.ts';
import type { System } from '../../src/system.ts';
import { openJournal } from '../../src/udev/journal.ts';
import { moduleLoader } from '../../src/udev/load.ts';
import { openMetrics } from '../../src/udev/metrics.ts';
import { openModuleRequests } from '../../src/udev/module-requests.ts';
import type { ModuleRequest } from '../../src/udev/module-requests.ts';
import { STOP_WAIT_MS, startUdevd } from '../../src/udev/udevd.ts';
import type { UdevdOptions, Walk } from '../../src/udev/udevd.ts';
import { recordingLog, type RecordingLog } from '../fixture-root.ts';
import { addDevices, eventBytes, fakeKmod, gate, makeRoot, testClock, testSystem } from './fakes.ts';
import type { FakeKmod, TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
let native: FakeNative;
let lines: RecordingLog['records'];
let system: System;
let stop: AbortController;
beforeEach(() => {
  root = makeRoot();
  native = openFakeNative();
  const recording = recordingLog();
  lines = recording.records;
  system = testSystem(root.path, { native, log: recording });
  stop = new AbortController();
});
afterEach(() => root.remove());

/** Starts the daemon; `next` resolves with the next answer of kmod, `walked` with the next walk. */
async function start(kmod: FakeKmod, options: Partial<UdevdOptions> = {}) {
  const answers = mailbox<ModuleRequest>();
  const walks = mailbox<Walk>();
  const requests = openModuleRequests(system, kmod, answers.put);
  const metrics = openMetrics();
  const udevd = await startUdevd(system, {
    handle: moduleLoader(requests), requests, journal: openJournal(system), metrics, signal: stop.signal, onWalk: walks.put, ...options,
  });
  const counted = () => metrics.report({ queued: 0, running: 0, loading: 0, uptimeMs: 0 });
  return { udevd, socket: socketOf(native), next: answers.take, walked: walks.take, counted };
}

function socketOf({ sockets: [socket] }: FakeNative): FakeUeventSocket {
  if (!socket) throw new Error('no socket was opened');
  return socket;
}

function mailbox<T>() {
  const items: T[] = [];
  const takers: ((item: T) => void)[] = [];
  return {
    put: (item: T) => {
      const taker = takers.shift();
      if (taker) taker(item);
      else items.push(item);
    },
    take: () => new Promise<T>((resolve) => {
      const item = items.shift();
      if (item === undefined) takers.push(resolve);
      else resolve(item);
    }),
  };
}

describe('startUdevd', () => {
  it('listens before it walks, so that a device that comes meanwhile is not missed', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a', subsystem: 'x' } });
    const load = gate();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }], 'x:b': [{ module: 'b' }] }, (module) => (module === 'a' ? load.opened : undefined));
    const { udevd, socket, next } = await start(kmod);
    socket.inject(eventBytes('/devices/b', 'x:b'));
    expect((await next()).result.goals[0]?.outcome).toBe('inserted');
    load.open();
    await udevd.ready;
    expect(kmod.executed.toSorted()).toEqual(['x:a', 'x:b']);
    stop.abort();
    await udevd.stopped;
    expect(native.calls.map(({ call }) => call)).toEqual(['openUeventSocket', 'closeUeventSocket']);
  });

  it('is busy from the first look at /sys to the last event, so that who waits for udev waits for the walk', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a', subsystem: 'x' } });
    const seen: string[] = [];
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] }, () => void seen.push('load'));
    const { udevd, walked } = await start(kmod, { onBusy: (busy) => seen.push(busy ? 'busy' : 'idle') });
    const { ready } = udevd;
    expect(seen).toEqual(['busy']);
    await ready;
    expect(seen).toEqual(['busy', 'load', 'idle']);
    await walked();
    udevd.resync('a test');
    await walked();
    expect(seen).toEqual(['busy', 'load', 'idle', 'busy', 'idle']);
  });

  it('loads on add only, and only where there is a modalias', async () => {
    const kmod = fakeKmod({ 'x:b': [{ module: 'b' }] });
    const { udevd, socket, next } = await start(kmod, { skipColdplug: true });
    await udevd.ready;
    for (const action of ['bind', 'change', 'remove', 'unbind', 'move']) socket.inject(eventBytes('/devices/b', 'x:b', { action }));
    socket.inject(eventBytes('/devices/c', ''));
    socket.inject(eventBytes('/devices/b', 'x:b', { seqnum: 7 }));
    const { name, devpath, result } = await next();
    expect({ name, devpath, goals: result.goals.map(({ module, outcome }) => `${module} ${outcome}`) })
      .toEqual({ name: 'x:b', devpath: '/devices/b', goals: ['b inserted'] });
    expect(kmod.planned).toEqual([{ name: 'x:b', useBlacklist: 'all' }]);
    stop.abort();
    await udevd.stopped;
  });

  it('ignores spoofed messages', async () => {
    const kmod = fakeKmod({ 'x:b': [{ module: 'b' }] });
    const { udevd, socket } = await start(kmod, { skipColdplug: true });
    socket.inject(eventBytes('/devices/b', 'x:b'), { pid: 4711, uid: 0 });
    expect(kmod.planned).toEqual([]);
    stop.abort();
    await udevd.stopped;
  });

  it('walks again after a loss and makes up the difference: one walk runs, one waits, however many losses', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a', subsystem: 'x' }, '/devices/gone': { uevent: '', subsystem: 'x' } });
    const load = gate();
    const begun = gate();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }], 'x:lost': [{ module: 'lost' }] }, async (module) => {
      if (module !== 'a') return;
      begun.open();
      await load.opened;
    });
    const seen: string[] = [];
    const { udevd, socket, walked, counted } = await start(kmod, { onEvent: ({ action, devpath }) => seen.push(`${action} ${devpath}`) });
    await begun.opened;
    for (let i = 0; i < 5; i++) socket.lose();
    load.open();
    await udevd.ready;
    expect(await walked()).toMatchObject({ devices: 2, events: 2 });
    // What was lost may have been a change that no file shows.
    expect(await walked()).toMatchObject({ devices: 2, events: 2 });
    expect(seen.splice(0).toSorted()).toEqual(['add /devices/a', 'add /devices/gone', 'change /devices/a', 'change /devices/gone']);
    // Only one walk more was pending: this one comes from the next loss.
    addDevices(root.path, { '/devices/lost': { uevent: 'MODALIAS=x:lost', subsystem: 'x' } });
    rmSync(join(root.path, 'sys/devices/gone'), { recursive: true });
    socket.lose();
    expect(await walked()).toMatchObject({ devices: 2, events: 3 });
    expect(seen.toSorted()).toEqual(['add /devices/lost', 'change /devices/a', 'remove /devices/gone']);
    expect(counted()).toMatchObject({ resyncs: 2, events: { made: 7, done: 7, failed: 0 } });
    stop.abort();
    await udevd.stopped;
  });

  it('has after a restart only the difference to make up', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a', subsystem: 'x' }, '/devices/b': { uevent: '', subsystem: 'x' } });
    const first = await start(fakeKmod({}));
    await first.udevd.ready;
    stop.abort();
    await first.udevd.stopped;
    rmSync(join(root.path, 'sys/devices/b'), { recursive: true });
    addDevices(root.path, { '/devices/c': { uevent: '', subsystem: 'x' } });
    stop = new AbortController();
    const seen: string[] = [];
    const { udevd } = await start(fakeKmod({}), { onEvent: ({ action, devpath }) => seen.push(`${action} ${devpath}`) });
    await udevd.ready;
    expect(seen).toEqual(['remove /devices/b', 'add /devices/c']);
    stop.abort();
    await udevd.stopped;
  });

  it('handles events in the order of their numbers', async () => {
    const seen: number[] = [];
    const { udevd, socket } = await start(fakeKmod({}), { skipColdplug: true, onEvent: ({ seqnum }) => seen.push(seqnum) });
    for (const seqnum of [7, 5, 6]) socket.inject(eventBytes('/devices/a', '', { seqnum }));
    udevd.receive();
    await udevd.queue.idle();
    expect(seen).toEqual([5, 6, 7]);
    stop.abort();
    await udevd.stopped;
  });

  it('logs a failed module with the words of the kernel, and absent hardware only for debugging', async () => {
    const failure = { errno: 8, code: 'ENOEXEC', syscall: 'finit_module', text: 'Exec format error', kernel: ['b: disagrees about version of symbol'] };
    const absent = { errno: 19, code: 'ENODEV', syscall: 'finit_module', text: 'No such device', kernel: [] };
    const kmod = fakeKmod({ 'x:b': [{ module: 'b', outcome: 'failed', failure }, { module: 'c', outcome: 'failed', failure: absent }, { module: 'd' }] });
    const { udevd, socket, next } = await start(kmod, { skipColdplug: true });
    socket.inject(eventBytes('/devices/b', 'x:b'));
    await next();
    expect(lines.filter(({ code }) => code.startsWith('module-')).map(({ level, message }) => `${level}: ${message}`)).toEqual([
      'info: d loaded for /devices/b (12 ms)',
      'debug: c for /devices/b: no hardware (ENODEV)',
      'warn: b for /devices/b: Exec format error (ENOEXEC); kernel: b: disagrees about version of symbol',
    ]);
    stop.abort();
    await udevd.stopped;
  });

  it('survives a plan that cannot be made and a handler that fails', async () => {
    const kmod = fakeKmod({ 'x:b': [{ module: 'b' }], 'x:c': [{ module: 'c' }] }, (module) => {
      if (module === 'c') throw new Error('broken');
    });
    const { plan } = kmod;
    kmod.plan = (name, planOptions) => {
      if (name === 'x:a') throw new Error('no index');
      return plan(name, planOptions);
    };
    const { udevd, socket, next } = await start(kmod, { skipColdplug: true });
    socket.inject(eventBytes('/devices/a', 'x:a'));
    socket.inject(eventBytes('/devices/c', 'x:c'));
    socket.inject(eventBytes('/devices/b', 'x:b'));
    expect((await next()).name).toBe('x:b');
    await udevd.queue.idle();
    expect(lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      'x:a: no index', 'add /devices/c: broken',
    ]);
    stop.abort();
    await udevd.stopped;
  });

  it('stops accepting events at once and waits for the loads under way', async () => {
    const load = gate();
    const begun = gate();
    const kmod = fakeKmod({ 'x:slow': [{ module: 'slow' }], 'x:b': [{ module: 'b' }] }, (module) => {
      if (module === 'slow') begun.open();
      return load.opened;
    });
    // The limit of the wait never comes here.
    const clock = testClock((_ms, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())));
    system = { ...system, clock };
    const { udevd, socket } = await start(kmod, { skipColdplug: true });
    socket.inject(eventBytes('/devices/slow', 'x:slow'));
    await begun.opened;
    stop.abort();
    socket.inject(eventBytes('/devices/b', 'x:b'));
    let stopped = false;
    const ended = udevd.stopped.then(() => {
      stopped = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect({ stopped, closed: socket.closed, sleeps: clock.sleeps }).toEqual({ stopped: false, closed: true, sleeps: [STOP_WAIT_MS] });
    load.open();
    await ended;
    expect(kmod.executed).toEqual(['x:slow']);
    expect(lines.filter(({ code }) => code === 'stop-abandons')).toEqual([]);
  });

  it('gives up waiting after its limit and names what it leaves behind', async () => {
    addDevices(root.path, { '/devices/slow': { uevent: 'MODALIAS=x:slow', subsystem: 'x' } });
    const begun = gate();
    const kmod = fakeKmod({ 'x:slow': [{ module: 'slow' }] }, () => {
      begun.open();
      return gate().opened;
    });
    const { udevd } = await start(kmod);
    await begun.opened;
    stop.abort();
    await expect(udevd.ready).rejects.toThrow('aborted');
    await udevd.stopped;
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([
      { level: 'warn', code: 'stop-abandons', message: 'stopping while events are under way: /devices/slow (loading x:slow)' },
    ]);
  });

  it('ends with an error when the socket dies', async () => {
    const { udevd, socket } = await start(fakeKmod({}), { skipColdplug: true });
    socket.fail(9);
    await expect(udevd.stopped).rejects.toMatchObject({ code: 'EBADF' });
  });

  it('cannot become ready where there is no /sys/devices', async () => {
    rmSync(join(root.path, 'sys'), { recursive: true });
    const { udevd } = await start(fakeKmod({}));
    await expect(udevd.ready).rejects.toMatchObject({ code: 'ENOENT' });
    stop.abort();
    await udevd.stopped;
  });

  it('does not start where the socket cannot be had', async () => {
    native = openFakeNative({ answers: [{ call: 'openUeventSocket', errno: 93, syscall: 'socket' }] });
    system = { ...system, native: async () => native };
    await expect(start(fakeKmod({}))).rejects.toMatchObject({ code: 'EPROTONOSUPPORT', syscall: 'socket' });
  });
});
