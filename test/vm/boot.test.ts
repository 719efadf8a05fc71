// Tests that boot real kernels: what a command in a guest sees, and how every way of ending comes out.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { runVmApplet } from '../../src/applets/vm.ts';
import { formatCpio } from '../../src/image/cpio.ts';
import type { Kernel } from '../../src/vm/kernel.ts';
import { guestShell } from '../../src/vm/guest-init.ts';
import { parseGuestTasks } from '../../src/vm/guest-tasks.ts';
import { connectQmp } from '../../src/vm/qmp.ts';
import { findFileServer } from '../../src/vm/file-server.ts';
import { bootVm, runVm } from '../../src/vm/vm.ts';
import { debianKernel, whyNoVm } from './guests.ts';

const reason = whyNoVm();

/** Emulated machines on a busy one. */
const TIMEOUT = 180_000;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'boot-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe.each(['6.12', '6.1'])('runVm with Linux %s', (series) => {
  let found: Kernel | string;
  beforeAll(async () => {
    found = reason ?? (await debianKernel(series));
  }, 10 * TIMEOUT);

  it('runs a command with our Node, streams its console, takes files and marks, and returns its exit code', async ({ skip }) => {
    if (typeof found === 'string') return skip(found);
    const kernel = found;
    mkdirSync(join(directory, 'overlay/etc'), { recursive: true });
    writeFileSync(join(directory, 'overlay/etc/motd'), 'from the overlay\n');
    const streamed: string[] = [];
    const result = await runVm({
      kernel, modules: [], bundle: false, timeoutSeconds: TIMEOUT / 1000,
      overlays: [join(directory, 'overlay')],
      files: [{ source: join(directory, 'overlay/etc/motd'), target: '/data/one file' }],
      outDirectory: join(directory, 'out'),
      environment: { WHO: "it's me" },
      onConsole: (text) => streamed.push(text),
      command: `
        uname -r; echo "$WHO"; cat /etc/motd '/data/one file' /proc/sys/kernel/modprobe
        vmctl mark 'before node'
        node -e 'require("fs").writeFileSync("/tmp/result", "x".repeat(5000)); console.log(process.version); process.exitCode = 7'
        status=$?
        vmctl mark after
        vmctl put /tmp/result /proc/version /nonexistent; echo "put: $?"
        ls /lib/modules/$(uname -r) | grep -c '^modules'
        exit $status`,
    });
    expect(result).toMatchObject({ exitCode: 7, outcome: 'exited', panic: undefined, warnings: [], release: kernel.release });
    const indexes = readdirSync(kernel.modules ?? '').filter((name) => name.startsWith('modules.')).length;
    expect(result.console).toBe(`${[
      kernel.release, "it's me", 'from the overlay', 'from the overlay', '', process.version, 'vmctl: cannot read /nonexistent', 'put: 1', indexes,
    ].join('\n')}\n`);
    expect(streamed.join('')).toBe(result.console);
    expect([...result.marks.keys()]).toEqual(['shell', 'before node', 'after']);
    expect([...result.files].map(([name, data]) => [name, data.toString().slice(0, 13)])).toEqual([
      ['result', 'xxxxxxxxxxxxx'], ['version', 'Linux version'],
    ]);
    expect(readFileSync(join(directory, 'out/result'), 'utf8')).toBe('x'.repeat(5000));
  }, TIMEOUT);

  it('gives a q35 machine devices, and more of them while it runs', async ({ skip }) => {
    if (typeof found === 'string') return skip(found);
    const kernel = found;
    const result = await runVm({
      kernel, modules: [], node: false, machine: 'q35', timeoutSeconds: TIMEOUT / 1000,
      command: `
        ids() { cat /sys/bus/pci/devices/*/modalias | cut -c 5-32 | sort; }
        ids > /tmp/before
        vmctl hmp device_add virtio-rng-pci,bus=rp0 || exit 1
        vmctl hmp device_add nvme,drive=spare0,serial=hot,bus=rp1 || exit 1
        vmctl hmp device_add usb-storage,drive=spare1,bus=xhci.0 || exit 1
        vmctl hmp device_add no-such-device; echo "no-such-device: $?"
        tries=0
        until ids > /tmp/after; [ $(wc -l < /tmp/after) -ge $(($(wc -l < /tmp/before) + 2)) ] || [ $tries -gt 600 ]; do
          tries=$((tries + 1)); usleep 50000
        done
        vmctl put /tmp/before /tmp/after`,
    });
    expect(result).toMatchObject({ exitCode: 0, outcome: 'exited', warnings: [] });
    expect(result.console).toContain("Error: 'no-such-device' is not a valid device model name\nno-such-device: 1\n");
    const lines = (name: string): string[] => result.files.get(name)?.toString().trim().split('\n') ?? [];
    const before = lines('before');
    const e1000e = 'v00008086d000010D3sv00008086';
    const nvme = 'v00001B36d00000010sv00001AF4';
    expect(before).toEqual(expect.arrayContaining([e1000e, nvme, 'v00001AF4d00001004sv00001AF4', 'v00001B36d0000000Dsv00001AF4', 'v00008086d00002668sv00001AF4']));
    expect(lines('after')).toEqual([...before, nvme, 'v00001AF4d00001044sv00001AF4'].sort());
  }, TIMEOUT);
});

