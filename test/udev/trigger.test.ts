import { describe, expect, it } from 'vitest';

import { triggerOrder, withParents } from '../../src/udev/trigger.ts';

const at = (...devices: readonly (readonly [string, string])[]) => devices.map(([devpath, subsystem]) => ({ devpath, subsystem }));
const names = (devices: readonly { readonly devpath: string }[]) => devices.map(({ devpath }) => devpath);

describe('triggerOrder', () => {
  it('goes by component: what is below a device comes before its neighbour', () => {
    expect(names(triggerOrder(at(['/a-b', 'x'], ['/a/b', 'x'], ['/a', 'x'], ['/a.', 'x'])))).toEqual(['/a', '/a/b', '/a-b', '/a.']);
  });

  it('keeps the order of the subsystems, and takes the devices above along once', () => {
    const devices = at(['/a', 'bus'], ['/a/n', 'net'], ['/a/t', 'tty'], ['/z/t', 'tty'], ['/b', 'bus']);
    expect(names(triggerOrder(devices, ['tty', 'net']))).toEqual(['/a', '/a/t', '/z/t', '/a/n', '/b']);
  });

  it('puts disks that are made of disks at the end of their part', () => {
    const devices = at(['/v/block/dm-0', 'block'], ['/v/block/md1', 'block'], ['/v/block/sda', 'block'], ['/w', 'x']);
    expect(names(triggerOrder(devices))).toEqual(['/v/block/sda', '/w', '/v/block/dm-0', '/v/block/md1']);
    expect(names(triggerOrder(devices, ['block']))).toEqual(['/v/block/sda', '/v/block/dm-0', '/v/block/md1', '/w']);
  });
});

describe('withParents', () => {
  it('adds what there is above, and nothing beside', () => {
    const all = at(['/a', 'x'], ['/a/b/c', 'x'], ['/a/b', 'x'], ['/ab', 'x'], ['/d', 'x']);
    expect(names(withParents([{ devpath: '/a/b/c', subsystem: 'x' }], all))).toEqual(['/a', '/a/b/c', '/a/b']);
  });
});
