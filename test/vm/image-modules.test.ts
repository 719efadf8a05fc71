// A guest without any /lib/modules: all modules come out of one file in /boot, made by tskmod bundle; and the kernel mounts our images.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { runApplet } from '../applets/run-applet.ts';
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
  mount -t xfs -o loop /disk.img /mnt && cat /mnt/greeting
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

/** The kernel mounts each image as it would on /lib/modules, and all files there are hashed. */
const MOUNT = `
for format in FORMATS; do
  modprobe $format
  mkdir -p /m/$format
  mount -t $format -o loop,ro /selected.$format /m/$format || echo "cannot mount $format" > /tmp/sums-$format
  (cd /m/$format && find . -type f | sort | xargs sha256sum) >> /tmp/sums-$format
  vmctl put /tmp/sums-$format
done
`;

const bundle = async (...argv: readonly string[]): Promise<void> => {
  expect(await runApplet(bundleApplet, argv, { root: '/' })).toMatchObject({ status: 0, stderr: '' });
};

const NEEDED = 'kernel/{arch,fs,crypto,drivers/{ata,block,char,hid,net/ethernet/intel,nvme,scsi,usb,virtio}}/**';

/** As `find . -type f | sort | xargs sha256sum` prints it. */
function sumsOf(directory: string): string {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(directory, path)).isFile()).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return files.map((path) => `${createHash('sha256').update(readFileSync(join(directory, path))).digest('hex')}  ./${path}\n`).join('');
}

describe('modules in one file', () => {
  let scratch = '';
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-one-file-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it.for(['6.12', '6.1'])('are all that a guest of %s needs for coldplug, hotplug, mount and modprobe', async (series, context) => {
    const reason = whyNoVm();
    const kernel = await debianKernel(series);
    if (reason !== undefined || typeof kernel === 'string') return context.skip(reason ?? String(kernel));
    const { release = '', modules = '' } = kernel;
    const [place, disk, image, unpacked] = [join(scratch, series), join(scratch, series, 'disk.img'), join(scratch, series, 'image'), join(scratch, series, 'unpacked')];
    mkdirSync(join(place, 'files'), { recursive: true });
    // All of one kernel, and of the other what a guest may need: its modules are not compressed, and four times as large.
    await bundle('create', '--from', modules, ...(series === '6.12' ? [] : ['--select', NEEDED]), '-o', image);
    writeFileSync(join(place, 'files/greeting'), 'hello from xfs\n');
    writeFileSync(join(place, 'proto'), `/\n0 0\nd--755 0 0\ngreeting ---644 0 0 ${join(place, 'files/greeting')}\n$\n`);
    // Less than 300 MiB it makes for xfs' own tests only.
    execFileSync(findTool('mkfs.xfs') ?? 'mkfs.xfs', ['-q', '-p', join(place, 'proto'), '-d', `file,name=${disk},size=32m`], { env: { ...process.env, TEST_DIR: '/', TEST_DEV: '/', QA_CHECK_FS: '1' } });
    // One guest is enough for the three of them.
    const formats = series === '6.12' ? ['erofs', 'ext4', ...(findTool('mksquashfs') === undefined ? [] : ['squashfs'])] : [];
    for (const format of formats) await bundle('create', '--from', image, '--select', 'kernel/fs/**', '--format', format, '-o', join(place, `selected.${format}`));
    if (formats.length > 0) await bundle('extract', '-C', unpacked, join(place, 'selected.erofs'));

    const inGuest = `/boot/modules-${release}.image`;
    const result = await runOurs(kernel, SCRIPT + (formats.length === 0 ? '' : MOUNT.replace('FORMATS', formats.join(' '))), {
      machine: 'q35', boot: 'bzimage', modulesFile: image,
      files: [{ source: disk, target: '/disk.img' }, ...formats.map((format) => ({ source: join(place, `selected.${format}`), target: `/selected.${format}` }))],
    });
    expect(result.exitCode, result.console).toBe(0);
    const ending = series === '6.12' ? '.ko.xz' : '.ko';
    const msr = `${inGuest}/${release}/kernel/arch/x86/kernel/msr${ending}`;
    expect(result.files.get('said')?.toString('utf8')).toBe(`no tree\nhello from xfs\ninsmod ${msr} \n${msr}\ndaemon 0\n`);
    const loaded = modulesOf(result);
    for (const module of ['e1000e', 'virtio_scsi', 'sd_mod', 'nvme', 'usb_storage', 'xfs', 'libcrc32c', 'loop', 'virtio_rng', 'msr']) expect(loaded).toContain(module);
    for (const format of formats) expect([format, result.files.get(`sums-${format}`)?.toString('utf8')]).toEqual([format, sumsOf(unpacked)]);
  });
});
