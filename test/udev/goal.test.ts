// What a coldplug is for, and what leads there.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { parseGoal } from '../../src/udev/goal.ts';
import type { Scanned } from '../../src/udev/scan.ts';
import { fakeKmod, makeRoot, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

const device = (subsystem: string, properties: Readonly<Record<string, string>> = {}): Scanned => ({ devpath: '/devices/x', subsystem, properties: new Map(Object.entries(properties)) });

describe('parseGoal', () => {
  it.each([
    ['UUID=ab cd/é', 'disk/by-uuid/ab\\x20cd\\x2fé'], ['LABEL=root', 'disk/by-label/root'], ['PARTUUID=1', 'disk/by-partuuid/1'],
    ['PARTLABEL=a', 'disk/by-partlabel/a'], ['ID=virtio-x', 'disk/by-id/virtio-x'],
  ])('%s is a link below /dev', (text, link) => {
    const goal = parseGoal(testSystem(root.path), fakeKmod({}), text);
    expect(goal.isReached()).toBe(false);
    mkdirSync(join(root.path, 'dev', link, '..'), { recursive: true });
    writeFileSync(join(root.path, 'dev/node'), '');
    symlinkSync(join(root.path, 'dev/node'), join(root.path, 'dev', link));
    expect(goal.isReached()).toBe(true);
  });

  it('ranks what leads to a disk before what may be on the way and what is for other things', () => {
    const { rankOf } = parseGoal(testSystem(root.path), fakeKmod({}), 'UUID=x');
    const ranks = [
      device('block'), device('pci', { PCI_CLASS: '10601' }), device('pci', { PCI_CLASS: 'C0330' }), device('virtio', { MODALIAS: 'virtio:d00000002v00001AF4' }),
      device('pci', { PCI_CLASS: '60400' }), device('platform'), device('pci', { PCI_CLASS: '30000' }), device('virtio', { MODALIAS: 'virtio:d00000001v00001AF4' }), device('sound'),
    ].map(rankOf);
    expect(ranks).toEqual([0, 0, 0, 0, 1, 1, 2, 2, 2]);
  });

  it('ranks by dependencies where a module is the goal, and knows it as live when its init has returned', () => {
    const kmod = fakeKmod({ 'x:a': [{ module: 'a', needs: ['lib_b'] }], 'x:c': [{ module: 'c' }] });
    const goal = parseGoal(testSystem(root.path), kmod, 'lib-b');
    expect([device('x', { MODALIAS: 'x:a' }), device('x', { MODALIAS: 'x:c' }), device('x')].map(goal.rankOf)).toEqual([0, 2, 2]);
    const directory = join(root.path, 'sys/module/lib_b');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'initstate'), 'coming\n');
    expect(goal.isReached()).toBe(false);
    writeFileSync(join(directory, 'initstate'), 'live\n');
    expect(goal.isReached()).toBe(true);
  });
});
