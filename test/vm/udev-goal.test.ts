// One guest: a coldplug for each kind of goal, then the daemon with a rule in TypeScript, pyudev, and an input device with a size.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';

import { debianRules } from '../../scripts/debian-guest.mjs';
import type { VmResult } from '../../src/vm/vm.ts';
import { guestKernel, guestText, runOurs } from './guests.ts';
import { packagesInGuest } from './packages.ts';
import { makeImages } from './udev-images.ts';
import { expectWhy, PUT_WHY } from './why-answers.ts';

const PYTHON = ['python3.11-minimal', 'libpython3.11-minimal', 'libpython3.11-stdlib', 'libexpat1', 'zlib1g', 'libffi8', 'libudev1', 'python3-pyudev'];

const TS_RULE = `export const rule = (device, { action, properties }) => {
  if (action === 'remove' || properties.get('ID_FS_LABEL_ENC') !== 'root\\\\x20fs\\\\x2fx') return;
  return { properties: { TS_SIZE: device.attribute('size') }, symlinks: ['ts/root fs'], mode: 0o640, tags: ['ts'] };
};
`;

const PYUDEV = `import ctypes.util, os
ctypes.util.find_library = lambda name: 'lib%s.so.1' % name
import pyudev
context = pyudev.Context()
for device in sorted(context.list_devices(subsystem='block', DEVTYPE='partition'), key=lambda device: device.sys_name):
    print(device.sys_name, device.get('ID_FS_TYPE'), device.parent.sys_name, device.is_initialized)
print('tagged', [device.sys_name for device in context.list_devices(tag='ts')])
device = pyudev.Devices.from_device_file(context, '/dev/vda2')
print('links', '/dev/ts/root_fs' in device.device_links, device.find_parent('pci') is not None)
monitor = pyudev.Monitor.from_netlink(context)
monitor.filter_by('block', 'partition')
monitor.filter_by_tag('ts')
monitor.start()
for name in ('vda1', 'vda2'):
    with open('/sys/class/block/%s/uevent' % name, 'w') as uevent:
        uevent.write('change')
heard = monitor.poll(timeout=60)
print('heard', heard.action, heard.sys_name, heard.get('TS_SIZE'), heard.is_initialized)
`;

/** A tablet of 216 by 135 millimetres, by /dev/uinput (linux/uinput.h). It stays while its descriptor is open. */
const UINPUT = `import fcntl, os, struct, sys
fd = os.open('/dev/uinput', os.O_WRONLY)
for request, value in ((0x40045564, 3), (0x40045564, 1), (0x40045565, 0x140), (0x40045565, 0x14a), (0x40045567, 0), (0x40045567, 1)):
    fcntl.ioctl(fd, request, value)
for axis, maximum in ((0, 21600), (1, 13500)):
    fcntl.ioctl(fd, 0x401c5504, struct.pack('=HxxIiiiii', axis, 0, 0, maximum, 0, 0, 100)[:28])
fcntl.ioctl(fd, 0x405c5503, struct.pack('=HHHH80sI', 3, 1, 2, 3, b'tablet', 0))
fcntl.ioctl(fd, 0x5501)
print('there', flush=True)
sys.stdin.read()
`;

/** `step NAME SECONDS COMMAND...`: what it says and how it ends goes to the host; what takes too long is killed. */
const SCRIPT = `
step() {
  name=$1 limit=$2
  shift 2
  echo "step $name"
  timeout $limit "$@" > /tmp/step.$name 2>&1
  echo "$name $?" >> /tmp/steps
}
modules() { cut -d' ' -f1 /proc/modules > /tmp/step.modules-$1; }
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/usr/lib/python3/dist-packages
step label 120 tsudevd --until 'LABEL=root fs/x'
step label-there 5 readlink '/dev/disk/by-label/root\\x20fs\\x2fx'
modules label
step uuid 120 tsudevd --until UUID=22222222-2222-3333-4444-555555555555
step link 120 tsudevd --until /dev/disk/by-partlabel/swap-is-not-there --timeout=0
step module 120 tsudevd --until e1000e
modules module
mkfifo /tmp/ready
tsudevd -l info --ready-fd 5 5> /tmp/ready 2> /tmp/step.daemon &
daemon=$!
read -r line < /tmp/ready
modules all
step settle 60 udevadm settle --timeout=50
${PUT_WHY}
step ts 20 udevadm info --query=property --property=TS_SIZE --value /dev/vda2
step ts-link 5 readlink /dev/ts/root_fs
step ts-mode 5 stat -c %a /dev/vda2
step pyudev 120 python3.11 /root/devices.py
modprobe -q uinput
udevadm settle
mkfifo /tmp/hold
(python3.11 /root/uinput.py < /tmp/hold > /tmp/there 2> /tmp/step.uinput) &
exec 6> /tmp/hold
for i in $(seq 1 200); do grep -q there /tmp/there && break; usleep 100000; done
udevadm settle
tablet=$(dirname /sys/devices/virtual/input/input*/event*/uevent)
step tablet 20 udevadm info --query=property --property=ID_INPUT_TABLET,ID_INPUT_WIDTH_MM,ID_INPUT_HEIGHT_MM $tablet
step tablet-theirs 20 udevadm test-builtin input_id $tablet
exec 6>&-
step last-settle 60 udevadm settle --timeout=50
kill $daemon
wait $daemon
echo "daemon $?" >> /tmp/steps
vmctl put /tmp/steps /tmp/step.*
`;

