// What the kernel asks for by request_module(), through our helper and daemon, in one guest.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';

import { selectModules } from '../../src/vm/select.ts';
import type { VmResult } from '../../src/vm/vm.ts';
import { debianGuest } from '../../scripts/debian-guest.mjs';
import { debianKernel, guestKernel, runOurs, whyNoVm } from './guests.ts';
import { packagesInGuest } from './packages.ts';
import { unpackedPackage } from '../../scripts/debian-package.mjs';

const HELPER = join(dirname(fileURLToPath(import.meta.url)), '../../dist/tskmod-helper');

const MODULES = [
  'loop', 'xfs', 'btrfs', 'ext4', 'vfat', 'squashfs', 'nls_ascii', 'nls_cp437', 'nls_utf8', 'dummy', 'tcp_bbr', 'vsock_loopback', 'hv_sock', 'vmw_vsock_vmci_transport', 'af_key', 'af_alg',
  'algif_hash', 'md4', 'nbd', 'ppp_generic', 'udp_diag', 'sctp', 'crc32c_generic', 'crc32_generic', 'nls_iso8859-1', 'nf_tables', 'nfnetlink', 'xxhash_generic', 'blake2b_generic', 'veth',
  'ifb', 'overlay', 'crc16', 'rc-[d-t]*',
].map((name) => `kernel/**/${name}`);

/** Modules of one size that need the same two others. */
const FIFTY = Array.from({ length: 50 }, (_, index) => `m${index + 1}`);

/**
 * What `libcrc32c` wants before itself is another module here: so its init asks the kernel, which asks us, for crypto-crc32c. Then
 * an alias whose install command asks for it again, aliases of which one of two modules cannot be loaded, and what btrfs needs, whose load
 * ends the daemon that makes it.
 */
const MODPROBE_D = `alias crc32c crc16
alias tcp_loop ifb
install ifb perl -e 'socket(S, 2, 1, 0) or die; setsockopt(S, 6, 13, "loop"); exit 0'; /app/modprobe --ignore-install ifb
alias tcp_first hv_sock
alias tcp_first crc16
alias tcp_last crc16
alias tcp_last hv_sock
install raid6_pq /tmp/kill-daemon; /app/modprobe --ignore-install raid6_pq
`;

/** For both guests. `step NAME SECONDS COMMAND...`: what it says and how it ends goes to the host; what takes too long is killed. */
const PREPARE = `
step() {
  name=$1 limit=$2
  shift 2
  timeout $limit "$@" > /tmp/step.$name 2>&1
  echo "$name $?" >> /tmp/steps
}
start() {
  rm -f /tmp/ready
  mkfifo /tmp/ready
  tsudevd --no-coldplug -l debug --ready-fd 5 5> /tmp/ready 2>> /tmp/step.daemon &
  daemon=$!
  read -r line < /tmp/ready
}
mknod -m 600 /dev/loop-control c 10 237 2> /dev/null
`;

