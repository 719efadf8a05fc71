// Initramfs files of tskmod initramfs, booted: they find a root file system and switch to it, or stay in RAM.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { depmodApplet } from '../../src/applets/depmod.ts';
import { initramfsApplet } from '../../src/applets/initramfs.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { runVm, type VmResult } from '../../src/vm/vm.ts';
import { runApplet } from '../applets/run-applet.ts';
import { debianKernel, failureOf, whyNoVm } from './guests.ts';

const TIMEOUT = 240_000;
const UUID = '11111111-2222-3333-4444-555555555555';
const LABEL = 'the-root';
const SELECT = ['virtio_pci', 'virtio_blk', 'nvme', 'ext4', 'e1000e'].flatMap((name) => ['--select', name]);

/** Says what there is on the console, and ends the machine with 5. */
const REPORT = `#!/bin/busybox sh
b=/bin/busybox
$b grep -E ' / ' /proc/mounts
echo modules $($b cut -d' ' -f1 /proc/modules | $b sort)
$b uname -r
$b cat /proc/sys/kernel/modprobe
$b stty -F /dev/ttyS1 115200 raw -echo
exec 3<>/dev/ttyS1
$b stty -F /dev/ttyS0 onlcr
printf '@exit 5\\n' >&3
$b sleep 20
`;

type Case = { readonly name: string; readonly series: string; readonly hides?: string; readonly options: readonly string[]; readonly vm: Parameters<typeof runVm>[0]; readonly said: readonly RegExp[] };

/** What hooks say at these points, the first of each having failed. */
function hooks(...points: readonly string[]): RegExp {
  return new RegExp(points.map((point) => `^hook ${point} 10-first ${point === 'root' ? 'in the root' : ''}\\s+^.*hook /etc/initramfs/hooks/${point}/10-first: exit code 3\\s+^hook ${point} 20-second .*$`).join('[^]*'), 'm');
}

const CASES: readonly Case[] = [
  {
    name: 'finds a virtio disk by UUID', series: '6.12', options: ['--compress', 'none', '--hooks', 'hooks'], vm: { append: `root=UUID=${UUID}`, disks: [{ file: 'disk', bus: 'virtio', readOnly: false }] },
    said: [new RegExp(`^/dev/disk/by-uuid/${UUID} / ext4 ro`, 'm'), /^modules (?=.*\bext4\b)(?=.*\bvirtio_blk\b)(?!.*\be1000e\b)/m, /^6\.12\..*\n\/sbin\/modprobe$/m, hooks('mounted', 'devices', 'root')],
  },
  {
    name: 'finds an nvme disk by the label it was made for, with compressed modules that this kernel does not decompress', series: '6.1', options: ['--modules', 'compressed', '--root', `LABEL=${LABEL}`],
    vm: { append: 'rw', memoryMiB: 640, disks: [{ file: 'disk', bus: 'nvme', readOnly: false }] },
    said: [new RegExp(`^/dev/disk/by-label/${LABEL} / ext4 rw`, 'm'), /^modules (?=.*\bext4\b)(?=.*\bnvme\b)(?!.*\bvirtio_blk\b)/m, /^6\.1\..*\n\/sbin\/modprobe$/m],
  },
  {
    name: 'stays in RAM and drives the machine, with compressed modules', series: '6.12', options: ['--compress', 'none', '--hooks', 'hooks'], vm: { machine: 'q35' },
    said: [/^(rootfs|none) \/ rootfs/m, /^modules (?=.*\be1000e\b)(?=.*\bnvme\b)(?!.*\bext4\b)/m, /^6\.12\..*\n\/app\/modprobe$/m, hooks('mounted', 'devices')],
  },
  {
    name: 'does with busybox alone', series: '6.12', options: ['--no-node', '--root', `LABEL=${LABEL}`], vm: { memoryMiB: 128, disks: [{ file: 'disk', bus: 'nvme', readOnly: true }] },
    said: [/^\/dev\/nvme0n1 \/ ext4 ro/m, /^modules (?=.*\bext4\b)(?=.*\bnvme\b)/m, /^6\.12\..*\n\/sbin\/modprobe$/m],
  },
  {
    name: 'finds a disk by its node, without busybox where that is not installed', series: '6.12', hides: 'busybox', options: ['--compress', 'none', '--hooks', 'hooks', '--root', '/dev/vda'],
    vm: { disks: [{ file: 'disk', bus: 'virtio', readOnly: false }] },
    // mount(8) writes the device, not the link to it.
    said: [/^\/dev\/vda \/ ext4 ro/m, /^modules (?=.*\bext4\b)(?=.*\bvirtio_blk\b)/m, /^6\.12\..*\n\/sbin\/modprobe$/m, hooks('mounted', 'devices', 'root')],
  },
];

/** A directory with links to all programs but one. */
function without(directory: string, hidden: string): string {
  mkdirSync(directory);
  for (const name of readdirSync('/usr/bin')) if (name !== hidden) symlinkSync(join('/usr/bin', name), join(directory, name));
  return directory;
}

