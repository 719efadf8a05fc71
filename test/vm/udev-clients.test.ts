// Programs of Debian that live on udev, beside our daemon: each finds what it waits for, and none hangs.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';

import { debianRules } from '../../scripts/debian-guest.mjs';
import type { VmResult } from '../../src/vm/vm.ts';
import { guestKernel, guestText, runOurs } from './guests.ts';
import { packagesInGuest, VOLUME_PACKAGES, VOLUME_PROGRAMS } from './packages.ts';
import { EMPTY_IMAGES, makeImages } from './udev-images.ts';

const PACKAGES = [
  ...VOLUME_PACKAGES,
  'libinput-tools', 'libinput-bin', 'libinput10', 'libevdev2', 'libmtdev1', 'libwacom9', 'libwacom-common', 'libgudev-1.0-0', 'libglib2.0-0', 'libffi8',
];
const LIST_DEVICES = 'usr/libexec/libinput/libinput-list-devices';
const PROGRAMS = [...VOLUME_PROGRAMS, LIST_DEVICES, 'lib/udev/libinput-device-group', 'lib/udev/libinput-fuzz-extract', 'bin/lsblk'];

/** Each with its serial number; the first holds file systems, the others nothing yet. */
const DISKS = ['gpt', ...EMPTY_IMAGES];
const byId = (serial: string) => `/dev/disk/by-id/virtio-${serial}`;

/** `step NAME SECONDS COMMAND...`: what it says and how it ends goes to the host; what takes too long is killed. */
const SCRIPT = `
step() {
  name=$1 limit=$2
  shift 2
  echo "step $name"
  timeout $limit "$@" > /tmp/step.$name 2>&1
  echo "$name $?" >> /tmp/steps
}
until_there() { for i in $(seq 1 100); do grep -q "$1" "$2" && return; usleep 100000; done; }
hostname guest
mkdir -p /run/lock
mkfifo /tmp/ready
tsudevd -l info --ready-fd 5 5> /tmp/ready 2> /tmp/step.daemon &
daemon=$!
read -r line < /tmp/ready
step settle 60 udevadm settle --timeout=50

step info 20 udevadm info --query=all /dev/vda2
step links 20 udevadm info --query=symlink /dev/vda2
step names 20 udevadm info --query=property --property=ID_FS_LABEL,ID_FS_UUID --value --name=disk/by-partlabel/EFI\\\\x20System
udevadm monitor --udev --property --subsystem-match=block/partition > /tmp/step.monitor &
monitor=$!
until_there 'UDEV - ' /tmp/step.monitor
step trigger 30 udevadm trigger --settle --action=change /dev/vda2 /dev/vda
until_there 'DEVNAME=/dev/vda2' /tmp/step.monitor
kill $monitor
wait $monitor
step lsblk 20 su -s /bin/sh nobody -c 'lsblk -P -o NAME,FSTYPE,LABEL,UUID,PARTLABEL,SERIAL /dev/vda'
step libinput 30 /${LIST_DEVICES}

step net 10 ip -o link
ip link set lan0 name lan9
step net-settle 30 udevadm settle
step net-info 20 udevadm info --query=property /sys/class/net/lan9

step md-create 60 mdadm --create /dev/md/test --name=test --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --run ${byId('md0')} ${byId('md1')}
step md-wait 30 udevadm wait --timeout=20 /dev/md/test
step md-stop 30 mdadm --stop /dev/md/test
step md-gone 30 udevadm wait --timeout=20 --removed /dev/md/test
step md-trigger 60 udevadm trigger --settle --action=add ${byId('md0')} ${byId('md1')}
step md-again 30 udevadm wait --timeout=20 --initialized=true /dev/md/test
step md-info 20 udevadm info --query=property --property=MD_LEVEL,MD_DEVNAME --value /dev/md/test
step md-stat 5 cat /proc/mdstat

step pv-create 60 lvm pvcreate -q ${byId('pv0')} ${byId('pv1')}
step vg-create 60 lvm vgcreate -q vg ${byId('pv0')} ${byId('pv1')}
step lv-create 60 lvm lvcreate -q -n lv -L 16M -Zn vg
step lv-links 20 udevadm info --query=symlink /dev/vg/lv
step vg-off 60 lvm vgchange -q -an vg
step lv-gone 30 udevadm wait --timeout=20 --removed /dev/vg/lv
step pv-trigger 90 udevadm trigger --settle --action=add ${byId('pv0')} ${byId('pv1')}
step lv-again 30 udevadm wait --timeout=20 --initialized=true /dev/vg/lv
step lv-state 20 lvm lvs --noheadings -o lv_name,lv_active
step cookies 20 dmsetup udevcookies

vmctl hmp device_add virtio-blk-pci,bus=rp,drive=spare,serial=plugged
step plugged 30 udevadm wait --timeout=20 --initialized=true ${byId('plugged')}
step last-settle 60 udevadm settle --timeout=50
kill $daemon
wait $daemon
echo "daemon $?" >> /tmp/steps
vmctl put /tmp/steps /tmp/step.*
`;

