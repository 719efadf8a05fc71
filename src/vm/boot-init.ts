// The text of /init in an initramfs of `tskmod initramfs create`. Text only; dash or busybox sh reads it.

import { GUEST_WRAPPER, shellQuote } from './guest-init.ts';

/** Where hooks are, by the point at which they run: POINT/NAME. */
export const HOOK_DIRECTORY = '/etc/initramfs/hooks';

/** The points in their order: file systems mounted; devices there; root mounted (`$ROOT`) and about to be switched to; before the shell of a system in RAM. */
export const HOOK_POINTS = ['mounted', 'devices', 'root', 'shell'] as const;

export type BootInitOptions = {
  /** Our tools are there; without them busybox loads modules and finds disks. */
  readonly hasRuntime: boolean;
  /** Without it the programs are those of HOST_PROGRAMS, and our tools must be there. */
  readonly hasBusybox: boolean;
  /** What counts as root= where the kernel's command line has none; undefined for a system in RAM. */
  readonly root: string | undefined;
  readonly libraryPath: readonly string[];
};

/** Programs of busybox that the script uses. */
export const BOOT_APPLETS_NEEDED = [
  'sh', 'mount', 'mkdir', 'mkfifo', 'cat', 'sed', 'readlink', 'sleep', 'setsid', 'cttyhack', 'switch_root', 'poweroff', 'mdev', 'findfs', 'find', 'sort', 'xargs',
];

/** Programs of another make that the script uses where there is no busybox, with the Debian packages that have them; `ls` is for people. */
export const HOST_PROGRAMS = {
  dash: 'dash', mount: 'mount', sed: 'sed', setsid: 'util-linux', switch_root: 'util-linux',
  mkdir: 'coreutils', mkfifo: 'coreutils', cat: 'coreutils', readlink: 'coreutils', sleep: 'coreutils', ls: 'coreutils',
};

/** Seconds that a disk may take once everything else is done. */
const ROOT_SECONDS = 30;

/**
 * Mounts what a system has, runs our daemon, and switches to the root file system that root= names, or stays in RAM when there is
 * none. Of the kernel's command line it takes root=, rootfstype=, rootflags=, ro, rw, init= and break=POINT (a shell there).
 */
export function bootInit(options: BootInitOptions): string {
  const { hasRuntime, hasBusybox, root, libraryPath } = options;
  return `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=\${TERM:-linux}
${libraryPath.length > 0 ? `export LD_LIBRARY_PATH=${shellQuote(libraryPath.join(':'))}\n` : ''}
say() { echo "initramfs: $*"; }
shell() { ${hasBusybox ? 'setsid cttyhack /bin/sh' : 'setsid -c /bin/sh < /dev/console > /dev/console 2>&1'}; }
# What is wrong with one hook does not keep the machine from booting.
hook() {
  for file in ${HOOK_DIRECTORY}/"$1"/*; do
    [ ! -x "$file" ] || "$file" || say "hook $file: exit code $?"
  done
  [ "$break" != "$1" ] || { say "break=$1: leave the shell to go on"; shell; }
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run

root=${shellQuote(root ?? '')} type= flags= mode=ro init= break=
set -f
for word in $(cat /proc/cmdline); do
  case $word in
    root=*) root=\${word#*=} ;;
    rootfstype=*) type=\${word#*=} ;;
    rootflags=*) flags=,\${word#*=} ;;
    ro|rw) mode=$word ;;
    init=*) init=\${word#*=} ;;
    break=*) break=\${word#*=} ;;
  esac
done
set +f
[ "$root" != none ] || root=
export ROOT=/new-root
hook mounted
${hasRuntime ? OUR_DEVICES : BUSYBOX_DEVICES}
no_root() {
  say "$1. What is there:"
  cat /proc/partitions
  say "leave the shell to try again; root=$root"
  shell
}

if [ -n "$root" ]; then
  mkdir -p $ROOT
  tries=0
  while :; do
    find_root
    if [ ! -b "$disk" ]; then no_root "root=$root has not come"; continue; fi
    hook devices
    fs=$type
    [ -n "$fs" ] || fs=$(file_system "$disk")
    mount \${fs:+-t $fs} -o "$mode$flags" "$disk" $ROOT && break
    no_root "$disk (\${fs:-unknown file system}) cannot be mounted"
  done
  for program in $init /sbin/init /etc/init /bin/init /bin/sh; do
    # A link may be absolute: only the new root can follow it.
    [ -x "$ROOT$program" ] || [ -L "$ROOT$program" ] || continue
    hook root
    for directory in dev proc sys run; do
      [ ! -d $ROOT/$directory ] || mount -o move /$directory $ROOT/$directory
    done
    [ ! -e $ROOT/proc/sys/kernel/modprobe ] || echo /sbin/modprobe > $ROOT/proc/sys/kernel/modprobe
    exec switch_root ${hasBusybox ? '-c /dev/console ' : ''}$ROOT "$program"
  done
  say "no init on $root"
  shell
else
  stay
  hook devices
  hook shell
  [ -z "$init" ] || exec "$init"
  shell
fi
${hasBusybox ? 'poweroff -f' : 'echo o > /proc/sysrq-trigger'}
sleep 60
`;
}

/** The daemon brings what leads to the disk first, and ends when that is there; without a root it stays. */
const OUR_DEVICES = `echo ${GUEST_WRAPPER} > /proc/sys/kernel/modprobe
find_root() {
  tsudevd --until "$root" --timeout ${ROOT_SECONDS} > /run/initramfs.log 2>&1 || cat /run/initramfs.log
  case $root in
    LABEL=*|UUID=*|PARTUUID=*|PARTLABEL=*|ID=*)
      by=$(echo "\${root%%=*}" | sed 'y/ABDEILPRTU/abdeilprtu/')
      disk=/dev/disk/by-$by/\${root#*=} ;;
    *) disk=$root ;;
  esac
}
file_system() {
  device=$(readlink -f "$1")
  sed -n 's/^E:ID_FS_TYPE=//p' "/run/udev/data/b$(cat "/sys/class/block/\${device##*/}/dev")" 2> /dev/null
}
stay() {
  mkfifo /run/coldplug-done
  tsudevd --ready-fd 5 5> /run/coldplug-done > /run/initramfs.log 2>&1 &
  read -r line < /run/coldplug-done
}
`;

/** Without our tools: modules are not compressed then, and the buses that a module brings are asked in the next round. */
const BUSYBOX_DEVICES = `echo /sbin/modprobe > /proc/sys/kernel/modprobe
stay() {
  for round in 1 2 3; do
    find /sys/devices -name modalias -exec cat {} + | sort -u | xargs -n 50 modprobe -abq 2> /dev/null
  done
  mdev -s
}
find_root() {
  [ "$tries" -gt 0 ] || stay
  while [ "$tries" -lt ${ROOT_SECONDS} ]; do
    tries=$((tries + 1))
    case $root in
      LABEL=*|UUID=*) disk=$(findfs "$root" 2> /dev/null) ;;
      *) disk=$root ;;
    esac
    [ ! -b "$disk" ] || return 0
    sleep 1
  done
  tries=0
}
# busybox has no blkid everywhere: mount tries what the kernel knows, which are the selected ones then.
file_system() {
  find /lib/modules -path '*/kernel/fs/*.ko' | sed 's,.*/,,; s,\\.ko$,,' | xargs modprobe -aq 2> /dev/null
}
`;
