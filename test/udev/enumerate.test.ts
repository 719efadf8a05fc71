// The walk of /sys/devices, on small trees and on the machine that runs the tests.

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openSystem } from '../../src/system.ts';
import type { System } from '../../src/system.ts';
import { enumerate, SYSFS_DEPTH_MAX } from '../../src/udev/enumerate.ts';
import { recordingLog } from '../fixture-root.ts';
import { addDevices, makeRoot, type TemporaryRoot, testSystem } from './fakes.ts';

/** The devices without the map of all properties, which repeats what the other fields say. */
const walk = async (system: System) => (await enumerate(system)).map(({ devpath, subsystem, driver, modalias }) => ({ devpath, subsystem, driver, modalias }));

describe('enumerate', () => {
  let root: TemporaryRoot;
  beforeEach(() => {
    root = makeRoot();
  });
  afterEach(() => root.remove());

  it('yields every directory with a uevent file, parents first, siblings by name', async () => {
    addDevices(root.path, {
      '/devices/system/cpu/cpu1': { uevent: 'DRIVER=processor\nMODALIAS=cpu:type:x86,ven0000\n', subsystem: 'cpu' },
      '/devices/system/cpu/cpu0': { uevent: 'DRIVER=processor\nMODALIAS=cpu:type:x86,ven0000\n', subsystem: 'cpu' },
      '/devices/pci0000:00': { uevent: '' },
      '/devices/pci0000:00/0000:00:1f.2/ata1': { uevent: '' },
      '/devices/pci0000:00/0000:00:1f.2': { uevent: 'DRIVER=ahci\nMODALIAS=pci:v00008086d00002922\n', subsystem: 'pci' },
    });
    expect(await walk(testSystem(root.path))).toEqual([
      { devpath: '/devices/pci0000:00' },
      { devpath: '/devices/pci0000:00/0000:00:1f.2', subsystem: 'pci', driver: 'ahci', modalias: 'pci:v00008086d00002922' },
      { devpath: '/devices/pci0000:00/0000:00:1f.2/ata1' },
      { devpath: '/devices/system/cpu/cpu0', subsystem: 'cpu', driver: 'processor', modalias: 'cpu:type:x86,ven0000' },
      { devpath: '/devices/system/cpu/cpu1', subsystem: 'cpu', driver: 'processor', modalias: 'cpu:type:x86,ven0000' },
    ]);
  });

  it('does not follow links, neither to directories nor as uevent files', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a' } });
    symlinkSync('..', join(root.path, 'sys/devices/a/up'));
    mkdirSync(join(root.path, 'sys/devices/b'));
    symlinkSync('../a/uevent', join(root.path, 'sys/devices/b/uevent'));
    expect(await walk(testSystem(root.path))).toEqual([{ devpath: '/devices/a', modalias: 'x:a' }]);
  });

  it('enters a device named power, but not the power attributes of a device', async () => {
    addDevices(root.path, {
      '/devices/power': { uevent: 'MODALIAS=x:rapl' },
      '/devices/a': { uevent: '' },
      '/devices/a/power': { uevent: 'MODALIAS=x:never' },
    });
    expect(await walk(testSystem(root.path))).toEqual([{ devpath: '/devices/a' }, { devpath: '/devices/power', modalias: 'x:rapl' }]);
  });

  it('leaves out a device whose uevent file cannot be taken, and goes on below it', async () => {
    addDevices(root.path, { '/devices/a': { uevent: 'x'.repeat(70_000) }, '/devices/a/b': { uevent: 'MODALIAS=x:b' } });
    const log = recordingLog();
    const lines = log.records;
    expect(await walk(testSystem(root.path, { log }))).toEqual([{ devpath: '/devices/a/b', modalias: 'x:b' }]);
    expect(lines.map(({ level, code }) => ({ level, code }))).toEqual([{ level: 'debug', code: 'device-skipped' }]);
  });

  it('does not enter more levels than its limit', async () => {
    const deep = `/devices${'/d'.repeat(SYSFS_DEPTH_MAX + 1)}`;
    addDevices(root.path, { '/devices/d': { uevent: '' }, [deep]: { uevent: '' } });
    const log = recordingLog();
    const lines = log.records;
    expect(await walk(testSystem(root.path, { log }))).toEqual([{ devpath: '/devices/d' }]);
    expect(lines.map(({ code }) => code)).toEqual(['sysfs-depth']);
  });

  it('throws a SystemError when there is no /sys/devices', async () => {
    rmSync(join(root.path, 'sys/devices'), { recursive: true });
    await expect(enumerate(testSystem(root.path))).rejects.toMatchObject({ name: 'SystemError', code: 'ENOENT', syscall: 'scandir' });
    writeFileSync(join(root.path, 'sys/devices'), '');
    await expect(enumerate(testSystem(root.path))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it('stops when the signal aborts', async () => {
    await expect(enumerate(testSystem(root.path), { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  });

  it('finds the cpu of the machine that runs this', async () => {
    const devices = await enumerate(openSystem());
    expect(devices.find(({ devpath }) => devpath === '/devices/system/cpu/cpu0')?.subsystem).toBe('cpu');
  });
});
