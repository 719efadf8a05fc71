// A guest without any /lib/modules: all modules come out of one file in /boot.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { mksquashfs } from '../oracle/squashfs-tools.ts';
import { debianKernel, modulesOf, PUT_MODULES, runOurs, whyNoVm } from './guests.ts';

/** Coldplug, a mount that makes the kernel ask for its file system, a device that is plugged in, and a module by name. */
const SCRIPT = `
{
  [ -e /lib/modules ] || [ -e /usr/lib/modules ] || echo 'no tree'
  mkfifo /tmp/ready
  tsudevd --ready-fd 5 5> /tmp/ready 2> /dev/console &
  daemon=$!
  read -r line < /tmp/ready
  modprobe loop
  mount -t ext4 -o loop /disk.img /mnt && cat /mnt/greeting
  vmctl hmp device_add virtio-rng-pci,bus=rp0 > /dev/null
  for i in $(seq 1 600); do [ -e /sys/bus/virtio/drivers/virtio_rng ] && break; usleep 100000; done
  modprobe -v msr
  tskmod modinfo -F filename msr
  kill -TERM $daemon
  wait $daemon
  echo "daemon $?"
} > /tmp/said 2>&1
vmctl put /tmp/said
${PUT_MODULES}`;

describe('modules in one file', () => {
  let scratch = '';
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-one-file-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it.for(['6.12', '6.1'])('are all that a guest of %s needs for coldplug, hotplug, mount and modprobe', async (series, context) => {
    const reason = whyNoVm() ?? (typeof mksquashfs === 'string' ? mksquashfs : undefined);
    const kernel = await debianKernel(series);
    if (reason !== undefined || typeof mksquashfs === 'string') return context.skip(reason);
    if (typeof kernel === 'string') return context.skip(kernel);
    const { release = '', modules = '' } = kernel;
    const [image, disk] = [join(scratch, 'image'), join(scratch, 'disk.img')];
    mksquashfs([dirname(modules), image, '-noappend', '-quiet', '-no-progress', '-noD', '-noF', '-comp', 'gzip']);
    mkdirSync(join(scratch, 'files'), { recursive: true });
    writeFileSync(join(scratch, 'files/greeting'), 'hello from ext4\n');
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', join(scratch, 'files'), disk, '16M'], { env: { ...process.env, PATH: `${process.env['PATH']}:/sbin:/usr/sbin` } });

    const place = `/boot/modules-${release}.image`;
    const result = await runOurs(kernel, SCRIPT, {
      machine: 'q35', boot: 'bzimage', modulesFile: image, files: [{ source: disk, target: '/disk.img' }],
    });
    expect(result.exitCode, result.console).toBe(0);
    const msr = `${place}/${release}/kernel/arch/x86/kernel/msr.ko${series === '6.12' ? '.xz' : ''}`;
    expect(result.files.get('said')?.toString('utf8')).toBe(`no tree\nhello from ext4\ninsmod ${msr} \n${msr}\ndaemon 0\n`);
    const loaded = modulesOf(result);
    for (const module of ['e1000e', 'virtio_scsi', 'sd_mod', 'nvme', 'usb_storage', 'ext4', 'loop', 'virtio_rng', 'msr']) expect(loaded).toContain(module);
  });
});
