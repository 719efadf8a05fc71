// What a virtual machine has that runs Debian's udevd and kmod, and how Debian's boot starts them: for the tests and for the benchmarks.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { unpackedPackage } from './debian-package.mjs';

/** Debian's coldplug, as its boot does it. */
export const UDEVD_COLDPLUG = `/kmod/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=120
`;

/**
 * Options of runVm: Debian's udev, unpacked and not installed, with the installed kmod, which is the kernel's helper too.
 * @returns {{ helper: string, overlays: string[], files: { source: string, target: string, withLibraries?: boolean }[] }}
 */
export function debianGuest() {
  const udev = unpackedPackage('udev');
  const first = (/** @type {string[]} */ paths) => paths.find((path) => existsSync(path)) ?? '';
  const udevadm = first([join(udev, 'bin/udevadm'), join(udev, 'usr/bin/udevadm')]);
  return {
    helper: '/kmod/modprobe',
    overlays: [udev],
    files: [
      { source: first(['/usr/bin/kmod', '/bin/kmod']), target: '/kmod/modprobe', withLibraries: true },
      { source: udevadm, target: '/bin/udevadm', withLibraries: true },
      { source: udevadm, target: '/kmod/systemd-udevd', withLibraries: true },
      { source: '/etc/passwd', target: '/etc/passwd' }, { source: '/etc/group', target: '/etc/group' },
    ],
  };
}
