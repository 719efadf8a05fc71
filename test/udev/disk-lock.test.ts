// The lock of a disk while its event is handled.

import { closeSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { lockDisk } from '../../src/udev/disk-lock.ts';
import { openDevice } from '../../src/udev/sysfs-device.ts';
import { recordingLog } from '../fixture-root.ts';
import { addDevices, makeRoot, testClock, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
  addDevices(root.path, {
    '/devices/block/sda': { uevent: 'MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n', subsystem: 'block' },
    '/devices/block/sda/sda1': { uevent: 'MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n', subsystem: 'block' },
    '/devices/block/dm-0': { uevent: 'MAJOR=253\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\n', subsystem: 'block' },
  });
  for (const name of ['sda', 'sda1', 'dm-0']) writeFileSync(join(root.path, 'dev', name), '');
});
afterEach(() => root.remove());

function setUp(times: number) {
  const EAGAIN = 11;
  const native = openFakeNative({ answers: [{ call: 'flock', errno: EAGAIN, times }] });
  const clock = testClock();
  const log = recordingLog();
  const lines = log.records;
  const system = testSystem(root.path, { native, clock, log });
  const lock = (devpath: string, onWait = () => undefined) => {
    const device = openDevice(system, devpath);
    if (!device) throw new Error(devpath);
    return lockDisk(system, device, {}, onWait);
  };
  return { native, clock, lines, lock };
}

describe('lockDisk', () => {
  it('locks the whole disk, shared, also for a partition, and waits while another has it', async () => {
    const { native, clock, lock } = setUp(2);
    let waits = 0;
    const fd = await lock('/devices/block/sda/sda1', () => void waits++);
    expect([fd !== undefined, waits, clock.sleeps, native.calls.map((call) => ('operation' in call ? call.operation : call.call))]).toEqual([true, 2, [200, 200], [5, 5, 5]]);
    if (fd !== undefined) closeSync(fd);
  });

  it('goes on without it after three minutes, and says so', async () => {
    const { clock, lines, lock } = setUp(Infinity);
    expect(await lock('/devices/block/sda')).toBeUndefined();
    expect(clock.sleeps.reduce((sum, ms) => sum + ms, 0)).toBe(180_000);
    expect(lines.map(({ code }) => code)).toEqual(['disk-locked']);
  });

  it('locks neither what is made of disks, nor what has no node', async () => {
    const { native, lock } = setUp(0);
    expect(await lock('/devices/block/dm-0')).toBeUndefined();
    root.remove();
    expect(await lock('/devices/block/sda')).toBeUndefined();
    expect(native.calls).toEqual([]);
  });
});
