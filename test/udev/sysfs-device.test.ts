import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openSystem } from '../../src/system.ts';
import { deviceId } from '../../src/udev/device.ts';
import { deviceById, deviceByNode, deviceByNumber, deviceBySubsystem, deviceBySyspath } from '../../src/udev/device-lookup.ts';
import { openDevice } from '../../src/udev/sysfs-device.ts';
import { fixtureRoot } from '../fixture-root.ts';

const DISK = '/devices/pci0/0000:00:02.0/host0/block/cciss!c0d0';

/** A disk behind two devices and a directory that is none, and an interface; with the links that the kernel makes. */
function machine() {
  const root = fixtureRoot({
    [`sys${DISK}/uevent`]: 'MAJOR=104\nMINOR=0\nDEVNAME=cciss/c0d0\nDEVTYPE=disk\n',
    [`sys${DISK}/size`]: '4096\n\n',
    [`sys${DISK}/queue/rotational`]: '1\n',
    [`sys${DISK}/edid`]: 'ab\0cd\n',
    [`sys${DISK}/huge`]: 'x'.repeat(65537),
    [`sys${DISK}/largest`]: 'x'.repeat(65536),
    'sys/devices/pci0/0000:00:02.0/uevent': 'DRIVER=hpsa\nPCI_ID=103C:3239\n',
    'sys/devices/pci0/0000:00:02.0/vendor': '0x103c\n',
    'sys/devices/pci0/uevent': '',
    'sys/devices/virtual/net/eth7/uevent': 'INTERFACE=eth7\nIFINDEX=12\n',
    'sys/bus/pci/drivers/hpsa/bind': '',
    'sys/module/hpsa/refcnt': '0\n',
    'sys/class/net/x': '', 'sys/class/block/x': '', 'sys/bus/pci/devices/x': '', 'sys/dev/block/x': '', 'outside/secret': 'no\n',
  });
  const link = (path: string, target: string) => symlinkSync(target, join(root, path));
  link(`sys${DISK}/subsystem`, '../../../../../class/block');
  link(`sys${DISK}/device`, '../../..');
  link(`sys${DISK}/escape`, `${root}/outside`);
  link('sys/devices/pci0/0000:00:02.0/subsystem', '../../../bus/pci');
  link('sys/devices/pci0/0000:00:02.0/driver', '../../../bus/pci/drivers/hpsa');
  link('sys/devices/virtual/net/eth7/subsystem', '../../../../class/net');
  link('sys/class/net/eth7', '../../devices/virtual/net/eth7');
  link('sys/class/block/cciss!c0d0', `../..${DISK}`);
  link('sys/bus/pci/devices/0000:00:02.0', '../../../devices/pci0/0000:00:02.0');
  link('sys/dev/block/104:0', `../..${DISK}`);
  return { root, system: openSystem({ root }) };
}

