// What the kernel asks for by request_module(), through our helper and daemon, in one guest.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';

import { selectModules } from '../../src/vm/select.ts';
import type { VmResult } from '../../src/vm/vm.ts';
import { debianKernel, runOurs, whyNoVm } from './guests.ts';
import { packagesInGuest } from './packages.ts';
import { unpackedPackage } from '../../scripts/debian-package.mjs';

const HELPER = join(dirname(fileURLToPath(import.meta.url)), '../../dist/tskmod-helper');

const MODULES = [
  'loop', 'xfs', 'btrfs', 'ext4', 'vfat', 'squashfs', 'nls_ascii', 'nls_cp437', 'nls_utf8', 'dummy', 'tcp_bbr', 'vsock', 'af_key', 'af_alg', 'algif_hash', 'md4', 'nbd', 'ppp_generic',
  'udp_diag', 'sctp', 'crc32c_generic', 'crc32_generic', 'nls_iso8859-1', 'nf_tables', 'nfnetlink', 'xxhash_generic', 'blake2b_generic', 'veth', 'ifb', 'overlay',
].map((name) => `kernel/**/${name}`);

/** `step NAME SECONDS COMMAND...`: what it says and how it ends goes to the host; what takes too long is killed. */
const SCRIPT = `
step() {
  name=$1 limit=$2
  shift 2
  timeout $limit "$@" > /tmp/step.$name 2>&1
  echo "$name $?" >> /tmp/steps
}
until_there() { for i in $(seq 1 200); do grep -q "$1" "$2" && return; usleep 50000; done; }
start() {
  rm -f /tmp/ready
  mkfifo /tmp/ready
  tsudevd --no-coldplug -l debug --ready-fd 5 5> /tmp/ready 2>> /tmp/step.daemon &
  daemon=$!
  read -r line < /tmp/ready
}
for name in xfs btrfs ext4 vfat squashfs; do mkdir -p /mnt/$name; done
cat /proc/sys/kernel/modprobe > /tmp/step.before
mknod -m 600 /dev/loop-control c 10 237 2> /dev/null
step install 60 tskmod helper install
step sysctl 5 cat /etc/sysctl.d/60-tsmodprobe.conf
step absent 60 tskmod helper status --json
# No daemon yet: loop, file system and character set by the CLI.
step mount-vfat 120 /bin/mount -t vfat -o loop,ro /images/vfat.img /mnt/vfat

start
step present 60 tskmod helper status --json
for name in xfs ext4 squashfs; do step mount-$name 120 /bin/mount -o loop,ro /images/$name.img /mnt/$name; done
step pf-key 30 perl -e 'socket(S, 15, 3, 2) or die $!'
step pf-vsock 30 perl -e 'socket(S, 40, 1, 0) or die $!'
step sctp 60 perl -e 'socket(S, 2, 1, 132) or die $!'
step netlink 30 perl -e 'socket(S, 16, 3, 12) or die $!'
step alg 60 perl -e 'socket(S, 38, 5, 0) or die $!; bind(S, pack("Sa14LLa64", 38, "hash", 0, 0, "md4")) or die $!'
step bbr 60 perl -e 'socket(S, 2, 1, 0) or die $!; setsockopt(S, 6, 13, "bbr") or die $!'
step dummy 60 /sbin/ip link add probe0 type dummy
step ppp 30 sh -c 'mknod /tmp/ppp c 108 0; exec 7<> /tmp/ppp'
step nbd 30 sh -c 'mknod /tmp/nbd b 43 0; exec 7< /tmp/nbd'
printf '\\376\\377\\376\\377' > /tmp/strange
chmod +x /tmp/strange
perl -e 'exec {"/tmp/strange"} "strange"; exit 0' 2> /dev/null
for i in $(seq 1 50); do /sbin/ip link add type nosuch$i 2> /dev/null & pids="$pids $!"; done
wait $pids
kill -STOP $daemon
step hung 120 /sbin/ip link add probe1 type veth
kill -CONT $daemon
step after-hung 60 tskmod helper status --json
(step mount-btrfs 240 /bin/mount -o loop,ro /images/btrfs.img /mnt/btrfs) &
mounting=$!
until_there 'asks for fs-btrfs' /tmp/step.daemon
kill -KILL $daemon
wait $daemon $mounting
cat /proc/mounts > /tmp/step.mounts
cat /proc/modules > /tmp/step.modules
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
    skipped = whyNoVm();
    const kernel = skipped === undefined ? await debianKernel('6.12') : '';
    if (typeof kernel === 'string') skipped ??= kernel;
    if (skipped !== undefined || typeof kernel === 'string' || kernel.modules === undefined || kernel.release === undefined) return;
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-helper-'));
    makeImages(scratch);
    const packages = packagesInGuest([], ['bin/mount', 'usr/bin/perl', 'sbin/ip']);
    result = await runOurs(kernel, SCRIPT, {
      modules: await selectModules(kernel.modules, kernel.release, MODULES), timeoutSeconds: 420, overlays: packages.overlays,
      files: [...packages.files, { source: HELPER, target: '/app/tskmod-helper' }, { source: join(scratch, 'images'), target: '/images' }],
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
  const loaded = (): string[] => textOf('step.modules').split('\n').map((line) => line.split(' ')[0] ?? '');
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

  it('mounts file systems whose modules nobody has loaded: daemon running, absent, and killed midway', (context) => {
    ended(context, 'mount-vfat', 'mount-xfs', 'mount-ext4', 'mount-squashfs', 'mount-btrfs');
    expect([...textOf('step.mounts').matchAll(/ \/mnt\/(\w+) (\w+) /g)].map(([, place, type]) => `${place} ${type}`).sort())
      .toEqual(['btrfs btrfs', 'ext4 ext4', 'squashfs squashfs', 'vfat vfat', 'xfs xfs']);
    expect(asked()).toEqual(expect.arrayContaining(['fs-xfs 0', 'fs-ext4 0', 'fs-squashfs 0']));
    expect(asked()).not.toContain('fs-vfat 0');
  });

  it('answers sockets, links, devices, ciphers and strange executables', (context) => {
    ended(context, 'pf-key', 'pf-vsock', 'sctp', 'netlink', 'alg', 'bbr', 'dummy', 'ppp');
    expect(asked()).toEqual(expect.arrayContaining([
      'net-pf-15 0', 'net-pf-2-proto-132-type-1 1', 'net-pf-2-proto-132 0', 'net-pf-16-proto-12 0', 'net-pf-38 0', 'algif-hash 0', 'crypto-md4 0',
      'tcp_bbr 0', 'rtnl-link-dummy 0', 'char-major-108-0 0', 'block-major-43-0 1', 'block-major-43 1', 'binfmt-fffe 1',
    ]));
  });

  it('answers fifty at once', (context) => {
    ended(context);
    expect(asked().filter((line) => line.startsWith('rtnl-link-nosuch')).sort()).toEqual(Array.from({ length: 50 }, (_, index) => `rtnl-link-nosuch${index + 1} 1`).sort());
  });

  it('goes on without a daemon that hangs', (context) => {
    ended(context, 'hung');
    // The step ended, with its module loaded, before the daemon could go on.
    expect(loaded()).toContain('veth');
  });

  it('takes no path, no option and no blank', (context) => {
    ended(context);
    expect(textOf('step.bad')).toBe('1\n1\n1\n1\n1\n');
  });
});

function makeImages(directory: string): void {
  const tool = (name: string, path: string): string => join(unpackedPackage(name), path);
  mkdirSync(join(directory, 'images'));
  mkdirSync(join(directory, 'content'));
  writeFileSync(join(directory, 'content/file'), 'content\n');
  const make = (name: string, mib: number, program: string, ...args: readonly string[]): void => {
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
  const squashfs = join(directory, 'images/squashfs.img');
  const { status, stderr } = spawnSync('mksquashfs', [join(directory, 'content'), squashfs, '-quiet', '-no-progress'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mksquashfs: ${stderr}`);
}
