// tskmod top: the screen as pure lines, and blocks for a pipe.

import { describe, expect, it } from 'vitest';

import { topScreen } from '../../src/applets/top-screen.ts';
import { topApplet } from '../../src/applets/top.ts';
import { openSystem } from '../../src/system.ts';
import type { DaemonStatus } from '../../src/udev/status-socket.ts';
import { openStatusServer } from '../../src/udev/status-socket.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const STATUS: DaemonStatus = {
  schema: 1, pid: 42,
  events: { received: 1200, made: 389, done: 1580, failed: 2, dropped: 0, queued: 6, running: 1 },
  resyncs: 1, modules: { loaded: 19, failed: 1, loading: 1 }, programs: { run: 7, failed: 1, timedOut: 0 },
  latencyMs: { p50: 1.25, p90: 4, p99: 20.06, max: 900 }, residentMemory: 80 * 2 ** 20, uptimeMs: 93_784_000,
  pending: [
    { action: 'add', devpath: '/devices/a/b', seqnum: 8, state: 'waiting', ms: 1500, waitsFor: '/devices/a' },
    { action: 'add', devpath: `/devices/${'pci0000:00/'.repeat(12)}a`, seqnum: 7, state: 'running', ms: 2000, activity: { what: 'module', name: 'pci:v1' } },
    { action: 'change', devpath: '/devices/c', seqnum: 9, state: 'waiting', ms: 12 },
  ],
  loading: ['pci:v1'],
};
const BEFORE = { ...STATUS, events: { ...STATUS.events, received: 1000, done: 1480 }, modules: { ...STATUS.modules, loaded: 18 } };

const HEAD = `tsudevd  process 42, up 26:03:04, 80.0 MiB
events   1200 of the kernel (100/s)  1580 done (50/s)  2 failed  0 dropped  1 r…
modules  19 loaded (1/s)  1 failed   programs  7 run (0/s)  1 failed  0 timed o…
latency  p50 1.3 ms  p90 4.0 ms  p99 20.1 ms  max 900.0 ms
loading  pci:v1
queue    1 running  6 waiting

`;

describe('topScreen', () => {
  it('fits 80 columns, with rates, and running events first', () => {
    const lines = topScreen({ status: STATUS, atMs: 5000 }, { status: BEFORE, atMs: 3000 }, { columns: 80, rows: 24 });
    expect(lines.join('\n')).toBe(`${HEAD}STATE        SINCE ACTION  DEVICE
running      2.0 s add     …0/pci0000:00/pci0000:00/pci0000:00/a  loading pci:v1
waiting      1.5 s add     /devices/a/b  behind its relative
waiting      0.0 s change  /devices/c
and 4 more`);
  });

  it('leaves out what has no room', () => {
    const lines = topScreen({ status: STATUS, atMs: 5000 }, { status: BEFORE, atMs: 3000 }, { columns: 80, rows: 10 });
    expect(lines.slice(7).map((line) => line.slice(0, 30))).toEqual(['STATE        SINCE ACTION  DEV', 'running      2.0 s add     …0/', 'and 6 more']);
    expect(Math.max(...topScreen({ status: STATUS, atMs: 1 }, undefined, { columns: 30, rows: 40 }).map((line) => line.length))).toBe(30);
  });
});

describe('tskmod top', () => {
  it('prints blocks where there is no terminal, one by default', async () => {
    const root = fixtureRoot({});
    const server = await openStatusServer(openSystem({ root }), () => ({ ...STATUS, pending: [] }));
    const one = await runApplet(topApplet, [], { root });
    expect(one.status).toBe(0);
    expect(one.stdout.split('\n').map((line) => line.split(' ')[0])).toEqual(['tsudevd', 'events', 'modules', 'latency', 'loading', 'queue', '', '']);
    const two = await runApplet(topApplet, ['-d', '0.01', '-n', '2'], { root });
    expect(two.stdout.split('\n\n').map((block) => block.trim().split('\n').length)).toEqual([6, 6, 1]);
    await server.close();
    expect(await runApplet(topApplet, [], { root })).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/^top: tsudevd is not running /) as string });
  });

  it('refuses a delay that is none', async () => {
    expect(await runApplet(topApplet, ['-d', '0'], { root: fixtureRoot({}) })).toMatchObject({ status: 1, stderr: "top: --delay takes a number from above 0 to 86400, not '0'\n" });
  });
});