describe('runVm', () => {
  beforeEach(({ skip }) => skip(reason !== undefined, reason));

  const small = { kernel: '6.12', modules: [], node: false, timeoutSeconds: TIMEOUT / 1000 } as const;

  it('runs a program with its arguments as they are', async () => {
    const result = await runVm({ ...small, command: ['printf', '<%s>', 'a b', "it's", '$HOME', ''] });
    expect([result.exitCode, result.console]).toEqual([0, "<a b><it's><$HOME><>"]);
  }, TIMEOUT);

  it('runs the modprobe that is in PATH, not that of busybox', async () => {
    writeFileSync(join(directory, 'modprobe'), '#!/bin/sh\necho "$0 $*"\n', { mode: 0o755 });
    const result = await runVm({ ...small, files: [{ source: join(directory, 'modprobe'), target: '/usr/sbin/modprobe' }], command: 'modprobe a' });
    expect(result.console).toBe('/usr/sbin/modprobe a\n');
  }, TIMEOUT);

  it('boots the bzImage itself when that is asked for', async () => {
    const result = await runVm({ ...small, boot: 'bzimage', command: 'exit 3' });
    expect([result.exitCode, result.outcome]).toEqual([3, 'exited']);
  }, TIMEOUT);

  it('ends a guest that takes too long with 124, and tells what it was about', async () => {
    const result = await runVm({ ...small, timeoutSeconds: 15, command: 'echo here; sleep 1000' });
    expect(result).toMatchObject({ exitCode: 124, outcome: 'timeout', console: 'here\n', warnings: [] });
    expect(parseGuestTasks(result.tasks).map(({ name, state, where }) => [name, state, where])).toEqual([
      ['init', 'S', 'do_wait'], ['sh', 'S', 'do_wait'], ['sleep', 'S', 'do_nanosleep'],
    ]);
  }, TIMEOUT);

  it('gives 125 and the reason after a panic', async () => {
    const result = await runVm({ ...small, command: 'echo c > /proc/sysrq-trigger; sleep 1000' });
    expect(result).toMatchObject({ exitCode: 125, outcome: 'panic', panic: 'sysrq triggered crash' });
  }, TIMEOUT);

  it('gives 125 when the guest is gone', async () => {
    const result = await runVm({ ...small, command: 'poweroff -f; sleep 1000' });
    expect(result).toMatchObject({ exitCode: 125, outcome: 'gone', panic: undefined });
  }, TIMEOUT);

  it("throws QEMU's words for a device that it does not have", async () => {
    await expect(runVm({ ...small, devices: ['no-such-device'], command: 'true' })).rejects.toThrow(
      "-device no-such-device: 'no-such-device' is not a valid device model name",
    );
  }, TIMEOUT);
});

describe('tskmod vm', () => {
  beforeEach(({ skip }) => skip(reason !== undefined, reason));

  const run = async (...argv: readonly string[]) => {
    const [out, errors]: [string[], string[]] = [[], []];
    const status = await runVmApplet(['--kernel', '6.12', '--kvm', 'off', ...argv], { stdout: (text) => out.push(text), stderr: (text) => errors.push(text), isTty: false });
    return { status, stdout: out.join(''), stderr: errors.join('') };
  };

  it('shows the reason of a panic, and whether memory may be it, and keeps the rest in the log', async () => {
    const [initrd, log] = [join(directory, 'initrd'), join(directory, 'log')];
    writeFileSync(initrd, gzipSync(formatCpio([{ path: 'init', mode: 0o100755, data: Buffer.alloc(200_000_000) }]), { level: 1 }));
    const large = await run('--initrd', initrd, '--memory', '128', '--log', log);
    expect(large).toEqual({
      status: 125, stdout: expect.stringMatching(/Kernel panic - not syncing: [^\n]*\n$/) as string,
      stderr: expect.stringMatching(new RegExp(`^tskmod vm: kernel panic: .*; the rest is in ${log}\ntskmod vm: the guest had 128 MiB for an initramfs of 1 MiB: was that too little\\? Try --memory 256\n$`)) as string,
    });
    expect(large.stdout.split('\n').length).toBeLessThan(30);
    expect(readFileSync(log, 'utf8')).toMatch(/Kernel panic - not syncing: [^\n]*\n(?:.*\n)*.*Call Trace:/);

    writeFileSync(initrd, 'no initramfs at all');
    const none = await run('--initrd', initrd, '--json');
    expect(JSON.parse(none.stdout)).toMatchObject({ schema: 1, kind: 'guest', exitCode: 125, outcome: 'panic', files: [], marks: {} });
    expect(none).toMatchObject({ status: 125, stderr: expect.stringMatching(/\ntskmod vm: kernel panic: .*; --log FILE keeps what it said\ntskmod vm: the initramfs is none that this kernel can unpack\n$/) as string });
  }, TIMEOUT);

  it('boots nothing with modules that are not those of the kernel', async () => {
    const [text, image] = [join(directory, 'text'), join(directory, 'image')];
    writeFileSync(text, 'no image');
    writeFileSync(image, formatCpio([{ path: 'lib/modules/1.2.3/kernel/a.ko', mode: 0o100644 }]));
    const refused = async (...argv: readonly string[]) => {
      const { status, stdout, stderr } = await run(...argv);
      return [status, stdout, stderr.replace(/kernel 6\.12\.\S+:/, 'kernel R:')];
    };
    expect(await refused('--bundle', text, 'true')).toEqual([126, '', `tskmod vm: ${text}: at offset 0: expected an image: ext4, squashfs, erofs, cpio or tar, found something else\n`]);
    expect(await refused('--bundle', image, 'true')).toEqual([126, '', `tskmod vm: ${image}: the image has no modules of kernel R: it has those of 1.2.3\n`]);
    expect(await refused('--memory', '32', 'true')).toEqual([126, '', expect.stringMatching(/^tskmod vm: qemu: initrd is too large, .*: give the guest more with --memory\n$/) as string]);
  }, TIMEOUT);
});

