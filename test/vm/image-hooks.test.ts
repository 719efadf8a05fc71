// The hooks of packaging/ for initramfs-tools, dracut and mkinitcpio: images made by them find the root by its label, with modules out of a bundle.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { findTool } from '../../src/vm/host-tool.ts';
import type { Kernel } from '../../src/vm/kernel.ts';
import { runVm } from '../../src/vm/vm.ts';
import { guestKernel } from './guests.ts';
import { type ImageRoot, MKINITCPIO, openImageRoot } from './image-tools.ts';

const TIMEOUT = 240_000;
const LABEL = 'the-root';
/** A configuration: the bundle that was made before. */
const BUNDLE = 'bundle = /tmp/modules-%r.erofs\n';

/** Says what came of the initramfs; has the daemon of the root go on with it; and ends the machine with 5. */
const INIT = `#!/bin/busybox sh
b=/bin/busybox
say() { echo "$1: $($b tr '\\n' ' ')"; }
$b grep ' / ' /proc/mounts | say root
$b cut -d' ' -f1 /proc/modules | $b sort | say modules
$b cat /proc/sys/kernel/modprobe | say helper
$b ps -o args | $b grep -c '[n]ode' | say nodes
disk=$($b readlink -f /dev/disk/by-label/${LABEL})
data=/run/udev/data/b$($b cat /sys/class/block/\${disk##*/}/dev)
$b grep -e ID_FS_LABEL= -e ^S:disk/by-label $data | say database
before=$($b grep ^I: $data)
echo /usr/lib/tsmodprobe/modprobe > /proc/sys/kernel/modprobe
/usr/lib/tsmodprobe/tsudevd --daemon -N never
/usr/lib/tsmodprobe/udevadm settle
/usr/lib/tsmodprobe/udevadm info --query=property --name=$disk | $b grep ID_FS_TYPE | say info
[ "$before" = "$($b grep ^I: $data)" ] && echo 'handed over'
$b cut -d' ' -f1 /proc/modules | $b sort | say later
$b stty -F /dev/ttyS1 115200 raw -echo
exec 3<>/dev/ttyS1
$b stty -F /dev/ttyS0 onlcr
printf '@exit 5\\n' >&3
$b sleep 20
`;

let scratch = '';
let kernel: Kernel | string = '';
let root: ImageRoot | string = '';
let release = '';

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-hooks-'));
  kernel = await guestKernel('6.12');
  if (typeof kernel === 'string') return;
  release = kernel.release ?? '';
  root = openImageRoot(scratch, dirname(dirname(kernel.image)));
  if (typeof root === 'string') return;
  // The root file system: busybox, and our daemon as the hooks would put it into an image.
  const system = join(scratch, 'system');
  for (const directory of ['bin', 'sbin', 'dev', 'proc', 'sys', 'run', 'tmp']) mkdirSync(join(system, directory), { recursive: true });
  copyFileSync(findTool('busybox') ?? '', join(system, 'bin/busybox'));
  execFileSync('ln', ['-s', 'busybox', join(system, 'bin/sh')]);
  writeFileSync(join(system, 'sbin/init'), INIT);
  chmodSync(join(system, 'sbin/init'), 0o755);
  succeed(root.run('tskmod', 'bundle', 'create', '-S', release, ...['virtio_blk', 'nvme', 'ext4'].flatMap((name) => ['--select', name]), '-o', `/tmp/modules-${release}.erofs`));
  root.put('/etc/all.conf', BUNDLE);
  succeed(root.run('tskmod', 'initramfs', 'stage', '--config', '/etc/all.conf', '-S', release, '/tmp/staged'));
  cpSync(join(scratch, 'staged'), system, { recursive: true });
  execFileSync(findTool('mke2fs') ?? 'mke2fs', ['-q', '-t', 'ext4', '-L', LABEL, '-d', system, join(scratch, 'disk'), '200M']);
}, TIMEOUT);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function succeed({ status, output }: { readonly status: number | null; readonly output: string }): string {
  expect(status, output).toBe(0);
  return output;
}

