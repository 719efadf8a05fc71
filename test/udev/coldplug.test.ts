// Coldplug: rounds, what they gather, when they end, and what they do about failures.

import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { SystemError } from '../../src/errors.ts';
import { coldplug, planColdplug, ROUNDS_MAX } from '../../src/udev/coldplug.ts';
import type { ColdplugProgress } from '../../src/udev/coldplug.ts';
import { outcomesByModule } from '../../src/udev/outcome.ts';
import { recordingLog } from '../fixture-root.ts';
import { addDevices, fakeKmod, gate, makeRoot, testClock, testSystem, type TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

describe('coldplug', () => {
  it('goes on in rounds while loading a bus driver makes new devices', async () => {
    addDevices(root.path, {
      '/devices/pci0000:00/0000:00:02.0': { uevent: 'MODALIAS=pci:xhci' },
      '/devices/pci0000:00/0000:00:03.0': { uevent: 'MODALIAS=pci:nic' },
    });
    const kmod = fakeKmod({
      'pci:xhci': [{ module: 'xhci_pci', needs: ['xhci_hcd'] }],
      'pci:nic': [{ module: 'e1000e' }],
      'usb:stick': [{ module: 'usb_storage' }],
      'scsi:t-0x00': [{ module: 'sd_mod' }],
    }, (module) => {
      if (module === 'xhci_pci') addDevices(root.path, { '/devices/pci0000:00/0000:00:02.0/usb1/1-1': { uevent: 'MODALIAS=usb:stick' } });
      if (module === 'usb_storage') addDevices(root.path, { '/devices/pci0000:00/0000:00:02.0/usb1/1-1/host0': { uevent: 'MODALIAS=scsi:t-0x00' } });
    });
    const progress: ColdplugProgress[] = [];
    const summary = await coldplug(testSystem(root.path), kmod, { onProgress: (state) => progress.push(state) });
    expect({ ...summary, aliases: summary.aliases.map(({ modalias, devices }) => [modalias, ...devices]) }).toEqual({
      devices: 4,
      modaliases: 4,
      settled: true,
      ms: 0,
      rounds: [
        { devices: 2, modaliases: 2, loaded: 3, ms: 0 },
        { devices: 3, modaliases: 1, loaded: 1, ms: 0 },
        { devices: 4, modaliases: 1, loaded: 1, ms: 0 },
        { devices: 4, modaliases: 0, loaded: 0, ms: 0 },
      ],
      aliases: [
        ['pci:xhci', '/devices/pci0000:00/0000:00:02.0'],
        ['pci:nic', '/devices/pci0000:00/0000:00:03.0'],
        ['usb:stick', '/devices/pci0000:00/0000:00:02.0/usb1/1-1'],
        ['scsi:t-0x00', '/devices/pci0000:00/0000:00:02.0/usb1/1-1/host0'],
      ],
    });
    expect(outcomesByModule(summary.aliases).loaded.map(({ module }) => module)).toEqual(['xhci_hcd', 'xhci_pci', 'e1000e', 'usb_storage', 'sd_mod']);
    expect(progress[0]).toEqual({ devices: 2, modaliases: 2, loaded: 0 });
    expect(progress.at(-1)).toEqual({ devices: 4, modaliases: 4, loaded: 5 });
  });

  it('plans each distinct modalias once, with the blacklist for every name, before the first load', async () => {
    addDevices(root.path, {
      '/devices/cpu0': { uevent: 'MODALIAS=cpu:a' }, '/devices/cpu1': { uevent: 'MODALIAS=cpu:a' },
      '/devices/rtc': { uevent: 'MODALIAS=acpi:rtc' }, '/devices/none': { uevent: 'MODALIAS=' },
    });
    let plannedAtFirstLoad = 0;
    const kmod = fakeKmod({ 'cpu:a': [{ module: 'kvm' }] }, () => {
      plannedAtFirstLoad = kmod.planned.length;
    });
    const summary = await coldplug(testSystem(root.path), kmod);
    expect(kmod.planned).toEqual([{ name: 'cpu:a', useBlacklist: 'all' }, { name: 'acpi:rtc', useBlacklist: 'all' }]);
    expect(plannedAtFirstLoad).toBe(2);
    expect(summary.aliases.map(({ modalias, devices }) => [modalias, ...devices])).toEqual([
      ['cpu:a', '/devices/cpu0', '/devices/cpu1'], ['acpi:rtc', '/devices/rtc'],
    ]);
  });

  it('runs the plans of a round at the same time', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' }, '/devices/b': { uevent: 'MODALIAS=x:b' } });
    const both = gate();
    let started = 0;
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }], 'x:b': [{ module: 'b' }] }, () => {
      if (++started === 2) both.open();
      return both.opened;
    });
    expect((await coldplug(testSystem(root.path), kmod)).rounds[0]?.loaded).toBe(2);
  });

  it('gives up after its limit of rounds, says so, and keeps what it has', async () => {
    addDevices(root.path, { '/devices/d0': { uevent: 'MODALIAS=x:0' } });
    let next = 1;
    const aliases = Object.fromEntries(Array.from({ length: ROUNDS_MAX + 5 }, (_, index) => [`x:${index}`, [{ module: `m${index}` }]]));
    const kmod = fakeKmod(aliases, () => addDevices(root.path, { [`/devices/d${next}`]: { uevent: `MODALIAS=x:${next++}` } }));
    const log = recordingLog();
    const lines = log.records;
    const { settled, rounds } = await coldplug(testSystem(root.path, { log }), kmod);
    expect({ settled, rounds: rounds.length, codes: lines.map(({ code }) => code) }).toEqual({ settled: false, rounds: ROUNDS_MAX, codes: ['coldplug-rounds'] });
  });

  it('waits for latecomers only where something was loaded, as long as new bindings ask for', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' } });
    const kmod = fakeKmod({ 'x:a': [{ module: 'xhci_pci' }], 'usb:stick': [{ module: 'usb_storage' }], 'scsi:disk': [{ module: 'sd_mod' }] }, (module) => {
      if (module === 'xhci_pci') addDevices(root.path, { '/devices/usb1': { uevent: 'DRIVER=hub' } });
      if (module === 'usb_storage') addDevices(root.path, { '/devices/usb1/1-1': { uevent: 'DRIVER=usb-storage\nMODALIAS=usb:stick' } });
    });
    const clock = testClock(() => {
      if (clock.sleeps.length === 1) addDevices(root.path, { '/devices/usb1/1-1': { uevent: 'MODALIAS=usb:stick' } });
      if (clock.sleeps.length === 2) addDevices(root.path, { '/devices/usb1/1-1/disk': { uevent: 'MODALIAS=scsi:disk' } });
    });
    const summary = await coldplug(testSystem(root.path, { clock }), kmod, { settleMs: 300 });
    expect(clock.sleeps).toEqual([600, 1500, 300]);
    expect(outcomesByModule(summary.aliases).loaded.map(({ module }) => module)).toEqual(['xhci_pci', 'usb_storage', 'sd_mod']);

    const again = testClock();
    await coldplug(testSystem(root.path, { clock: again }), kmod, { settleMs: 300 });
    expect(again.sleeps).toEqual([]);
  });

  it('reports a plan that cannot be made and goes on with the others', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' }, '/devices/b': { uevent: 'MODALIAS=x:b' } });
    const kmod = fakeKmod({ 'x:b': [{ module: 'b' }] });
    const log = recordingLog();
    const lines = log.records;
    const failing = {
      ...kmod,
      plan: (name: string) => {
        if (name === 'x:a') throw new SystemError({ code: 'EIO', errno: 5, syscall: 'read', text: 'Input/output error' });
        return kmod.plan(name);
      },
    };
    const { aliases } = await coldplug(testSystem(root.path, { log }), failing);
    expect(aliases.map(({ modalias }) => modalias)).toEqual(['x:b']);
    expect(lines).toEqual([{ level: 'error', code: 'plan-failed', message: 'x:a: read: Input/output error (EIO)' }]);
  });

  it('throws the first error when no plan can be made', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' }, '/devices/b': { uevent: 'MODALIAS=x:b' } });
    const plan = (name: string) => {
      throw new Error(`no index for ${name}`);
    };
    await expect(coldplug(testSystem(root.path), { ...fakeKmod({}), plan })).rejects.toThrow('no index for x:a');
  });

  it('throws when there is no /sys/devices', async () => {
    rmSync(join(root.path, 'sys'), { recursive: true });
    await expect(coldplug(testSystem(root.path), fakeKmod({}))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('stops at once when aborted during a load, which goes on', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' } });
    const stop = new AbortController();
    const load = gate();
    let ended = false;
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] }, async () => {
      stop.abort();
      await load.opened;
      ended = true;
    });
    await expect(coldplug(testSystem(root.path), kmod, { signal: stop.signal })).rejects.toThrow('aborted');
    expect(ended).toBe(false);
    load.open();
  });
});

describe('planColdplug', () => {
  it('plans everything and executes nothing', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' }, '/devices/b': { uevent: 'MODALIAS=x:b' }, '/devices/c': { uevent: '' } });
    const kmod = fakeKmod({ 'x:a': [{ module: 'a', needs: ['lib'] }] });
    const plan = await planColdplug(testSystem(root.path), kmod);
    expect(kmod.executed).toEqual([]);
    expect(plan.devices).toBe(3);
    expect(plan.aliases.map(({ modalias, devices, result }) => (
      { modalias, devices, steps: result.goals.flatMap(({ steps }) => steps.map(({ module, outcome }) => `${module} ${outcome}`)) }
    ))).toEqual([
      { modalias: 'x:a', devices: ['/devices/a'], steps: ['lib skipped', 'a skipped'] },
      { modalias: 'x:b', devices: ['/devices/b'], steps: [] },
    ]);
  });
});
