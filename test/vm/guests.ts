// Guests for the acceptance tests: one with our daemon, one with Debian's udevd and kmod, otherwise alike.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

import { messageOf } from '../../src/errors.ts';
import { defaultCacheDirectory } from '../../src/vm/cache.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { findKernel, type Kernel } from '../../src/vm/kernel.ts';
import type { GuestFile, VmOptions, VmResult } from '../../src/vm/vm.ts';
import { runVm } from '../../src/vm/vm.ts';

/** Why no guest can be booted here, or undefined. With CI=true that is a failure, not a reason. */
export function whyNoVm(): string | undefined {
  const reason = findTool('qemu-system-x86_64') === undefined ? 'QEMU is not installed (apt-get install qemu-system-x86)'
    : findTool('busybox') === undefined ? 'busybox is not installed (apt-get install busybox-static)' : undefined;
  if (reason !== undefined && process.env['CI'] === 'true') throw new Error(reason);
  return reason;
}

/** The newest Debian kernel of a series, or why it is not to be had: an archive has the series of its release only. */
export async function debianKernel(series: string): Promise<Kernel | string> {
  try {
    return await findKernel({ kernel: series, cacheDirectory: defaultCacheDirectory() });
  } catch (error) {
    return messageOf(error);
  }
}

/** A package of Debian's archive, unpacked into the cache and not installed. Throws with apt's words. */
export function unpackedPackage(name: string): string {
  const directory = join(defaultCacheDirectory(), 'packages');
  const target = join(directory, name);
  if (existsSync(target)) return target;
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-package-'));
  try {
    tool('apt-get', ['download', '-q', name], scratch);
    const deb = readdirSync(scratch).find((file) => file.endsWith('.deb'));
    tool('dpkg', ['-x', join(scratch, deb ?? ''), join(scratch, 'unpacked')], scratch);
    tool('mkdir', ['-p', directory], scratch);
    tool('cp', ['-a', join(scratch, 'unpacked'), `${target}.${process.pid}`], scratch);
    renameSync(`${target}.${process.pid}`, target);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return target;
}

function tool(program: string, args: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-vm-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Debian's modprobe.d, for both guests alike. */
const MODPROBE_D: readonly GuestFile[] = ['/lib/modprobe.d', '/etc/modprobe.d'].filter((path) => existsSync(path))
  .map((path) => ({ source: path, target: path }));

/** A guest with our tools; `script` is for its sh. */
export function runOurs(kernel: Kernel, script: string, options: VmOptions = {}): Promise<VmResult> {
  return runVm({ kernel, command: script, timeoutSeconds: 240, ...options, files: [...MODPROBE_D, ...(options.files ?? [])] });
}

/** A guest with Debian's udev and kmod; the kernel's helper is Debian's modprobe too. */
export function runDebians(kernel: Kernel, script: string, options: VmOptions = {}): Promise<VmResult> {
  const udev = unpackedPackage('udev');
  const kmod = findTool('kmod') ?? '';
  const udevadm = [join(udev, 'bin/udevadm'), join(udev, 'usr/bin/udevadm')].find((path) => existsSync(path)) ?? '';
  return runVm({
    kernel, timeoutSeconds: 240, ...options, helper: '/kmod/modprobe', overlays: [udev],
    files: [
      ...MODPROBE_D, ...(options.files ?? []),
      { source: kmod, target: '/kmod/modprobe', withLibraries: true },
      { source: udevadm, target: '/bin/udevadm', withLibraries: true },
      { source: udevadm, target: '/kmod/systemd-udevd', withLibraries: true },
      { source: '/etc/passwd', target: '/etc/passwd' }, { source: '/etc/group', target: '/etc/group' },
    ],
    command: script,
  });
}

/** Debian's coldplug, as its boot does it. */
export const UDEVD_COLDPLUG = `/kmod/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=120
`;

/** The loaded modules, sorted. */
export function modulesOf(result: VmResult): string[] {
  const text = result.files.get('modules')?.toString('utf8') ?? '';
  return text.split('\n').filter(Boolean).map((line) => line.split(' ')[0] ?? '').sort();
}

/** Sends /proc/modules to the host, for modulesOf. */
export const PUT_MODULES = 'cat /proc/modules > /tmp/modules; vmctl put /tmp/modules\n';
