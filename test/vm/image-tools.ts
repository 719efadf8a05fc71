// initramfs-tools and dracut of Debian, unpacked into a root of their own with our package, and what stands for mkinitcpio, which Debian has not.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { unpackedPackage } from '../../scripts/debian-package.mjs';

export const TOP = join(import.meta.dirname, '../..');
const PACKAGES = ['initramfs-tools-core', 'klibc-utils', 'libklibc', 'udev', 'dracut-core'];

/** Its /usr and /etc are those of this machine with the packages laid over them; nothing is written outside of `scratch`, which is its /tmp. */
const ENTER = `set -e
scratch=$1 boot=$2 modules=$3
shift 3
root=$scratch/root
for name in usr etc; do
  mkdir -p $root/$name $scratch/upper-$name $scratch/work-$name
  mount -t overlay overlay -o lowerdir=$scratch/lower/$name:/$name,upperdir=$scratch/upper-$name,workdir=$scratch/work-$name $root/$name
done
mkdir -p $root/proc $root/dev $root/sys $root/run $root/tmp $root/var/tmp $root/boot $root/usr/lib/modules
for name in bin sbin lib lib64; do [ -L $root/$name ] || ln -s usr/$name $root/$name; done
mount --bind "$boot" $root/boot
mount --bind "$modules" $root/usr/lib/modules
mount -t proc proc $root/proc
mount --rbind /dev $root/dev
mount --bind $scratch $root/tmp
exec chroot $root "$@"
`;

export type ImageRoot = {
  /** Writes a file of the root, below /etc or /usr. */
  readonly put: (path: string, text: string, mode?: number) => void;
  readonly run: (...words: readonly string[]) => { readonly status: number | null; readonly output: string };
};

/** Why there can be no such root, or the root. `kernel` is an unpacked package of a kernel. */
export function openImageRoot(scratch: string, kernel: string): ImageRoot | string {
  if (process.getuid?.() !== 0) return 'only root can mount';
  const probe = join(scratch, 'probe');
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(probe, name), { recursive: true });
  const overlay = spawnSync('unshare', ['-m', 'mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${probe}/lower,upperdir=${probe}/upper,workdir=${probe}/work`, `${probe}/merged`], { encoding: 'utf8' });
  if (overlay.status !== 0) return `no overlay can be mounted here: ${overlay.stderr?.trim() ?? ''}`;
  const lower = join(scratch, 'lower');
  try {
    for (const name of PACKAGES) lay(unpackedPackage(name), lower);
  } catch (error) {
    return `a package cannot be had: ${String(error)}`;
  }
  const deb = spawnSync(process.execPath, [join(TOP, 'scripts/deb.mjs'), '--no-build', join(scratch, 'deb')], { encoding: 'utf8' });
  if (deb.status !== 0) throw new Error(deb.stderr);
  const unpacked = spawnSync('dpkg', ['-x', deb.stdout.trim(), lower], { encoding: 'utf8' });
  if (unpacked.status !== 0) throw new Error(unpacked.stderr);
  // mkinitramfs wants these.
  for (const name of ['conf.d', 'hooks', 'scripts']) mkdirSync(join(lower, 'etc/initramfs-tools', name), { recursive: true });
  return {
    put: (path, text, mode = 0o644) => {
      const place = path.replace(/^\/(etc|usr)\//, (_, name: string) => `upper-${name}/`);
      mkdirSync(dirname(join(scratch, place)), { recursive: true });
      writeFileSync(join(scratch, place), text);
      chmodSync(join(scratch, place), mode);
    },
    run: (...words) => {
      const { status, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', ENTER, 'sh', scratch, join(kernel, 'boot'), join(kernel, 'lib/modules'), ...words], { encoding: 'utf8', maxBuffer: 1 << 26 });
      return { status, output: stdout + stderr };
    },
  };
}

/** A package over others, as a system with one /usr has it. */
function lay(directory: string, lower: string): void {
  for (const name of readdirSync(directory)) {
    const target = ['bin', 'sbin', 'lib', 'lib64'].includes(name) ? join(lower, 'usr', name) : join(lower, name);
    cpSync(join(directory, name), target, { recursive: true, verbatimSymlinks: true });
  }
}

/**
 * Builds an image as mkinitcpio(8) says that it does, of a build hook, a runtime hook and busybox: KERNELVERSION and MODULES are set, and a hook
 * calls add_file, add_symlink, add_runscript and error. The init calls the functions of the runtime hook at their times.
 */
export const MKINITCPIO = `#!/bin/bash
# usage: mkinitcpio RELEASE OUTPUT MODULE...
KERNELVERSION=$1 output=$2
shift 2
MODULES=("$@")
hooks=/usr/lib/node_modules/tsmodprobe/packaging/mkinitcpio
BUILDROOT=$(mktemp -d /var/tmp/image.XXXXXX)
trap 'rm -rf $BUILDROOT' EXIT
mkdir -p $BUILDROOT/{proc,sys,dev,run,tmp,hooks,new_root,etc,usr/bin,usr/sbin,usr/lib}
for name in bin sbin lib; do ln -s usr/$name $BUILDROOT/$name; done
ln -s lib $BUILDROOT/usr/lib64
ln -s usr/lib $BUILDROOT/lib64
error() { echo "==> ERROR: $*" >&2; }
add_dir() { mkdir -p "$BUILDROOT$1"; }
add_file() { add_dir "$(dirname "\${2:-$1}")"; install -m "\${3:-$(stat -c %a "$1")}" "$1" "$BUILDROOT\${2:-$1}"; }
add_symlink() { add_dir "\${1%/*}"; ln -sfn "$2" "$BUILDROOT$1"; }
add_runscript() { add_file "$hooks/hooks/\${BASH_SOURCE[1]##*/}" "/hooks/\${BASH_SOURCE[1]##*/}"; }
add_file "$(command -v busybox)" /usr/bin/busybox
for name in ash sh mount mkdir cat ln sleep switch_root; do add_symlink /usr/bin/$name busybox; done
cat > $BUILDROOT/init <<'END'
#!/usr/bin/ash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
udevd_running=0
for word in $(cat /proc/cmdline); do
  case $word in root=*) root=\${word#root=} ;; esac
done
. /hooks/tsmodprobe
run_earlyhook
run_hook
wait=$((10 * udevd_running))
device=/dev/disk/by-label/\${root#LABEL=}
while [ ! -b $device ] && [ $wait -gt 0 ]; do sleep 1; wait=$((wait - 1)); done
mount -t ext4 -o rw $device /new_root
run_cleanuphook
for name in dev proc sys run; do mount -o move /$name /new_root/$name; done
exec switch_root /new_root /sbin/init
END
chmod 755 $BUILDROOT/init
. $hooks/install/tsmodprobe
build || exit 1
(cd $BUILDROOT && find . | cpio --quiet -o -H newc) > $output
`;
