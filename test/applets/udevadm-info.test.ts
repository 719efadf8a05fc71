import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { formatTree } from '../../src/applets/udevadm-info-tree.ts';
import { udevadmInfo } from '../../src/applets/udevadm-info.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const SDA = 'sys/devices/pci0/0000:00:1f.2/block/sda';

function machine(): string {
  const root = fixtureRoot({
    'sys/devices/pci0/0000:00:1f.2/uevent': 'DRIVER=ahci\nMODALIAS=pci:x\n', 'sys/devices/pci0/0000:00:1f.2/class': '0x010601\n',
    [`${SDA}/uevent`]: 'MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\nDISKSEQ=3\n', [`${SDA}/size`]: '2048\n', [`${SDA}/queue/rotational`]: '0\n', [`${SDA}/raw`]: 'a\u0001b', [`${SDA}/link_text`]: '/a/path',
    'run/udev/data/b8:0': 'S:disk/by-id/x\nL:5\nI:77\nE:ID_MODEL=Disk\'s\nG:systemd\nQ:systemd\nV:1\n', 'run/udev/tags/systemd/b8:0': '', 'dev/.keep': '',
  });
  for (const [device, subsystem] of [['sys/devices/pci0/0000:00:1f.2', 'bus/pci'], [SDA, 'class/block']] as const) {
    mkdirSync(join(root, 'sys', subsystem), { recursive: true });
    symlinkSync(join(root, 'sys', subsystem), join(root, device, 'subsystem'));
  }
  symlinkSync('../../bus/pci/drivers/ahci', join(root, 'sys/devices/pci0/0000:00:1f.2/driver'));
  return root;
}

const info = (root: string, ...argv: readonly string[]) => runApplet(udevadmInfo, argv, { root });

describe('udevadm info', () => {
  it('prints a record of a device: sysfs first, then the database', async () => {
    const root = machine();
    const { status, stdout } = await info(root, '-p', '/devices/pci0/0000:00:1f.2/block/sda');
    expect([status, stdout.split('\n')]).toEqual([0, [
      'P: /devices/pci0/0000:00:1f.2/block/sda', 'M: sda', 'J: b8:0', 'U: block', 'T: disk', 'D: b 8:0', 'N: sda', 'L: 5', 'S: disk/by-id/x', 'Q: 3',
      'E: DEVPATH=/devices/pci0/0000:00:1f.2/block/sda', 'E: SUBSYSTEM=block', `E: DEVNAME=${root}/dev/sda`, 'E: DEVTYPE=disk', 'E: DISKSEQ=3', 'E: MAJOR=8', 'E: MINOR=0',
      'E: USEC_INITIALIZED=77', 'E: ID_MODEL=Disk\'s', `E: DEVLINKS=${root}/dev/disk/by-id/x`, 'E: TAGS=:systemd:', 'E: CURRENT_TAGS=:systemd:', '', '',
    ]]);
  });

  it('exports the devices that match, as udevadm trigger means it, and no others', async () => {
    const root = machine();
    const shown = async (...argv: readonly string[]) => (await info(root, '-e', ...argv)).stdout.split('\n').filter((line) => line.startsWith('M: ')).map((line) => line.slice(3));
    const filters = [
      [], ['--subsystem-match=bl*'], ['--subsystem-nomatch=block'], ['--attr-match=size=2048'], ['--attr-nomatch=size'], ['--property-match=ID_MODEL=Disk*'], ['--tag-match=systemd'],
      ['--sysname-match=sd?', '--initialized-match'], ['--initialized-nomatch', '--tag-match=systemd'], ['--parent-match=/devices/pci0/0000:00:1f.2'],
    ];
    expect(await Promise.all(filters.map((argv) => shown(...argv)))).toEqual([
      ['0000:00:1f.2', 'sda'], ['sda'], ['0000:00:1f.2'], ['sda'], ['0000:00:1f.2'], ['sda'], ['sda'], ['sda'], [], ['0000:00:1f.2', 'sda'],
    ]);
    expect(await info(root, '-e', '--parent-match=/nosuch')).toEqual({ status: 1, stdout: '', stderr: "Failed to open the device '/nosuch': No such device\n" });
  });

  it('prints all devices as JSON, one a line', async () => {
    const { stdout } = await info(machine(), '-e', '--json=short');
    expect(stdout.trim().split('\n').map((line) => JSON.parse(line).SYSNAME)).toEqual(['0000:00:1f.2', 'sda']);
  });

  it('walks up the attributes that a rule may match', async () => {
    const { stdout } = await info(machine(), '-a', '-p', '/devices/pci0/0000:00:1f.2/block/sda');
    expect(stdout.split('\n').slice(6)).toEqual([
      '', '  looking at device \'/devices/pci0/0000:00:1f.2/block/sda\':', '    KERNEL=="sda"', '    SUBSYSTEM=="block"', '    DRIVER==""', '    ATTR{queue/rotational}=="0"', '    ATTR{size}=="2048"',
      '', '  looking at parent device \'/devices/pci0/0000:00:1f.2\':', '    KERNELS=="0000:00:1f.2"', '    SUBSYSTEMS=="pci"', '    DRIVERS=="ahci"', '    ATTRS{class}=="0x010601"', '',
    ]);
  });

  it('waits for the database, and gives up in time', async () => {
    expect(await info(machine(), '-w0', '-p', '/devices/pci0/0000:00:1f.2')).toEqual({
      status: 1, stdout: '', stderr: 'Failed to wait for device to be initialized: Connection timed out\n',
    });
  });

  it('cleans up the database', async () => {
    const root = machine();
    expect((await info(root, '--cleanup-db')).status).toBe(0);
    expect([existsSync(join(root, 'run/udev/data/b8:0')), existsSync(join(root, 'run/udev/tags/systemd'))]).toEqual([false, false]);
  });
});

describe('formatTree', () => {
  it('puts what is below a path behind it, also where a sibling sorts between', () => {
    const items = ['/a', '/a-b', '/a/x/y', '/a/x', '/c/d'].map((devpath) => ({ devpath, lines: [devpath] }));
    expect(formatTree(items)).toBe(`├─/a
│ ┆ /a
│ └─x
│   ┆ /a/x
│   └─y
│     ┆ /a/x/y
├─/a-b
│ ┆ /a-b
└─/c/d
  ┆ /c/d

5 items shown.
`);
  });
});