describe('tsudevd --until, and what lives on the daemon', () => {
  let scratch = '';
  let result: VmResult | undefined;
  let skipped: string | undefined;

  beforeAll(async () => {
    const kernel = await guestKernel('6.12');
    if (typeof kernel === 'string') {
      skipped = kernel;
      return;
    }
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-goal-'));
    makeImages(scratch);
    const text = (name: string, target: string, content: string) => guestText(scratch, name, target, content);
    const rules = debianRules(scratch);
    const packages = packagesInGuest(PYTHON, ['usr/bin/python3.11']);
    result = await runOurs(kernel, SCRIPT, {
      timeoutSeconds: 540, overlays: [...rules.overlays, ...packages.overlays],
      files: [
        ...rules.files, ...packages.files,
        text('ts', '/etc/udev/rules.d/65-ts.rules.mjs', TS_RULE), text('pyudev', '/root/devices.py', PYUDEV), text('uinput', '/root/uinput.py', UINPUT),
      ],
      qemuArguments: [
        '-drive', `if=none,id=gpt,format=raw,snapshot=on,file=${join(scratch, 'gpt.img')}`, '-device', 'virtio-blk-pci,drive=gpt,serial=gpt',
        '-netdev', 'user,id=n0,restrict=on', '-device', 'e1000e,netdev=n0,romfile=', '-audiodev', 'none,id=a0', '-device', 'intel-hda', '-device', 'hda-duplex,audiodev=a0',
      ],
    });
  }, 600_000);
  afterAll(() => {
    if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
  });

  const textOf = (file: string): string => result?.files.get(file)?.toString('utf8') ?? '';
  /** What a step said. Fails with the whole of it where its command ended otherwise. */
  const said = (context: TestContext, step: string, status = '0'): string => {
    if (skipped !== undefined) context.skip(skipped);
    const statuses = new Map(textOf('steps').split('\n').map((line) => line.split(' ')).map(([name = '', each = '']) => [name, each]));
    expect(statuses.get(step), `${step}: ${textOf(`step.${step}`)}\n${textOf('step.daemon')}\n${result?.console}`).toBe(status);
    return textOf(`step.${step}`).trim();
  };
  const modules = (when: string): string[] => textOf(`step.modules-${when}`).split('\n').filter(Boolean);

  it('stops at a label: the disk is there, and what does not lead to it is not loaded', (context) => {
    said(context, 'label');
    expect(said(context, 'label-there')).toBe('../../vda2');
    expect(modules('label')).toContain('virtio_blk');
    for (const unrelated of ['e1000e', 'snd_hda_intel', 'psmouse']) expect(modules('label')).not.toContain(unrelated);
  });

  it('is done at once where the goal is there, and fails where it does not come', (context) => {
    said(context, 'uuid');
    expect(said(context, 'link', '1')).toContain('/dev/disk/by-partlabel/swap-is-not-there has not come');
  });

  it('loads a module for a device, and the daemon the rest', (context) => {
    said(context, 'module');
    expect(modules('module')).toContain('e1000e');
    said(context, 'settle');
    expect(modules('all')).toEqual(expect.arrayContaining(['virtio_blk', 'e1000e', 'snd_hda_intel']));
  });

  it('says why each driver and module is there, over five daemons', (context) => {
    said(context, 'settle');
    const { devices, modules } = expectWhy(result ?? expect.fail('no guest'));
    expect(devices).toBeGreaterThan(5);
    expect(modules).toBeGreaterThan(20);
  });

  it('runs a rule in TypeScript: property, link and mode', (context) => {
    expect([said(context, 'ts'), said(context, 'ts-link'), said(context, 'ts-mode')]).toEqual(['32768', '../vda2', '640']);
  });

  it('gives pyudev devices, tags, links, and events', (context) => {
    expect(said(context, 'pyudev').split('\n')).toEqual([
      'vda1 vfat vda True', 'vda2 ext4 vda True', 'vda3 swap vda True', "tagged ['vda2']", 'links True True', 'heard change vda2 32768 True',
    ]);
  });

  it('measures an input device as udevadm 252 does', (context) => {
    const theirs = said(context, 'tablet-theirs').split('\n').filter((line) => /^ID_INPUT_(?:TABLET|WIDTH_MM|HEIGHT_MM)=/.test(line)).sort();
    expect(theirs).toEqual(['ID_INPUT_HEIGHT_MM=135', 'ID_INPUT_TABLET=1', 'ID_INPUT_WIDTH_MM=216']);
    expect(said(context, 'tablet').split('\n').sort()).toEqual(theirs);
  });

  it('ends as it is asked to', (context) => {
    said(context, 'last-settle');
    said(context, 'daemon');
    expect(textOf('step.daemon')).not.toMatch(/ERROR/);
    expect(result?.exitCode).toBe(0);
  });
});
