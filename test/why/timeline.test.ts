// The timeline of a small boot: parts of events and loads, the critical path, and what the file of events keeps.

import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { timelineApplet } from '../../src/applets/timeline.ts';
import { type Decision, formatDecision } from '../../src/udev/decision-record.ts';
import { eventLogPath, openEventLog, readEventLog } from '../../src/udev/event-log.ts';
import { type EventTiming, openQueue } from '../../src/udev/queue.ts';
import type { Uevent } from '../../src/udev/uevent.ts';
import { type Timeline } from '../../src/why/timeline.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { testSystem } from '../udev/fakes.ts';

const load = (module: string, at: number, initMs: number) => ({ module, path: '', at, waitMs: 1, readMs: 2, decompressMs: 0, initMs, outcome: 'inserted' } as const);
const decision = (devpath: string, at: number, loads: Decision['loads']): Decision => ({ name: 'x', devpath, at, ms: 1, modules: [], loads });
const uevent = (devpath: string): Uevent => ({ action: 'add', devpath, subsystem: 'x', seqnum: 1, properties: new Map() });
const timing = (devpath: string, [queuedAt, readyAt, startedAt, endedAt]: readonly [number, number, number, number], waitedFor?: string): EventTiming => ({
  event: uevent(devpath), queuedAt, readyAt, startedAt, endedAt, waitedFor: waitedFor === undefined ? undefined : uevent(waitedFor),
  activities: [{ what: 'rules', at: startedAt }, { what: 'builtin', name: 'kmod load', at: startedAt + 2 }],
});

/** The bus's driver loads for 50 ms and finds the card; the card's event waits for the bus's, and loads for 30; another device loads nothing. */
function boot(): string {
  const root = fixtureRoot({
    'run/udev/tsudevd.decisions': formatDecision(decision('/devices/bus', 1003, [load('bus', 1005, 50)])) + formatDecision(decision('/devices/bus/card', 1065, [load('card', 1070, 30)])),
  });
  const log = openEventLog(testSystem(root));
  log.note(timing('/devices/other', [1000, 1000, 1001, 1006]));
  log.note(timing('/devices/bus', [1000, 1000, 1001, 1060]));
  log.note(timing('/devices/bus/card', [1030, 1060, 1061, 1105], '/devices/bus'));
  log.flush();
  return root;
}

async function timeline(root: string, ...argv: string[]): Promise<string> {
  const { stdout, stderr } = await runApplet(timelineApplet, argv, { root, native: openFakeNative() });
  return stdout + stderr.replaceAll(root, '');
}

