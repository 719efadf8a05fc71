// The daemon: events while it starts, losses, reloads, and its end.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeNative, FakeUeventSocket } from '../../native-bindings/fake.ts';
import type { System } from '../../src/system.ts';
import type { ColdplugSummary } from '../../src/udev/coldplug.ts';
import type { EventResult } from '../../src/udev/load.ts';
import { STOP_WAIT_MS, startUdevd } from '../../src/udev/udevd.ts';
import type { UdevdOptions } from '../../src/udev/udevd.ts';
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

/** Starts the daemon; `next` resolves with the next result of an event, `walked` with the next coldplug. */
async function start(kmod: FakeKmod, options: Partial<UdevdOptions> = {}) {
  const events = mailbox<EventResult>();
  const walks = mailbox<ColdplugSummary>();
  const udevd = await startUdevd(system, kmod, { signal: stop.signal, onEvent: events.put, onColdplug: walks.put, ...options });
  return { udevd, socket: socketOf(native), next: events.take, walked: walks.take };
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
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' } });
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

  it('loads on add only, and only where there is a modalias', async () => {
    const kmod = fakeKmod({ 'x:b': [{ module: 'b' }] });
    const { udevd, socket, next } = await start(kmod, { skipColdplug: true });
    await udevd.ready;
    for (const action of ['bind', 'change', 'remove', 'unbind', 'move']) socket.inject(eventBytes('/devices/b', 'x:b', { action }));
    socket.inject(eventBytes('/devices/c', ''));
    socket.inject(eventBytes('/devices/b', 'x:b', { seqnum: 7 }));
    const { event, modalias, result } = await next();
    expect({ action: event.action, seqnum: event.seqnum, modalias, goals: result.goals.map(({ module, outcome }) => `${module} ${outcome}`) })
      .toEqual({ action: 'add', seqnum: 7, modalias: 'x:b', goals: ['b inserted'] });
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

  it('walks again after a loss: one walk runs, one waits, however many losses', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' } });
    const load = gate();
    const begun = gate();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }], 'x:lost': [{ module: 'lost' }] }, async (module) => {
      if (module !== 'a') return;
      begun.open();
      await load.opened;
    });
    const { udevd, socket, walked } = await start(kmod);
    await begun.opened;
    for (let i = 0; i < 5; i++) socket.lose();
    load.open();
    await udevd.ready;
    expect((await walked()).rounds[0]).toMatchObject({ devices: 1, loaded: 1 });
    expect((await walked()).rounds).toMatchObject([{ devices: 1, modaliases: 1, loaded: 0 }, { modaliases: 0 }]);
    // Only one walk more was pending: this one comes from the next loss.
    addDevices(root.path, { '/devices/lost': { uevent: 'MODALIAS=x:lost' } });
    socket.lose();
    expect((await walked()).rounds[0]).toMatchObject({ devices: 2, loaded: 1 });
    stop.abort();
    await udevd.stopped;
    expect(kmod.executed.filter((target) => target === 'x:lost')).toEqual(['x:lost']);
  });

  it('shows the next event the configuration as it is after a reload', async () => {
    const kmod = fakeKmod({ 'x:b': [{ module: 'b' }] });
    const { udevd } = await start(kmod, { skipColdplug: true });
    udevd.reload();
    expect(kmod.reloads).toBe(1);
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
    expect((await next()).modalias).toBe('x:b');
    expect(lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      '/devices/a: x:a: no index', 'add /devices/c: broken',
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
    addDevices(root.path, { '/devices/slow': { uevent: 'MODALIAS=x:slow' } });
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
      { level: 'warn', code: 'stop-abandons', message: 'stopping while loads are under way: x:slow' },
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
    await expect(startUdevd(system, fakeKmod({}), { signal: stop.signal })).rejects.toMatchObject({ code: 'EPROTONOSUPPORT', syscall: 'socket' });
  });
});
