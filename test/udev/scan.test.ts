// The order of a coldplug.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { scanDevices, scanSubsystems } from '../../src/udev/scan.ts';
import { addDevices, makeRoot, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

describe('scanDevices', () => {
  it('gives each of the first subsystems with its parents, then the rest, disks that are made of disks behind the others; none without a subsystem', async () => {
    addDevices(root.path, {
      '/devices/a': { uevent: '', subsystem: 'pci' }, '/devices/b': { uevent: '', subsystem: 'pci' }, '/devices/b/n': { uevent: '', subsystem: 'net' },
      '/devices/virtual/block/dm-0': { uevent: '', subsystem: 'block' }, '/devices/virtual/block/loop0': { uevent: 'A=1\n', subsystem: 'block' }, '/devices/none': { uevent: '' },
    });
    const devices = await scanDevices(testSystem(root.path), { first: ['block', 'net'] });
    expect(devices.map(({ devpath }) => devpath)).toEqual(['/devices/virtual/block/loop0', '/devices/virtual/block/dm-0', '/devices/b', '/devices/b/n', '/devices/a']);
    expect(devices[0]).toEqual({ devpath: '/devices/virtual/block/loop0', subsystem: 'block', properties: new Map([['A', '1']]) });
  });
});

describe('scanSubsystems', () => {
  it('gives modules, buses and their drivers that have a uevent file', () => {
    const system = testSystem(root.path);
    expect(scanSubsystems(system)).toEqual([]);
    for (const path of ['module/a', 'bus/pci', 'bus/pci/drivers/d', 'module/params-only']) mkdirSync(join(root.path, 'sys', path), { recursive: true });
    for (const path of ['module/a', 'bus/pci', 'bus/pci/drivers/d']) writeFileSync(join(root.path, 'sys', path, 'uevent'), '');
    expect(scanSubsystems(system).map(({ devpath, subsystem }) => `${subsystem} ${devpath}`)).toEqual(['module /module/a', 'subsystem /bus/pci', 'drivers /bus/pci/drivers/d']);
  });
});