const SCRIPT = `${PREPARE}
unload() {
  umount /mnt/* 2> /dev/null
  for loop in /dev/loop[0-9]*; do losetup -d $loop 2> /dev/null; done
  # What others use stays for the next round.
  for round in 1 2 3 4 5 6; do /kmod/rmmod $(cut -d ' ' -f 1 /proc/modules) 2> /dev/null; done
}
# Everybody that calls request_module(); $1 is in front of the names of the steps.
callers() {
  for name in vfat xfs ext4 squashfs; do step $1-mount-$name 120 /bin/mount -o loop,ro /images/$name.img /mnt/$name; done
  step $1-pf-key 30 perl -e 'socket(S, 15, 3, 2) or die $!'
  step $1-pf-vsock 30 perl -e 'socket(S, 40, 1, 0) or die $!'
  step $1-netlink 30 perl -e 'socket(S, 16, 3, 12) or die $!'
  step $1-alg 60 perl -e 'socket(S, 38, 5, 0) or die $!; bind(S, pack("Sa14LLa64", 38, "hash", 0, 0, "md4")) or die $!'
  step $1-bbr 60 perl -e 'socket(S, 2, 1, 0) or die $!; setsockopt(S, 6, 13, "bbr") or die $!'
  step $1-dummy 60 /sbin/ip link add probe0 type dummy
  step $1-ppp 30 sh -c 'exec 7<> /tmp/ppp'
  perl -e 'socket(S, 2, 1, 0) or die $!; setsockopt(S, 6, 13, "first"); setsockopt(S, 6, 13, "last")'
  (exec 7< /tmp/nbd) 2> /dev/null
  perl -e 'exec {"/tmp/strange"} "strange"; exit 0' 2> /dev/null
  cut -d ' ' -f 1 /proc/modules | sort > /tmp/step.$1-modules
}
for name in xfs btrfs ext4 vfat squashfs; do mkdir -p /mnt/$name; done
cat /proc/sys/kernel/modprobe > /tmp/step.before
mknod /tmp/ppp c 108 0
mknod /tmp/nbd b 43 0
printf '\\376\\377\\376\\377' > /tmp/strange
chmod +x /tmp/strange
ln -s modprobe /kmod/rmmod

# Debian's kmod is asked first: what it answers is what we have to.
printf '#!/bin/sh\n/kmod/modprobe "$@"\nstatus=$?\necho "$3 $status" >> /tmp/step.kmod\nexit $status\n' > /tmp/kmod-helper
chmod +x /tmp/kmod-helper
echo /tmp/kmod-helper > /proc/sys/kernel/modprobe
callers kmod
for alias in net-pf-2-proto-132-type-1 net-pf-2-proto-132; do /kmod/modprobe -n -q -- $alias; echo "$alias $?"; done > /tmp/step.sctp-kmod
unload
cat /proc/modules > /tmp/step.left
cat /tmp/step.before > /proc/sys/kernel/modprobe

step install 60 tskmod helper install
step sysctl 5 cat /etc/sysctl.d/60-tsmodprobe.conf
step absent 60 tskmod helper status --json
# No daemon yet: loop, file system and character set by the CLI.
step mount-vfat 120 /bin/mount -t vfat -o loop,ro /images/vfat.img /mnt/vfat
cat /proc/mounts > /tmp/step.mounts-absent
unload

# Loops: what the init of libcrc32c asks for is libcrc32c, and an install command asks for its own module. Both take their time.
echo 'alias crypto-crc32c libcrc32c' > /etc/modprobe.d/loop.conf
/app/modprobe dummy numdummies=0
start
step loop-init 100 /bin/mount -t xfs -o loop,ro /images/xfs.img /mnt/xfs &
init=$!
step loop-install 100 perl -e 'socket(S, 2, 1, 0) or die $!; setsockopt(S, 6, 13, "loop")'
wait $init
# The daemon asks ethtool for an interface that has gone: the kernel asks for a module of that name.
kill -STOP $daemon
/sbin/ip link add gone0 type dummy
/sbin/ip link del gone0
kill -CONT $daemon
step gone 60 tsudevadm settle
# It opens /dev/btrfs-control for a disk with btrfs: the kernel asks for the module of that. A file says who loads.
rm /etc/modprobe.d/loop.conf
tsudevadm control --reload
who='echo "$MODPROBE_MODULE $(cut -d " " -f 4 /proc/$PPID/stat)"'
printf '#!/bin/sh\n%s > /tmp/step.installer\n' "$who" > /tmp/kill-daemon
chmod +x /tmp/kill-daemon
losetup -f /images/btrfs.img
step btrfs-control 120 tsudevadm settle
echo raid6_pq $daemon > /tmp/step.installs
rm /tmp/kill-daemon
kill $daemon
wait $daemon
mv /tmp/step.daemon /tmp/step.loops
unload

start
step present 60 tskmod helper status --json
callers ours
cat /proc/mounts > /tmp/step.mounts
# Nothing removes sctp again, so kmod was only asked.
step sctp 60 perl -e 'socket(S, 2, 1, 132) or die $!'
# One request for each call.
for letter in n m; do perl -e 'for my $i (1 .. 50) { next if fork; socket(S, 2, 1, 0); setsockopt(S, 6, 13, "$ARGV[0]$i"); exit 0 } 1 while wait > 0' $letter; done
cut -d ' ' -f 1 /proc/modules > /tmp/step.fifty

umount /mnt/xfs /mnt/squashfs
for name in xfs squashfs; do /kmod/rmmod $name; done
kill -STOP $daemon
step hung 120 /bin/mount -o loop,ro /images/squashfs.img /mnt/squashfs
cat /proc/mounts > /tmp/step.mounts-hung
kill -CONT $daemon
step after-hung 60 tskmod helper status --json
# Its parent is the shell of the install command, whose parent is who loads.
printf '#!/bin/sh\nrm /tmp/kill-daemon\n%s > /tmp/step.killer\nkill -KILL %d\n' "$who" $daemon > /tmp/kill-daemon
echo raid6_pq $daemon > /tmp/step.loader
chmod +x /tmp/kill-daemon
step mount-btrfs 240 /bin/mount -o loop,ro /images/btrfs.img /mnt/btrfs
wait $daemon
echo $? > /tmp/step.killed
cat /proc/mounts > /tmp/step.mounts-killed
for bad in ../x -r /etc/passwd 'a b' ''; do /app/tskmod-helper -q -- "$bad"; echo $?; done > /tmp/step.bad
step remove 60 tskmod helper remove
cat /proc/sys/kernel/modprobe > /tmp/step.after
vmctl put /tmp/steps /tmp/step.*
`;