describe('tskmod timeline', () => {
  it('shows people the critical path and the longest loads and events', async () => {
    expect(await timeline(boot())).toBe(`3 events and 2 loads from 1.000 s to 1.105 s after the boot began

critical path
* 1.000 s  60.0 ms  add event  builtin 57.0, rules 2.0, queue 1.0                   /devices/bus
* 1.004 s  53.0 ms  bus        init 50.0, read 2.0, wait 1.0                        /devices/bus
* 1.030 s  75.0 ms  add event  builtin 42.0, dependency 30.0, rules 2.0, queue 1.0  /devices/bus/card
* 1.069 s  33.0 ms  card       init 30.0, read 2.0, wait 1.0                        /devices/bus/card

longest loads, without waiting
* 1.004 s  53.0 ms  bus   init 50.0, read 2.0, wait 1.0  /devices/bus
* 1.069 s  33.0 ms  card  init 30.0, read 2.0, wait 1.0  /devices/bus/card

longest events, without waiting
* 1.000 s  60.0 ms  add event  builtin 57.0, rules 2.0, queue 1.0                   /devices/bus
* 1.030 s  75.0 ms  add event  builtin 42.0, dependency 30.0, rules 2.0, queue 1.0  /devices/bus/card
  1.000 s   6.0 ms  add event  builtin 3.0, rules 2.0, queue 1.0                    /devices/other
`);
  });

  it('is the same as data, as a trace and as a picture', async () => {
    const root = boot();
    const { items, criticalPath } = JSON.parse(await timeline(root, '--json')) as Timeline;
    expect(criticalPath.map((at) => items[at]?.critical)).toEqual([true, true, true, true]);
    expect(items.filter(({ critical }) => !critical).map(({ devpath }) => devpath)).toEqual(['/devices/other']);
    for (const { at, ms, parts } of items) {
      for (const part of parts) expect([part.at >= at, part.at + part.ms <= at + ms + 0.001]).toEqual([true, true]);
    }
    const { traceEvents } = JSON.parse(await timeline(root, '--trace')) as { traceEvents: Record<string, unknown>[] };
    for (const event of traceEvents) {
      expect(event).toMatchObject({ pid: expect.any(Number), tid: expect.any(Number), name: expect.any(String), args: expect.any(Object) });
      if (event['ph'] === 'X') expect([typeof event['ts'], typeof event['dur']]).toEqual(['number', 'number']);
      else expect(event['ph']).toBe('M');
    }
    expect(traceEvents.filter(({ cat }) => cat === 'event' || cat === 'load')).toHaveLength(items.length);
    const svg = await timeline(root, '--svg');
    expect(svg.match(/<g>/g)).toHaveLength(items.length);
    expect(svg.match(/stroke="#c0392b"/g)).toHaveLength(criticalPath.length);
  });

  it('says where nothing is recorded, and refuses two forms', async () => {
    expect(await timeline(fixtureRoot({}))).toMatch(/^timeline: nothing is recorded in \/run\/udev\/tsudevd\.events/);
    expect(await timeline(boot(), '--svg', '--json')).toBe('timeline: only one of --svg, --json and --trace\n');
  });
});

describe('the log of events', () => {
  it('keeps the first events within its limit, over a restart, and passes over lines that are none', () => {
    const root = fixtureRoot({ 'run/udev/tsudevd.events': 'null\n{"action":"add"}\n' });
    const system = testSystem(root);
    for (let round = 0; round < 2; round++) {
      const log = openEventLog(system, 1000);
      for (let i = 0; i < 20; i++) log.note(timing(`/devices/${round}/${i}`, [1, 2, 3, 4.0004]));
      log.flush();
    }
    expect(statSync(eventLogPath(system)).size).toBeLessThanOrEqual(1000);
    const kept = readEventLog(system);
    expect(kept.map(({ devpath }) => devpath)).toEqual(Array.from({ length: kept.length }, (_, i) => `/devices/0/${i}`));
    expect(kept[0]).toEqual({
      action: 'add', devpath: '/devices/0/0', subsystem: 'x', queued: 1, ready: 2, started: 3, ended: 4,
      activities: [{ what: 'rules', at: 3 }, { what: 'builtin', name: 'kmod load', at: 5 }],
    });
  });

  it('is told by the queue what an event waited for', async () => {
    let now = 0;
    const done: EventTiming[] = [];
    const queue = openQueue({
      clock: { now: () => now, sleep: async () => undefined }, onError: () => undefined, onOverflow: () => undefined, onDone: (each) => done.push(each),
      handle: async (_, report) => {
        report({ what: 'rules' });
        now += 10;
      },
    });
    queue.push(uevent('/devices/a'));
    queue.push(uevent('/devices/a/b'));
    await queue.idle();
    expect(done.map(({ event, readyAt, startedAt, endedAt, waitedFor, activities }) => [event.devpath, readyAt, startedAt, endedAt, waitedFor?.devpath, activities])).toEqual([
      ['/devices/a', 0, 0, 10, undefined, [{ what: 'rules', at: 0 }]],
      ['/devices/a/b', 10, 10, 20, '/devices/a', [{ what: 'rules', at: 10 }]],
    ]);
  });
});