describe('openDevice', () => {
  it('tells what sysfs says', () => {
    const { root, system } = machine();
    const device = openDevice(system, DISK);
    expect(device).toMatchObject({
      devpath: DISK, syspath: `${root}/sys${DISK}`, sysname: 'cciss/c0d0', sysnum: '0', subsystem: 'block', devtype: 'disk', driver: undefined,
      devnum: { type: 'block', major: 104, minor: 0 }, ifindex: undefined, devname: 'cciss/c0d0',
    });
    expect(device?.parent).toMatchObject({ sysname: '0000:00:02.0', sysnum: '0', subsystem: 'pci', driver: 'hpsa', devnum: undefined });
    expect(device?.parent?.parent).toMatchObject({ devpath: '/devices/pci0', subsystem: undefined, parent: undefined });
    expect(device && deviceId(device)).toBe('b104:0');
  });

  it('answers from the message where the device has gone', () => {
    const { system } = machine();
    const properties = new Map([['SUBSYSTEM', 'net'], ['INTERFACE', 'gone0'], ['IFINDEX', '9'], ['DRIVER', 'e1000']]);
    expect(openDevice(system, '/devices/virtual/net/gone0', properties)).toMatchObject({ subsystem: 'net', driver: 'e1000', ifindex: 9, sysnum: '0', properties });
    expect(openDevice(system, '/devices/virtual/net/gone0')?.attribute('mtu')).toBeUndefined();
  });

  it('reads attributes as udev shows them', () => {
    const device = openDevice(machine().system, DISK);
    const read = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, device?.attribute(name)]));
    expect(read(['size', 'queue/rotational', 'device/vendor', 'device/driver', 'subsystem', 'edid'])).toEqual({
      size: '4096', 'queue/rotational': '1', 'device/vendor': '0x103c', 'device/driver': 'hpsa', subsystem: 'block', edid: 'ab',
    });
    expect(read(['nothing', 'queue', 'device', 'huge', 'size/x'])).toEqual({ nothing: undefined, queue: undefined, device: undefined, huge: undefined, 'size/x': undefined });
    expect(device?.attribute('largest')).toHaveLength(65536);
  });

  it('never leaves the directory of the device, nor sysfs through a link', () => {
    const device = openDevice(machine().system, DISK);
    for (const name of ['../uevent', '..', '.', '', '/uevent', 'queue/../size', 'queue//rotational', 'size\0', 'escape/secret', 'x'.repeat(5000)]) expect(device?.attribute(name)).toBeUndefined();
  });

  it('is undefined for a path that is none', () => {
    const { system } = machine();
    for (const devpath of ['', 'devices/x', '/devices/../x', '/devices//x', '/devices/x\0']) expect(openDevice(system, devpath)).toBeUndefined();
  });

  it('does not wait for a pipe, and reads nothing that nobody may read', () => {
    const { root, system } = machine();
    expect(spawnSync('mkfifo', [join(root, `sys${DISK}/fifo`)]).status).toBe(0);
    writeFileSync(join(root, `sys${DISK}/reset`), 'x');
    chmodSync(join(root, `sys${DISK}/reset`), 0o200);
    const device = openDevice(system, DISK);
    expect([device?.attribute('fifo'), device?.attribute('reset')]).toEqual([undefined, undefined]);
  });

  it('sees one value for the life of the object', () => {
    const { root, system } = machine();
    const device = openDevice(system, DISK);
    expect(device?.attribute('size')).toBe('4096');
    writeFileSync(join(root, `sys${DISK}/size`), '1\n');
    expect(device?.attribute('size')).toBe('4096');
    expect(openDevice(system, DISK)?.attribute('size')).toBe('1');
  });

  it('lists the attributes, also of the directories that are no devices', () => {
    const { root, system } = machine();
    mkdirSync(join(root, 'sys/devices/virtual/net/eth7/queues'), { recursive: true });
    expect(openDevice(system, DISK)?.attributeNames()).toEqual(['device', 'edid', 'escape', 'huge', 'largest', 'queue/rotational', 'size', 'subsystem', 'uevent']);
  });
});

describe('looking a device up', () => {
  it('finds it by path, number, name and id', () => {
    const { root, system } = machine();
    const found = {
      bySyspath: deviceBySyspath(system, `${root}/sys/class/block/cciss!c0d0`), byShortPath: deviceBySyspath(system, '/class/block/cciss!c0d0'),
      byNumber: deviceByNumber(system, { type: 'block', major: 104, minor: 0 }), byName: deviceBySubsystem(system, 'block', 'cciss/c0d0'), byId: deviceById(system, 'b104:0'),
    };
    for (const device of Object.values(found)) expect(device?.devpath).toBe(DISK);
    expect(deviceById(system, 'n12')?.sysname).toBe('eth7');
    expect(deviceById(system, '+pci:0000:00:02.0')?.driver).toBe('hpsa');
  });

  it('finds what is not a device but has a subsystem of its own', () => {
    const { system } = machine();
    const found = [deviceBySubsystem(system, 'module', 'hpsa'), deviceById(system, '+drivers:pci:hpsa'), deviceBySubsystem(system, 'subsystem', 'pci'), deviceBySubsystem(system, 'subsystem', 'net')];
    expect(found.map((device) => [device?.devpath, device?.subsystem, device && deviceId(device)])).toEqual([
      ['/module/hpsa', 'module', '+module:hpsa'], ['/bus/pci/drivers/hpsa', 'drivers', '+drivers:pci:hpsa'], ['/bus/pci', 'subsystem', '+subsystem:pci'], ['/class/net', 'subsystem', '+subsystem:net'],
    ]);
  });

  it('finds nothing elsewhere', () => {
    const { root, system } = machine();
    expect([
      deviceBySyspath(system, `${root}/outside`), deviceBySyspath(system, '/devices/virtual'), deviceBySyspath(system, '/../outside'), deviceBySubsystem(system, '..', 'outside'),
      deviceBySubsystem(system, 'pci', '..'), deviceById(system, 'b1:99'), deviceById(system, '+x'), deviceById(system, 'nonsense'), deviceByNode(system, 'nothing'),
    ]).toEqual(Array(9).fill(undefined));
  });

  it('finds the device of a node of this machine, also by a link to it', () => {
    const system = openSystem();
    expect(deviceByNode(system, '/dev/null')).toMatchObject({ devpath: '/devices/virtual/mem/null', devnum: { type: 'char', major: 1, minor: 3 } });
    const root = fixtureRoot({ x: '' });
    symlinkSync('/dev/null', join(root, 'link'));
    expect(deviceByNode(system, join(root, 'link'))?.sysname).toBe('null');
  });
});