describe('request_module of the kernel, through helper and daemon', () => {
  let scratch = '';
  let result: VmResult | undefined;
  let skipped: string | undefined;

  beforeAll(async () => {
    skipped = whyNoVm() ?? whyNoHelper();
    const kernel = skipped === undefined ? await debianKernel('6.12') : '';
    if (typeof kernel === 'string') skipped ??= kernel;
    if (skipped !== undefined || typeof kernel === 'string' || kernel.modules === undefined || kernel.release === undefined) return;
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-helper-'));
    makeImages(scratch);
    const fifty = fiftyOf(kernel.modules);
    const conf = join(scratch, 'modprobe.conf');
    writeFileSync(conf, MODPROBE_D + FIFTY.map((name, index) => `alias tcp_${name} ${fifty[index]}\n`).join(''));
    const packages = packagesInGuest([], ['bin/mount', 'usr/bin/perl', 'sbin/ip']);
    result = await runOurs(kernel, SCRIPT, {
      modules: await selectModules(kernel.modules, kernel.release, MODULES), timeoutSeconds: 420, overlays: packages.overlays,
      files: [...packages.files, ...debianGuest().files.filter(({ target }) => target === '/kmod/modprobe'), { source: conf, target: '/etc/modprobe.d/request-module.conf' },
        { source: HELPER, target: '/app/tskmod-helper' }, { source: join(scratch, 'images'), target: '/images' }],
    });
  }, 600_000);
  afterAll(() => {
    if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
  });

  const textOf = (file: string): string => result?.files.get(file)?.toString('utf8') ?? '';
  const ended = (context: TestContext, ...steps: readonly string[]): void => {
    if (skipped !== undefined) context.skip(skipped);
    const statuses = new Map(textOf('steps').split('\n').map((line) => line.split(' ')).map(([name = '', status = '']) => [name, status]));
    for (const step of steps) expect(statuses.get(step), `${step}: ${textOf(`step.${step}`)}\n${textOf('step.daemon')}\n${result?.console}`).toBe('0');
  };
  const lines = (file: string): string[] => textOf(`step.${file}`).split('\n').filter(Boolean);
  const mounted = (file: string): string[] => [...textOf(`step.${file}`).matchAll(/ \/mnt\/(\w+) (\w+) /g)].map(([, place, type]) => `${place} ${type}`).sort();
  /** What the daemon was asked for, with its answers. */
  const asked = (): string[] => [...textOf('step.daemon').matchAll(/the kernel has (\S+): (\d+)/g)].map(([, alias, status]) => `${alias} ${status}`);
  const status = (step: string): unknown => JSON.parse(textOf(`step.${step}`));

  it('is installed, says what it does, and is removed', (context) => {
    ended(context, 'install', 'absent', 'present', 'after-hung', 'remove');
    const before = textOf('step.before').trim();
    const state = {
      schema: 1, kind: 'helper', program: '/app/tskmod-helper', isOurs: true, command: [expect.stringMatching(/^\/.*node$/), '/app/tskmod.cjs', 'modprobe'],
      previous: before, sysctlFile: '/etc/sysctl.d/60-tsmodprobe.conf',
    };
    expect(status('absent')).toEqual({ ...state, answer: 'no-daemon' });
    expect(status('present')).toEqual({ ...state, answer: 'daemon' });
    expect(status('after-hung')).toEqual({ ...state, answer: 'daemon' });
    expect(textOf('step.sysctl')).toContain('\nkernel.modprobe = /app/tskmod-helper\n');
    expect(textOf('step.after').trim()).toBe(before);
  });

  it('mounts file systems whose modules nobody has loaded: daemon absent, running, hung, and killed midway', (context) => {
    ended(context, 'mount-vfat', 'ours-mount-xfs', 'ours-mount-ext4', 'ours-mount-vfat', 'ours-mount-squashfs', 'hung', 'mount-btrfs');
    expect(mounted('mounts-absent')).toEqual(['vfat vfat']);
    expect(mounted('mounts')).toEqual(['ext4 ext4', 'squashfs squashfs', 'vfat vfat', 'xfs xfs']);
    expect(mounted('mounts-killed')).toEqual(['btrfs btrfs', 'ext4 ext4', 'squashfs squashfs', 'vfat vfat']);
    expect(mounted('mounts-hung')).toEqual(['ext4 ext4', 'squashfs squashfs', 'vfat vfat']);
    // In the middle of a load that the helper had asked for: for mount, or for the daemon, whose rules look at the disk.
    const about = (words: string): string[] => lines('daemon').filter((line) => new RegExp(`the kernel ${words} (?:fs-btrfs|char-major-10-234)`).test(line));
    expect({ status: lines('killed'), killer: lines('killer'), isAsked: about('asks for').length > 0, answered: about('has') }).toEqual({ status: ['137'], killer: lines('loader'), isAsked: true, answered: [] });
  });

  it('answers every caller as Debian\'s kmod does, and loads the same modules', (context) => {
    ended(context, ...['pf-key', 'pf-vsock', 'netlink', 'alg', 'bbr', 'dummy', 'ppp'].flatMap((name) => [`kmod-${name}`, `ours-${name}`]));
    const kmod = lines('kmod');
    expect(kmod).toEqual(expect.arrayContaining([
      expect.stringMatching(/^fs-xfs /), expect.stringMatching(/^net-pf-40 /), expect.stringMatching(/^crypto-/), expect.stringMatching(/^char-major-/), expect.stringMatching(/^block-major-/),
      expect.stringMatching(/^binfmt-/), expect.stringMatching(/^net-pf-16-proto-/), expect.stringMatching(/^tcp_bbr /), expect.stringMatching(/^rtnl-link-dummy /),
    ]));
    // In the order in which they end: crypto-crc32c within fs-xfs.
    expect(asked().slice(0, kmod.length)).toEqual(kmod);
    ended(context, 'sctp');
    expect(asked().filter((line) => line.startsWith('net-pf-2-'))).toEqual(lines('sctp-kmod'));
    expect(lines('ours-modules')).toEqual(lines('kmod-modules'));
    expect(lines('left')).toEqual([]);
  });

  it('answers a request from the init of a module that it is loading', (context) => {
    ended(context);
    expect(nestedIn(textOf('step.daemon'))).toEqual(NESTED);
  });

  /** Of the daemon of the loops. */
  const loops = (about: RegExp): string[] => lines('loops').filter((line) => about.test(line)).map((line) => line.replace(/^udevd: \w+: /, ''));

  it('cuts loops: through the init of a module, and through an install command', (context) => {
    ended(context, 'loop-install');
    expect(loops(/the kernel (?:asks for|has) (?:fs-xfs|crypto-crc32c)(?:$|:)|libcrc32c .*EDEADLK/).slice(0, 5)).toEqual([
      'the kernel asks for fs-xfs', 'the kernel asks for crypto-crc32c',
      'libcrc32c for request_module: libcrc32c is still being initialised after 15 s, and may itself wait for this request (EDEADLK)',
      'the kernel has crypto-crc32c: 1', 'the kernel has fs-xfs: 1',
    ]);
    expect(textOf('steps')).toMatch(/^loop-init (?!0|124)\d+$/m);
    expect(loops(/tcp_loop|ifb .*EDEADLK/)).toEqual([
      'the kernel asks for tcp_loop', 'the kernel asks for tcp_loop',
      'ifb for request_module: the install command of ifb still runs after 15 s, and may itself wait for this request (EDEADLK)',
      'the kernel has tcp_loop: 1', 'the kernel has tcp_loop: 0',
    ]);
  });

  it('never has the daemon wait for itself', (context) => {
    ended(context, 'gone', 'btrfs-control');
    expect(loops(/char-major-10-234/)).toEqual(['the kernel asks for char-major-10-234', 'the kernel has char-major-10-234: 0']);
    // And no CLI in its place.
    expect(lines('installer')).toEqual(lines('installs'));
    expect(loops(/gone0/)).toEqual(['the kernel asks for netdev-gone0', 'the kernel has netdev-gone0: 1', 'the kernel asks for gone0', 'the kernel has gone0: 1', 'gone0: no driver: ENODEV']);
  });

  it('answers fifty at once: names that nothing has, and fifty loads', (context) => {
    ended(context);
    expect(asked().filter((line) => line.startsWith('tcp_n')).sort()).toEqual(FIFTY.map((name) => `tcp_${name.replace('m', 'n')} 1`).sort());
    const warnings = lines('daemon').filter((line) => line.startsWith('udevd: WARNING')).join('\n');
    expect(asked().filter((line) => line.startsWith('tcp_m')).sort(), warnings).toEqual(FIFTY.map((name) => `tcp_${name} 0`).sort());
    expect(lines('fifty').filter((name) => name.startsWith('rc_') && name !== 'rc_core')).toHaveLength(50);
  });

  it('takes no path, no option and no blank', (context) => {
    ended(context);
    expect(textOf('step.bad')).toBe('1\n1\n1\n1\n1\n');
  });
});