describe('bootVm', () => {
  beforeEach(({ skip }) => skip(reason !== undefined, reason));

  it('leaves no file, serves QMP on a socket too, and ends with its signal', async () => {
    const controller = new AbortController();
    const qmpSocket = join(directory, 'qmp');
    const vm = await bootVm({
      kernel: '6.12', modules: [], node: false, command: 'sleep 1000', signal: controller.signal, qmpSocket, timeoutSeconds: TIMEOUT / 1000,
    });
    expect(await (await vm.qmp()).hmp('info status')).toBe('VM status: running\n');
    const other = await connectQmp(qmpSocket);
    expect(await other.execute('query-status')).toMatchObject({ status: 'running' });
    await expect(other.execute('no-such-command')).rejects.toThrow('no-such-command: The command no-such-command has not been found');
    const files = readFileSync(`/proc/${vm.pid}/cmdline`, 'utf8').split('\0').filter((word) => word.endsWith('/initrd'));
    expect(files.map((file) => existsSync(file))).toEqual([false]);
    controller.abort();
    await expect(vm.wait()).rejects.toThrow('This operation was aborted');
    // QEMU was killed: what its socket says of that depends on what was under way.
    await expect(other.execute('query-status')).rejects.toThrow(/QEMU closed it|ECONNRESET|EPIPE/);
    expect(existsSync(`/proc/${vm.pid}`)).toBe(false);
  }, TIMEOUT);

  it('gives a shell to whoever types, and a directory of this machine', async () => {
    const share = mkdtempSync(join(directory, 'share-'));
    writeFileSync(join(share, 'from-host'), 'hello guest\n');
    let press: (bytes: Uint8Array) => void = () => undefined;
    const answer = 'stty size; cat /mnt/here/from-host; echo hello host > /mnt/here/from-guest; tty; grep -o "/mnt/[^ ]* [^ ]*" /proc/mounts; cat /mnt/still/from-guest; echo no > /mnt/still/no; exit 7\n';
    let seen = '';
    const result = await runVm({
      kernel: '6.12', command: guestShell(91, 23, 'xterm'), timeoutSeconds: TIMEOUT / 1000, environment: { PS1: '# ' },
      shares: [{ directory: share, target: '/mnt/here', readOnly: false }, { directory: share, target: '/mnt/still', readOnly: true }],
      onConsoleInput: (type) => (press = type),
      // The prompt may come in pieces.
      onConsole: (text) => {
        const isAsked = seen.includes('# ');
        seen += text;
        if (!isAsked && seen.includes('# ')) press(Buffer.from(answer));
      },
    });
    const typed = '# stty size; cat /mnt/here/from-host; echo hello host > /mnt/here/from-guest; tty; grep -o "/mnt/[^ ]* [^ ]*" /proc/mounts; cat /mnt/still/from-guest; echo no > /mnt/still/no; exit 7\n';
    const kind = findFileServer() === undefined ? '9p' : 'virtiofs';
    // A machine that is slow to boot says so between the lines.
    expect([result.exitCode, result.console.replaceAll(/^\[ .*\n/gm, '')]).toEqual([7, `${typed}23 91\nhello guest\n/dev/ttyS0\n/mnt/here ${kind}\n/mnt/still 9p\nhello host\n/bin/sh: 1: cannot create /mnt/still/no: Read-only file system\n`]);
    expect(readFileSync(join(share, 'from-guest'), 'utf8')).toBe('hello host\n');
  }, TIMEOUT);

  it('does not start with a signal that is aborted already', async () => {
    await expect(bootVm({ kernel: '6.12', modules: [], node: false, signal: AbortSignal.abort(), command: 'true' })).rejects.toThrow('aborted');
  }, TIMEOUT);
});
