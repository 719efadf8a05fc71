// The queue of events: relatives in order, the rest at the same time.

import { describe, expect, it } from 'vitest';

import { openQueue } from '../../src/udev/queue.ts';
import type { QueueOptions } from '../../src/udev/queue.ts';
import { parseUeventMessage } from '../../src/udev/uevent.ts';
import { eventBytes, gate, testClock, ueventBytes } from './fakes.ts';

const event = (devpath: string, seqnum = 1) => parseUeventMessage(eventBytes(devpath, 'x:a', { seqnum }));

/** A queue whose events end when their gate opens; events without one end at once. */
function start(options: Partial<QueueOptions> = {}, gates: Readonly<Record<string, ReturnType<typeof gate>>> = {}) {
  const seen: string[] = [];
  const queue = openQueue({
    clock: testClock(),
    handle: async ({ devpath }, report) => {
      seen.push(`start ${devpath}`);
      report({ what: 'module', name: 'm' });
      await gates[devpath]?.opened;
      seen.push(`end ${devpath}`);
    },
    onError: ({ devpath }, error) => seen.push(`error ${devpath} ${String(error)}`),
    onOverflow: ({ devpath }) => seen.push(`overflow ${devpath}`),
    onBusy: (busy) => seen.push(busy ? 'busy' : 'idle'),
    ...options,
  });
  return { queue, seen };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('openQueue', () => {
  it('runs strangers at the same time, and is idle when the last has ended', async () => {
    const gates = { '/a': gate(), '/b': gate() };
    const { queue, seen } = start({}, gates);
    await queue.idle();
    queue.push(event('/a'));
    queue.push(event('/b'));
    expect(queue.size).toBe(2);
    await turn();
    gates['/b'].open();
    await turn();
    gates['/a'].open();
    await queue.idle();
    expect({ seen, size: queue.size }).toEqual({ seen: ['busy', 'start /a', 'start /b', 'end /b', 'end /a', 'idle'], size: 0 });
  });

  it('runs relatives one after the other, in the order in which they came', async () => {
    const gates = { '/a/b': gate(), '/a': gate() };
    const { queue, seen } = start({}, gates);
    for (const devpath of ['/a/b', '/a', '/a/c', '/d']) queue.push(event(devpath));
    await turn();
    expect(seen).toEqual(['busy', 'start /a/b', 'start /d', 'end /d']);
    gates['/a/b'].open();
    await turn();
    await turn();
    gates['/a'].open();
    await queue.idle();
    expect(seen.slice(4)).toEqual(['end /a/b', 'start /a', 'end /a', 'start /a/c', 'end /a/c', 'idle']);
  });

  it('runs devices that have the same name in the database one after the other, wherever they are', async () => {
    const gates = { '/hub/wakeup/wakeup36': gate(), '/other/wakeup36': gate() };
    const { queue, seen } = start({}, gates);
    const wakeup = (action: string, devpath: string) => parseUeventMessage(ueventBytes({ ACTION: action, DEVPATH: devpath, SUBSYSTEM: 'wakeup', SEQNUM: '1' }));
    queue.push(wakeup('remove', '/hub/wakeup/wakeup36'));
    queue.push(wakeup('add', '/acpi/wakeup/wakeup36'));
    queue.push(wakeup('add', '/acpi/wakeup/wakeup37'));
    queue.push(event('/other/wakeup36'));
    await turn();
    expect(seen).toEqual(['busy', 'start /hub/wakeup/wakeup36', 'start /acpi/wakeup/wakeup37', 'start /other/wakeup36', 'end /acpi/wakeup/wakeup37']);
    gates['/hub/wakeup/wakeup36'].open();
    gates['/other/wakeup36'].open();
    await queue.idle();
    expect(seen.slice(5)).toEqual(['end /hub/wakeup/wakeup36', 'end /other/wakeup36', 'start /acpi/wakeup/wakeup36', 'end /acpi/wakeup/wakeup36', 'idle']);
  });

  it('runs no more at a time than it may', async () => {
    const gates = { '/a': gate(), '/b': gate() };
    const { queue, seen } = start({ parallel: 1 }, gates);
    for (const devpath of ['/a', '/b']) queue.push(event(devpath));
    await turn();
    expect(seen).toEqual(['busy', 'start /a']);
    queue.parallel = 2;
    await turn();
    expect(seen).toEqual(['busy', 'start /a', 'start /b']);
    gates['/a'].open();
    gates['/b'].open();
    await queue.idle();
  });

  it('starts urgent events before others, and no relative before its turn', async () => {
    const { queue, seen } = start({ urgent: ({ devpath }) => devpath.endsWith('!') });
    for (const devpath of ['/a', '/b', '/b/c!', '/d!', '/e', '/f!']) queue.push(event(devpath));
    await queue.idle();
    expect(seen.filter((line) => line.startsWith('start'))).toEqual(['start /d!', 'start /f!', 'start /a', 'start /b', 'start /e', 'start /b/c!']);
  });

  it('starts nothing while it is paused', async () => {
    const { queue, seen } = start();
    queue.pause();
    queue.push(event('/a'));
    await turn();
    expect(seen).toEqual(['busy']);
    queue.resume();
    await queue.idle();
    expect(seen).toEqual(['busy', 'start /a', 'end /a', 'idle']);
  });

  it('says what is pending, what it does, and whom it waits for', async () => {
    const gates = { '/a': gate() };
    const { queue } = start({}, gates);
    queue.push(event('/a', 1));
    queue.push(event('/a/b', 2));
    await turn();
    expect(queue.pending().map(({ event: { seqnum }, state, activity, waitsFor }) => ({ seqnum, state, activity, waitsFor: waitsFor?.seqnum }))).toEqual([
      { seqnum: 1, state: 'running', activity: { what: 'module', name: 'm' }, waitsFor: undefined },
      { seqnum: 2, state: 'waiting', activity: undefined, waitsFor: 1 },
    ]);
    gates['/a'].open();
    await queue.idle();
    expect(queue.pending()).toEqual([]);
  });

  it('refuses events beyond its limit', async () => {
    const { queue, seen } = start({ limit: 2 });
    for (const devpath of ['/a', '/b', '/c']) queue.push(event(devpath));
    expect(seen).toEqual(['busy', 'overflow /c']);
    await queue.idle();
  });

  it('tells of a handler that rejects, and goes on', async () => {
    const { queue, seen } = start({
      handle: ({ devpath }) => (devpath === '/a' ? Promise.reject(new Error('broken')) : Promise.resolve()),
    });
    queue.push(event('/a'));
    queue.push(event('/a/b'));
    await queue.idle();
    expect(seen).toEqual(['busy', 'error /a Error: broken', 'idle']);
  });

  it('takes a flood for one device without growing slower', async () => {
    const { queue, seen } = start();
    for (let i = 0; i < 20_000; i++) queue.push(event('/devices/virtual/mem/null', i + 1));
    await queue.idle();
    expect(seen.length).toBe(40_002);
  });
});