describe('request_module of an older kernel', () => {
  it('is answered within the init of a module', async (context) => {
    const kernel = whyNoHelper() ?? await guestKernel('6.1');
    if (typeof kernel === 'string') return context.skip(kernel);
    if (kernel.modules === undefined || kernel.release === undefined) throw new Error('no modules');
    const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-helper-'));
    try {
      makeImages(scratch, ['xfs']);
      const conf = join(scratch, 'modprobe.conf');
      writeFileSync(conf, 'alias crc32c crc16\n');
      const packages = packagesInGuest([], ['bin/mount']);
      const result = await runOurs(kernel, `${PREPARE}
mkdir -p /mnt/xfs
tskmod helper install
start
step mount 100 /bin/mount -o loop,ro /images/xfs.img /mnt/xfs
vmctl put /tmp/steps /tmp/step.mount /tmp/step.daemon
`, {
        modules: await selectModules(kernel.modules, kernel.release, ['xfs', 'loop', 'crc32c_generic', 'crc16'].map((name) => `kernel/**/${name}`)), overlays: packages.overlays,
        files: [...packages.files, { source: conf, target: '/etc/modprobe.d/request-module.conf' }, { source: HELPER, target: '/app/tskmod-helper' }, { source: join(scratch, 'images'), target: '/images' }],
      });
      const textOf = (name: string) => result.files.get(name)?.toString() ?? '';
      expect(textOf('steps'), `${textOf('step.mount')}\n${textOf('step.daemon')}\n${result.console}`).toBe('mount 0\n');
      expect(nestedIn(textOf('step.daemon'))).toEqual(NESTED);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }, 240_000);
});

/** What the init of libcrc32c asks for, which xfs needs. */
const NESTED = ['the kernel asks for fs-xfs', 'the kernel asks for crypto-crc32c', 'the kernel has crypto-crc32c: 0', 'the kernel has fs-xfs: 0'];

function nestedIn(log: string): string[] {
  return [...log.matchAll(/the kernel (?:asks for|has) (?:fs-xfs|crypto-crc32c)\b(?!-)(?:: \d+)?/g)].map(([line]) => line).slice(0, NESTED.length);
}

/** The build leaves none where there is no compiler. */
function whyNoHelper(): string | undefined {
  if (existsSync(HELPER)) return undefined;
  const reason = 'dist/tskmod-helper is not built (apt-get install gcc, npm run build)';
  if (process.env['CI'] === 'true') throw new Error(reason);
  return reason;
}

/** Key maps of remote controls. */
function fiftyOf(tree: string): string[] {
  const names = readFileSync(join(tree, 'modules.dep'), 'utf8').split('\n').map((line) => /^kernel\/drivers\/media\/rc\/keymaps\/(rc-[d-t][^/:]*?)\.ko/.exec(line)?.[1]).filter((name) => name !== undefined);
  if (names.length < FIFTY.length) throw new Error(`${tree} has ${names.length} key maps only`);
  return names.slice(0, FIFTY.length);
}

function makeImages(directory: string, names: readonly string[] = ['xfs', 'btrfs', 'ext4', 'vfat', 'squashfs']): void {
  const tool = (name: string, path: string): string => join(unpackedPackage(name), path);
  mkdirSync(join(directory, 'images'));
  mkdirSync(join(directory, 'content'));
  writeFileSync(join(directory, 'content/file'), 'content\n');
  const make = (name: string, mib: number, program: string, ...args: readonly string[]): void => {
    if (!names.includes(name)) return;
    const path = join(directory, 'images', `${name}.img`);
    writeFileSync(path, '');
    truncateSync(path, mib * 2 ** 20);
    const { status, stderr, error } = spawnSync(program, [...args, path], { encoding: 'utf8' });
    if (error ?? status !== 0) throw new Error(`${program}: ${error?.message ?? stderr}`);
  };
  make('xfs', 32, 'mkfs.xfs', '-q', '--unsupported');
  make('btrfs', 128, tool('btrfs-progs', 'sbin/mkfs.btrfs'), '-q');
  make('ext4', 8, 'mkfs.ext4', '-q', '-F');
  make('vfat', 8, tool('dosfstools', 'sbin/mkfs.vfat'));
  if (!names.includes('squashfs')) return;
  const squashfs = join(directory, 'images/squashfs.img');
  const { status, stderr } = spawnSync('mksquashfs', [join(directory, 'content'), squashfs, '-quiet', '-no-progress'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mksquashfs: ${stderr}`);
}