describe('an initramfs of selected modules', () => {
  let scratch = '';
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-initramfs-'));
    for (const directory of ['root/bin', 'root/sbin', 'root/dev', 'root/proc', 'root/sys', 'root/run', ...['mounted', 'devices', 'root', 'shell'].map((point) => `hooks/${point}`)]) mkdirSync(join(scratch, directory), { recursive: true });
    for (const file of ['root/sbin/init', 'hooks/shell/report']) {
      writeFileSync(join(scratch, file), REPORT);
      chmodSync(join(scratch, file), 0o755);
    }
    for (const point of ['mounted', 'devices', 'root']) {
      // That one fails does not end the boot; and they run in the order of their names.
      for (const [name, status] of [['10-first', 3], ['20-second', 0]] as const) {
        writeFileSync(join(scratch, 'hooks', point, name), `#!/bin/sh\n[ -e /sys/bus/pci ] || exit 9\necho "hook ${point} ${name} ${point === 'root' ? '$(cat $ROOT/etc-of-root)' : ''}"\nexit ${status}\n`);
        chmodSync(join(scratch, 'hooks', point, name), 0o755);
      }
    }
    writeFileSync(join(scratch, 'root/etc-of-root'), 'in the root\n');
    if (whyNoVm() !== undefined) return;
    copyFileSync(findTool('busybox') ?? '', join(scratch, 'root/bin/busybox'));
    execFileSync(findTool('mke2fs') ?? 'mke2fs', ['-q', '-t', 'ext4', '-L', LABEL, '-U', UUID, '-d', join(scratch, 'root'), join(scratch, 'disk'), '32M']);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  const create = async (file: string, series: string, options: readonly string[]): Promise<Record<string, unknown>> => {
    const words = options.map((word) => (word === 'hooks' ? join(scratch, word) : word));
    const ran = await runApplet(initramfsApplet, ['create', '--kernel', series, '-o', file, '--json', ...words], { root: '/' });
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    const report: unknown = JSON.parse(ran.stdout);
    return report as Record<string, unknown>;
  };

  /** The selected modules of a kernel as a tree of its own, each compressed. */
  const compressedTree = async (modules: string, release: string): Promise<string> => {
    const [root, image] = [join(scratch, 'compressed'), join(scratch, 'bundle')];
    const tree = join(root, 'lib/modules', release);
    const ran = [
      await runApplet(bundleApplet, ['create', '--from', modules, ...SELECT, '-o', image], { root: '/' }),
      await runApplet(bundleApplet, ['extract', '-C', join(root, 'lib/modules'), image], { root: '/' }),
    ];
    execFileSync('sh', ['-c', 'find . -name "*.ko" -exec xz -0 --check=crc32 {} +'], { cwd: tree });
    ran.push(await runApplet(depmodApplet, ['-b', root, '-C', join(root, 'none'), release], { root: '/' }));
    expect(ran.map(({ status, stderr }) => [status, stderr])).toEqual([[0, ''], [0, ''], [0, '']]);
    expect(readFileSync(join(tree, 'modules.dep'), 'utf8')).toMatch(/^(?:\S+\.ko\.xz:(?: \S+\.ko\.xz)*\n)+$/);
    return tree;
  };

  it.for([...CASES])('$name ($series)', { timeout: TIMEOUT }, async ({ series, hides, options, vm, said }, { skip }) => {
    const reason = whyNoVm();
    const kernel = await debianKernel(series);
    if (reason !== undefined || typeof kernel === 'string') return skip(reason ?? String(kernel));
    const initrd = join(scratch, 'initrd');
    const tree = options.includes('compressed') ? await compressedTree(kernel.modules ?? '', kernel.release ?? '') : '';
    if (hides !== undefined) vi.stubEnv('PATH', without(join(scratch, 'programs'), hides));
    const report = await create(initrd, series, [...SELECT, ...options.map((word) => (word === 'compressed' ? tree : word))]);
    expect(report['modules']).toMatchObject({ bytes: expect.toSatisfy((bytes: number) => bytes < 5_000_000) });
    vi.unstubAllEnvs();
    const disks = vm.disks?.map((disk) => ({ ...disk, file: join(scratch, disk.file) }));
    const result: VmResult = await runVm({ ...vm, kernel, initrd, timeoutSeconds: 100, ...(disks ? { disks } : {}) });
    expect(result, failureOf(result)).toMatchObject({ exitCode: 5, outcome: 'exited' });
    for (const pattern of said) expect(result.console).toMatch(pattern);
  });

  it('is the same twice, several times smaller than with the whole tree, and replaces nothing when it fails', async (context) => {
    const kernel = await debianKernel('6.12');
    if (whyNoVm() !== undefined || typeof kernel === 'string') return context.skip('no kernel');
    const [one, two, whole] = ['one', 'two', 'whole'].map((name) => join(scratch, name)) as [string, string, string];
    const first = await create(one, '6.12', ['--no-node', ...SELECT]);
    await create(two, '6.12', ['--no-node', ...SELECT]);
    expect(readFileSync(one).equals(readFileSync(two))).toBe(true);
    const all = await create(whole, '6.12', ['--compress', 'none']);
    expect(Number(first['unpacked']) * 10).toBeLessThan(Number(all['unpacked']));
    const failed = await runApplet(initramfsApplet, ['create', '--kernel', '6.12', '--no-node', '--select', 'no_such_module', '-o', one], { root: '/' });
    expect(failed).toEqual({ status: 1, stdout: '', stderr: `tskmod initramfs: --select no_such_module: the kernel has no such module\n` });
    expect(readFileSync(one).equals(readFileSync(two))).toBe(true);
  }, TIMEOUT);
});
