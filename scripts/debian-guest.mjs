// What a virtual machine has that runs Debian's udevd and kmod, and how Debian's boot starts them: for the tests and for the benchmarks.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
  const udevadm = udevadmOf(udev);
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

/** Groups that packages of Debian make when they are installed, and that rules name. */
const GROUPS = ['input:x:901:', 'render:x:902:', 'kvm:x:903:', 'sgx:x:904:'];
/** Where Debian has it on x86-64. */
const LIBBLKID = '/usr/lib/x86_64-linux-gnu/libblkid.so.1';
const HELPERS = ['ata_id', 'scsi_id', 'cdrom_id', 'dmi_memory_id', 'fido_id', 'mtd_probe', 'v4l_id'];

/**
 * Makes the nodes of modules.devname as Debian's boot does: kmod says which, systemd-tmpfiles makes them. Here the shell does. Without
 * --output kmod would leave a file called /dev/stdout.
 */
export const STATIC_NODES = `ln -s /kmod/modprobe /tmp/kmod
/tmp/kmod static-nodes --format=tmpfiles --output=/tmp/nodes
while read -r type path mode user group age number; do
  case $type in
    d*) mkdir -p "$path" ;;
    *) mkdir -p "\${path%/*}"; [ -e "$path" ] || mknod -m "$mode" "$path" "\${type%!}" "\${number%:*}" "\${number#*:}" ;;
  esac
done < /tmp/nodes
`;

/**
 * Options of runVm: the rules of Debian's udev with all that they need, for a daemon of whatever make. The hardware database and the
 * groups are made in `directory`.
 * @param {string} directory
 * @returns {{ overlays: string[], files: { source: string, target: string, withLibraries?: boolean }[] }}
 */
export function debianRules(directory) {
  const udev = unpackedPackage('udev');
  // A root with nothing but the sources of the database: the package in the cache stays as it is.
  for (const path of ['lib/udev', 'etc/udev']) mkdirSync(join(directory, path), { recursive: true });
  cpSync(join(udev, 'lib/udev/hwdb.d'), join(directory, 'lib/udev/hwdb.d'), { recursive: true });
  const { status, stderr, error } = spawnSync(udevadmOf(udev), ['hwdb', '--update', `--root=${directory}`], { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`udevadm hwdb --update: ${stderr}`);
  const group = join(directory, 'group');
  writeFileSync(group, `${readFileSync('/etc/group', 'utf8')}${GROUPS.join('\n')}\n`);
  return {
    overlays: [udev],
    files: [
      { source: '/etc/passwd', target: '/etc/passwd' }, { source: group, target: '/etc/group' },
      { source: join(directory, 'etc/udev/hwdb.bin'), target: '/etc/udev/hwdb.bin' },
      ...HELPERS.map((name) => ({ source: join(udev, 'lib/udev', name), target: `/lib/udev/${name}`, withLibraries: true })),
      { source: LIBBLKID, target: LIBBLKID, withLibraries: true },
      { source: udevadmOf(udev), target: '/bin/udevadm', withLibraries: true },
    ],
  };
}

/** @param {string} udev */
function udevadmOf(udev) {
  return first([join(udev, 'bin/udevadm'), join(udev, 'usr/bin/udevadm')]);
}

/** @param {string[]} paths */
function first(paths) {
  return paths.find((path) => existsSync(path)) ?? '';
}
