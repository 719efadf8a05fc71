// What the daemon makes of its own process.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { openIdleMemory } from '../../src/udev/idle-memory.ts';
import { dropCapabilities, KEPT_CAPABILITIES, settleOwnProcess } from '../../src/udev/own-process.ts';
import { recordingLog } from '../fixture-root.ts';
import { makeRoot, testClock, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

describe('settleOwnProcess', () => {
  it('keeps descriptors from children, lowers the OOM score, and gives programs the one that it had', async () => {
    for (const name of ['self/fd', '77']) mkdirSync(join(root.path, 'proc', name), { recursive: true });
    for (const fd of ['0', '1', '2', '3', '251']) writeFileSync(join(root.path, 'proc/self/fd', fd), '');
    const scoreOf = (pid: string) => readFileSync(join(root.path, 'proc', pid, 'oom_score_adj'), 'utf8').trim();
    writeFileSync(join(root.path, 'proc/self/oom_score_adj'), '12\n');
    writeFileSync(join(root.path, 'proc/77/oom_score_adj'), '-999\n');
    const native = openFakeNative();
    const own = await settleOwnProcess(testSystem(root.path, { native }));
    expect(native.calls).toEqual([{ call: 'setCloseOnExec', fd: 251 }, { call: 'setCloseOnExec', fd: 3 }]);
    own.adopt(77);
    own.adopt(78);
    expect([scoreOf('self').split('\n')[0], scoreOf('77').split('\n')[0]]).toEqual(['-1000', '12']);
  });
});

describe('dropCapabilities', () => {
  it('keeps those of the unit file', async () => {
    const unit = readFileSync(new URL('../../packaging/systemd/tsudevd.service', import.meta.url), 'utf8');
    expect(Object.keys(KEPT_CAPABILITIES).toSorted()).toEqual(/^CapabilityBoundingSet=(.*)$/m.exec(unit)?.[1]?.split(' ').toSorted());
    const log = recordingLog();
    const lines = log.records;
    await dropCapabilities(testSystem(root.path, { log, native: openFakeNative({ answers: [{ call: 'limitCapabilities', errno: 1 }] }) }));
    expect(lines.map(({ message }) => message)).toEqual(['capabilities cannot be dropped: EPERM']);
  });
});

describe('openIdleMemory', () => {
  it('collects twice in a quiet spell, when memory has grown, and sets no timer afterwards', async () => {
    const native = openFakeNative();
    const clock = testClock();
    const collected: number[] = [];
    let rss = 100 << 20;
    const memory = openIdleMemory(testSystem(root.path, { native, clock }), { rss: () => rss, collect: () => collected.push(rss >> 20) });
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    memory.onBusy(true);
    memory.onBusy(false);
    await settled();
    expect({ collected, sleeps: clock.sleeps, trims: native.calls.length }).toEqual({ collected: [100, 100], sleeps: [2000, 6000], trims: 2 });
    memory.onBusy(true);
    memory.onBusy(false);
    await settled();
    expect({ collected, sleeps: clock.sleeps }).toEqual({ collected: [100, 100], sleeps: [2000, 6000, 2000] });
    rss = 120 << 20;
    memory.onBusy(true);
    memory.onBusy(false);
    await settled();
    expect(collected).toEqual([100, 100, 120, 120]);
    memory.close();
  });
});