const network = (id: number) => ['-netdev', `user,id=n${id},restrict=on`, '-device', `virtio-net-pci,netdev=n${id},romfile=,addr=1${id}.0,mac=52:54:00:00:00:0${id}`];

describe('tsudevd with Debian\'s clients', () => {
  let scratch = '';
  let result: VmResult | undefined;
  let skipped: string | undefined;

  beforeAll(async () => {
    const kernel = await guestKernel('6.12');
    if (typeof kernel === 'string') {
      skipped = kernel;
      return;
    }
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-clients-'));
    makeImages(scratch);
    const text = (name: string, target: string, content: string) => guestText(scratch, name, target, content);
    const rules = debianRules(scratch);
    const packages = packagesInGuest(PACKAGES, PROGRAMS);
    result = await runOurs(kernel, SCRIPT, {
      boot: 'bzimage', timeoutSeconds: 540, overlays: [...rules.overlays, ...packages.overlays],
      files: [
        ...rules.files, ...packages.files,
        text('names', '/etc/udev/rules.d/70-names.rules', 'SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="52:54:00:00:00:02", NAME="lan0"\n'),
        text('wan', '/etc/systemd/network/10-wan.link', '[Match]\nMACAddress=52:54:00:00:00:03\n[Link]\nName=wan0\n'),
      ],
      qemuArguments: [
        ...DISKS.flatMap((name) => ['-drive', `if=none,id=${name},format=raw,snapshot=on,file=${join(scratch, `${name}.img`)}`]),
        ...DISKS.slice(0, -1).flatMap((name) => ['-device', `virtio-blk-pci,drive=${name},serial=${name}`]),
        '-device', 'pcie-root-port,id=rp,chassis=1,slot=1', ...[1, 2, 3].flatMap(network),
        '-device', 'qemu-xhci,id=xhci', '-device', 'usb-kbd,bus=xhci.0', '-device', 'usb-tablet,bus=xhci.0',
      ],
    });
  }, 600_000);
  afterAll(() => {
    if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
  });

  /** What a step said. Fails with the whole of it where its command did, or was killed because it hung. */
  const said = (context: TestContext, ...steps: readonly string[]): readonly string[] => {
    if (skipped !== undefined) context.skip(skipped);
    const statuses = new Map(textOf('steps').split('\n').map((line) => line.split(' ')).map(([name = '', status = '']) => [name, status]));
    for (const step of steps) expect(statuses.get(step), `${step}: ${textOf(`step.${step}`)}\n${textOf('step.daemon')}\n${result?.console}`).toBe('0');
    return textOf(`step.${steps.at(-1)}`).split('\n').map((line) => line.trim()).filter(Boolean);
  };
  const textOf = (file: string): string => result?.files.get(file)?.toString('utf8') ?? '';

  it('ends as it is asked to', (context) => {
    expect(said(context, 'settle', 'last-settle', 'daemon').join('\n')).not.toMatch(/ERROR/);
    expect(result?.exitCode).toBe(0);
  });

  it('tells udevadm info of a partition', (context) => {
    expect(said(context, 'info')).toEqual(expect.arrayContaining([
      'N: vda2', 'E: DEVTYPE=partition', 'E: ID_FS_TYPE=ext4', 'E: ID_FS_LABEL_ENC=root\\x20fs\\x2fx', 'E: ID_PART_ENTRY_NUMBER=2', 'E: ID_PART_ENTRY_NAME=a\\x2fb\\x20ü',
    ]));
    expect(said(context, 'links')[0]?.split(' ')).toEqual(expect.arrayContaining([
      'disk/by-id/virtio-gpt-part2', 'disk/by-label/root\\x20fs\\x2fx', 'disk/by-uuid/22222222-2222-3333-4444-555555555555', 'disk/by-partlabel/a\\x2fb\\x20ü',
    ]));
    expect(said(context, 'names')).toEqual(['ESP', '1234-ABCD']);
  });

  it('tells udevadm monitor of an event, and trigger --settle that it is done', (context) => {
    said(context, 'trigger');
    expect(textOf('step.monitor')).toMatch(/^UDEV  \[[\d.]+\] change +\/devices\/\S+\/vda\/vda2 \(block\)\nACTION=change\n(?:[A-Z]\S*=.*\n)*DEVNAME=\/dev\/vda2\n(?:[A-Z]\S*=.*\n)*ID_FS_TYPE=ext4\n/m);
  });

  it('gives lsblk what it may not read from the disk itself', (context) => {
    expect(said(context, 'lsblk')).toEqual([
      'NAME="vda" FSTYPE="" LABEL="" UUID="" PARTLABEL="" SERIAL="gpt"',
      'NAME="vda1" FSTYPE="vfat" LABEL="ESP" UUID="1234-ABCD" PARTLABEL="EFI System" SERIAL=""',
      'NAME="vda2" FSTYPE="ext4" LABEL="root fs/x" UUID="22222222-2222-3333-4444-555555555555" PARTLABEL="a/b \\xc3\\xbc" SERIAL=""',
      'NAME="vda3" FSTYPE="swap" LABEL="swap" UUID="33333333-2222-3333-4444-555555555555" PARTLABEL="" SERIAL=""',
    ]);
  });

  it('gives libinput its devices', (context) => {
    const devices = said(context, 'libinput').filter((line) => /^(?:Device|Capabilities):/.test(line)).map((line) => line.replace(/^\w+:\s+/, ''));
    const pairs = devices.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${devices[index + 1]}`] : []));
    expect(pairs.sort()).toEqual(['AT Translated Set 2 keyboard: keyboard', 'ImExPS/2 Generic Explorer Mouse: pointer', 'Power Button: keyboard', 'QEMU QEMU USB Keyboard: keyboard', 'QEMU QEMU USB Tablet: pointer']);
  });

  it('names interfaces by rule, by .link file and by their place, and follows a rename', (context) => {
    const names = said(context, 'net').map((line) => line.split(/:? /)).map((words) => `${words[1]} ${words[words.indexOf('link/ether') + 1]}`);
    expect(names.filter((line) => /52:54/.test(line)).sort()).toEqual(['enp0s17 52:54:00:00:00:01', 'lan0 52:54:00:00:00:02', 'wan0 52:54:00:00:00:03']);
    expect(said(context, 'net-settle', 'net-info')).toEqual(expect.arrayContaining(['INTERFACE=lan9', 'ID_NET_DRIVER=virtio_net', 'ID_NET_NAME_PATH=enp0s18', 'ID_BUS=pci']));
  });

  it('has an array assembled by the events of its disks', (context) => {
    said(context, 'md-create', 'md-wait', 'md-stop', 'md-gone', 'md-trigger', 'md-again');
    expect(said(context, 'md-info')).toEqual(['raid1', 'test']);
    expect(said(context, 'md-stat').join('\n')).toMatch(/^md\d+ : active.* raid1 /m);
  });

  it('has a volume activated by the events of its disks, and lets no cookie wait', (context) => {
    said(context, 'pv-create', 'vg-create', 'lv-create');
    expect(said(context, 'lv-links')[0]?.split(' ')).toEqual(expect.arrayContaining(['vg/lv', 'mapper/vg-lv', 'disk/by-id/dm-name-vg-lv']));
    said(context, 'vg-off', 'lv-gone', 'pv-trigger', 'lv-again');
    expect(said(context, 'lv-state')).toEqual([expect.stringMatching(/^lv +active$/)]);
    expect(said(context, 'cookies').filter((line) => line.startsWith('0x'))).toEqual([]);
  });

  it('lets udevadm wait see a disk that is plugged in', (context) => {
    said(context, 'plugged');
  });
});