/** What the image holds, and the lines that its machine says of itself. */
async function boot(image: string, bus: 'virtio' | 'nvme'): Promise<{ readonly names: readonly string[]; readonly said: Readonly<Record<string, string>>; readonly console: string }> {
  if (typeof kernel === 'string') throw new Error(kernel);
  const file = join(scratch, image);
  const { stdout } = spawnSync('sh', ['-c', '{ zstd -qdc "$0" 2> /dev/null || cat "$0"; } | cpio --quiet -t', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const { exitCode, console } = await runVm({ kernel, initrd: file, memoryMiB: 768, append: `root=LABEL=${LABEL} rw`, disks: [{ file: join(scratch, 'disk'), bus, readOnly: false }], timeoutSeconds: TIMEOUT / 1000 });
  expect(exitCode, console).toBe(5);
  const said = Object.fromEntries([...console.matchAll(/^(root|modules|helper|nodes|database|info|later): (.*?) *\r?$/gm)].map(([, name = '', value = '']) => [name, value]));
  return { names: stdout.trim().split('\n').map((name) => name.replace(/^\.\//, '')), said, console };
}

const files = (names: readonly string[]) => ({
  modules: names.filter((name) => /\.ko(\.\w+)?$/.test(name)), bundle: names.filter((name) => name.startsWith('boot/')).sort(), udevd: names.filter((name) => /(^|\/)(systemd-)?udevd$/.test(name)),
});

describe('an image with our daemon and a bundle, of', () => {
  it('initramfs-tools, which brings up only what leads to a virtio disk; modules of its own configuration are in the bundle', { timeout: TIMEOUT }, async ({ skip }) => {
    if (typeof root === 'string') return skip(typeof kernel === 'string' ? kernel : root);
    root.put('/etc/tsmodprobe/initramfs.conf', 'select = virtio_blk virtio_pci nvme ext4 # and what hooks ask for\n');
    root.put('/etc/initramfs-tools/conf.d/modules', 'MODULES=list\n');
    root.put('/etc/initramfs-tools/modules', 'dummy numdummies=2\n');
    succeed(root.run('mkinitramfs', '-l', '1', '-o', '/tmp/initramfs-tools.img', release));
    const { names, said, console } = await boot('initramfs-tools.img', 'virtio');
    expect(files(names)).toEqual({ modules: [], bundle: [`boot/modules-${release}`], udevd: [] });
    expect(said).toEqual({
      root: '/dev/vda / ext4 rw,relatime 0 0', modules: expect.stringMatching(/(?=.*\bdummy\b)(?=.*\bext4\b)(?=.*\bvirtio_blk\b)(?!.*\bnvme\b)/), helper: '/sbin/modprobe', nodes: '0',
      database: `S:disk/by-label/${LABEL} E:ID_FS_LABEL=${LABEL}`, info: 'ID_FS_TYPE=ext4', later: expect.stringContaining('virtio_blk'),
    });
    expect(console).toContain('handed over');
  });

  it('dracut, with a bundle that is there already, and a nvme disk', { timeout: TIMEOUT }, async ({ skip }) => {
    if (typeof root === 'string') return skip(typeof kernel === 'string' ? kernel : root);
    root.put('/etc/tsmodprobe/initramfs.conf', BUNDLE);
    const module = '/usr/lib/dracut/modules.d/99tsmodprobe/module-setup.sh';
    const withSystemd = root.run('bash', '-c', 'dracut_module_included() { true; }; derror() { echo "$*"; }; . "$0"; install; echo $?', module);
    expect(withSystemd.output).toBe("tsmodprobe: images with systemd start its own udevd: leave it out with --omit 'systemd systemd-initrd dracut-systemd' (omit_dracutmodules+= in dracut.conf.d)\n1\n");
    const made = root.run('dracut', '--no-hostonly', '--no-kernel', '--no-compress', '--force', '--modules', 'rootfs-block tsmodprobe', '/tmp/dracut.img', release);
    expect(succeed(made)).toContain('Including module: tsmodprobe');
    const { names, said, console } = await boot('dracut.img', 'nvme');
    expect(files(names)).toEqual({ modules: [], bundle: [`boot/modules-${release}`], udevd: ['usr/lib/systemd/systemd-udevd'] });
    expect(said).toEqual({
      root: '/dev/nvme0n1 / ext4 rw,relatime 0 0', modules: 'crc16 crc32c_generic ext4 jbd2 mbcache nvme nvme_auth nvme_core', helper: '/sbin/modprobe', nodes: '0',
      database: `S:disk/by-label/${LABEL} E:ID_FS_LABEL=${LABEL}`, info: 'ID_FS_TYPE=ext4', later: expect.stringContaining('nvme'),
    });
    expect(console).toContain('handed over');
    expect(console).not.toContain('FATAL');
  });

  it('what stands for mkinitcpio, with all devices handled by a daemon that ends before the switch', { timeout: TIMEOUT }, async ({ skip }) => {
    if (typeof root === 'string') return skip(typeof kernel === 'string' ? kernel : root);
    root.put('/etc/tsmodprobe/initramfs.conf', `${BUNDLE}coldplug = all\n`);
    root.put('/usr/bin/mkinitcpio', MKINITCPIO, 0o755);
    const built = succeed(root.run('mkinitcpio', release, '/tmp/mkinitcpio.img', 'virtio_blk', 'zram', 'no_such_module?'));
    expect(built).toContain(`tskmod initramfs: warning: /tmp/modules-${release}.erofs lacks what was asked for: zram\n`);
    const { names, said, console } = await boot('mkinitcpio.img', 'virtio');
    expect(files(names)).toEqual({ modules: [], bundle: [`boot/modules-${release}`], udevd: [] });
    expect(said).toEqual({
      root: `/dev/disk/by-label/${LABEL} / ext4 rw,relatime 0 0`, modules: 'crc16 crc32c_generic ext4 jbd2 mbcache virtio_blk', helper: '/sbin/modprobe', nodes: '0',
      database: `S:disk/by-label/${LABEL} E:ID_FS_LABEL=${LABEL}`, info: 'ID_FS_TYPE=ext4', later: expect.stringContaining('virtio_blk'),
    });
    expect(console).toContain('handed over');
  });
});

describe('a hook that cannot do its work says what to do', () => {
  const hook = '/usr/share/initramfs-tools/hooks/tsmodprobe';
  const runHook = (version: string, before = 'true') => {
    if (typeof root === 'string') throw new Error(root);
    const { status, output } = root.run('sh', '-c', `${before}; export DESTDIR=$(mktemp -d) version=${version} verbose=n; mkdir -p $DESTDIR/lib/modules/$version; ${hook}; status=$?; find $DESTDIR -type f | wc -l; exit $status`);
    return { status, said: output.trim().split('\n') };
  };

  it('and leaves the image alone', ({ skip }) => {
    if (typeof root === 'string') return skip(typeof kernel === 'string' ? kernel : root);
    root.put('/etc/tsmodprobe/initramfs.conf', `bundle = /tmp/modules-${release}.erofs\n`);
    const advice = `make one with tskmod bundle create -S 6.1.0 -o /tmp/modules-${release}.erofs`;
    const nothing = 'tsmodprobe: nothing was put into the image for 6.1.0 (above)';
    expect(runHook('6.1.0')).toEqual({ status: 1, said: ['0', `tskmod initramfs: /tmp/modules-${release}.erofs has modules of ${release}, not of 6.1.0: ${advice}`, nothing] });
    root.put('/etc/tsmodprobe/initramfs.conf', 'bundle = /tmp/no-%r\n');
    expect(runHook('6.1.0').said).toEqual(['0', 'tskmod initramfs: there is no bundle /tmp/no-6.1.0: make one with tskmod bundle create -S 6.1.0 -o /tmp/no-6.1.0', nothing]);
    root.put('/etc/tsmodprobe/initramfs.conf', '\nselekt = ext4\n');
    expect(runHook('6.1.0').said).toEqual(['0', 'tskmod initramfs: /etc/tsmodprobe/initramfs.conf:2: selekt is not known: there are bundle, select, machine, coldplug, timeout', nothing]);
    root.put('/etc/tsmodprobe/initramfs.conf', '# nothing\n');
    expect(runHook(release).said[1]).toMatch(/^tskmod initramfs: no modules are selected: name them with --select/);
    expect(runHook(release, 'mv /usr/bin/node /usr/bin/no-node').said).toEqual([
      '0', expect.stringMatching(/node/), 'tsmodprobe: tskmod does not run (above): it needs Node 20.19 or newer; remove /etc/tsmodprobe/initramfs.conf to do without it',
    ]);
    expect(runHook(release, 'mv /usr/bin/no-node /usr/bin/node; rm /usr/bin/tskmod').said).toEqual(['0', 'tsmodprobe: there is no tskmod: install the package tsmodprobe, or remove /etc/tsmodprobe/initramfs.conf']);
    expect(runHook(release, 'rm /etc/tsmodprobe/initramfs.conf')).toEqual({ status: 0, said: ['0'] });
  });
});
