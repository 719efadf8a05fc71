// Guests for the acceptance tests: one with our daemon, one with Debian's udevd and kmod, otherwise alike.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { debianGuest } from '../../scripts/debian-guest.mjs';
import { messageOf } from '../../src/errors.ts';
import { defaultCacheDirectory } from '../../src/vm/cache.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { formatGuestTask, parseGuestTasks } from '../../src/vm/guest-tasks.ts';
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

/** The kernel of a guest, or why a test of it is skipped. */
export async function guestKernel(series: string): Promise<Kernel | string> {
  return whyNoVm() ?? debianKernel(series);
}

/** Debian's modprobe.d, for both guests alike. */
const MODPROBE_D: readonly GuestFile[] = ['/lib/modprobe.d', '/etc/modprobe.d'].filter((path) => existsSync(path))
  .map((path) => ({ source: path, target: path }));

/** A file of a guest with that text, which stands in `directory` until then. */
export function guestText(directory: string, name: string, target: string, text: string): GuestFile {
  const source = join(directory, name);
  writeFileSync(source, text);
  return { source, target };
}

/** A guest with our tools; `script` is for its sh. */
export function runOurs(kernel: Kernel, script: string, options: VmOptions = {}): Promise<VmResult> {
  return runVm({ kernel, command: script, timeoutSeconds: 240, ...options, files: [...MODPROBE_D, ...(options.files ?? [])] });
}

/** A guest with Debian's udev and kmod; the kernel's helper is Debian's modprobe too. */
export function runDebians(kernel: Kernel, script: string, options: VmOptions = {}): Promise<VmResult> {
  const guest = debianGuest();
  const overlays = [...guest.overlays, ...(options.overlays ?? [])];
  return runVm({ kernel, timeoutSeconds: 240, ...options, ...guest, overlays, files: [...MODPROBE_D, ...guest.files, ...(options.files ?? [])], command: script });
}

/** Why a guest did not end well, beginning with the most important: what hung, and what it was asked last. */
export function failureOf({ outcome, tasks, panic, console }: VmResult): string {
  return [outcome, panic, parseGuestTasks(tasks).map(formatGuestTask).join('; '), console.slice(-300), tasks].filter(Boolean).join(' | ');
}

/** The loaded modules, sorted. */
export function modulesOf(result: VmResult): string[] {
  const text = result.files.get('modules')?.toString('utf8') ?? '';
  return text.split('\n').filter(Boolean).map((line) => line.split(' ')[0] ?? '').sort();
}

/** Sends /proc/modules to the host, for modulesOf. */
export const PUT_MODULES = 'cat /proc/modules > /tmp/modules; vmctl put /tmp/modules\n';
