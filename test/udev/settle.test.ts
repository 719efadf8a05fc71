// Waiting for the daemon, what it says meanwhile, and the socket on which it says it.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openMetrics } from '../../src/udev/metrics.ts';
import { formatPending, goalTest, settle } from '../../src/udev/settle.ts';
import { openStatusServer, readStatus, statusPath } from '../../src/udev/status-socket.ts';
import type { DaemonStatus, PendingReport } from '../../src/udev/status-socket.ts';
import { makeRoot, testClock, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
  mkdirSync(join(root.path, 'run/udev'), { recursive: true });
});
afterEach(() => root.remove());

const event = (more: Partial<PendingReport>): PendingReport => ({ action: 'add', devpath: '/devices/a', seqnum: 1, state: 'running', ms: 1234, ...more });

function statusWith(pending: readonly PendingReport[]): DaemonStatus {
  return { schema: 1, pid: 7, ...openMetrics().report({ queued: 0, running: 1, loading: 0, uptimeMs: 5 }), pending, loading: [] };
}

describe('settle', () => {
  it('is true at once where nothing is pending, and when the queue is worked off', async () => {
    const queue = join(root.path, 'run/udev/queue');
    const clock = testClock(() => {
      if (clock.sleeps.length === 3) rmSync(queue);
    });
    const system = testSystem(root.path, { clock });
    expect([await settle(system, { timeoutMs: 1000 }), clock.sleeps.length]).toEqual([true, 0]);
    writeFileSync(queue, '');
    expect([await settle(system, { timeoutMs: 1000 }), clock.sleeps.length]).toEqual([true, 3]);
  });

  it('is false when the time is over, and tells every second what the daemon says', async () => {
    writeFileSync(join(root.path, 'run/udev/queue'), '');
    const system = testSystem(root.path);
    const server = await openStatusServer(system, () => statusWith([event({})]));
    const told: (string | undefined)[] = [];
    expect(await settle(system, { timeoutMs: 2100, onWait: (status, ms) => told.push(`${Math.floor(ms / 1000)} ${status?.pending.map(formatPending).join()}`) })).toBe(false);
    expect(told).toEqual(['1 add /devices/a: running for 1.2 s', '2 add /devices/a: running for 1.2 s']);
    await server.close();
    expect(await settle(system, { timeoutMs: 0 })).toBe(false);
  });

  it('waits for one thing whatever else is pending, and needs no daemon for its ping', async () => {
    writeFileSync(join(root.path, 'run/udev/queue'), '');
    const clock = testClock(() => {
      if (clock.sleeps.length === 2) mkdirSync(join(root.path, 'sys/module/a_b'), { recursive: true });
    });
    const system = testSystem(root.path, { clock });
    expect(await settle(system, { timeoutMs: 1000, until: goalTest(system, 'a-b'), ping: true })).toBe(true);
  });
});

describe('formatPending', () => {
  it.each<[Partial<PendingReport>, string]>([
    [{ state: 'waiting' }, 'waiting for 1.2 s'], [{ state: 'waiting', waitsFor: '/devices' }, 'waiting for 1.2 s behind /devices'],
    [{ activity: { what: 'rules' } }, 'in its rules for 1.2 s'], [{ activity: { what: 'lock', name: 'sda' } }, 'waiting for the lock of sda for 1.2 s'],
    [{ activity: { what: 'module', name: 'pci:x' } }, 'loading pci:x for 1.2 s'],
    [{ activity: { what: 'program', name: '/bin/x y', rule: 'a.rules:3' } }, "running '/bin/x y' (a.rules:3) for 1.2 s"],
    [{ activity: { what: 'builtin', name: 'blkid', rule: 'a.rules:3' } }, "in builtin 'blkid' (a.rules:3) for 1.2 s"],
  ])('says what %j means', (more, text) => {
    expect(formatPending(event(more))).toBe(`add /devices/a: ${text}`);
  });
});

describe('readStatus', () => {
  it('gives what the daemon says, with the oldest thousand of its events', async () => {
    const system = testSystem(root.path);
    expect(await readStatus(system)).toBeUndefined();
    const server = await openStatusServer(system, () => statusWith(Array.from({ length: 1500 }, (_, seqnum) => event({ seqnum }))));
    const status = await readStatus(system);
    expect([status?.pid, status?.pending.length, status?.pending.at(-1)?.seqnum]).toEqual([7, 1000, 999]);
    await server.close();
    // A socket that a killed daemon left.
    expect(await readStatus(system)).toBeUndefined();
  });

  it.each([['no json', 'a JSON object'], ['{"schema":2}', 'schema 1'], ['null', 'schema 1']])('refuses %j', async (answer, expected) => {
    const system = testSystem(root.path);
    const server = createServer((socket) => socket.end(answer));
    await new Promise<void>((resolve) => server.listen(statusPath(system), resolve));
    await expect(readStatus(system)).rejects.toThrow(expected);
    await new Promise((resolve) => server.close(resolve));
  });
});
