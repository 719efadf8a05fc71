// Coldplug of one machine, from start to settled: our daemon and Debian's udevd, each in its own guest.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { top } from './setup.mjs';

const OURS = `
vmctl mark start
tsudevd --coldplug-only > /dev/null 2>&1
vmctl mark end
`;

const THEIRS = `
vmctl mark start
/kmod/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle
vmctl mark end
`;

/**
 * @param {import('../src/vm/kernel.ts').Kernel} kernel
 * @returns {Promise<readonly { name: string, ours: number, theirs: number }[]>}
 */
export async function benchColdplug(kernel) {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-bench-'));
  try {
    const udev = unpack('udev', scratch);
    const udevadm = [join(udev, 'bin/udevadm'), join(udev, 'usr/bin/udevadm')].find((path) => existsSync(path)) ?? '';
    const kmod = ['/usr/bin/kmod', '/bin/kmod'].find((path) => existsSync(path)) ?? '';
    const machine = { kernel, machine: 'q35', boot: 'bzimage', timeoutSeconds: 300 };
    const ours = await fastest(() => runVm({ ...machine, command: OURS }));
    const theirs = await fastest(() => runVm({
      ...machine, command: THEIRS, helper: '/kmod/modprobe', overlays: [udev],
      files: [
        { source: kmod, target: '/kmod/modprobe', withLibraries: true },
        { source: udevadm, target: '/bin/udevadm', withLibraries: true },
        { source: udevadm, target: '/kmod/systemd-udevd', withLibraries: true },
        { source: '/etc/passwd', target: '/etc/passwd' }, { source: '/etc/group', target: '/etc/group' },
      ],
    }));
    return [{ name: 'coldplug of a q35 in the VM', ours, theirs }];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The faster of two boots, in milliseconds between the marks. */
async function fastest(boot) {
  let best = Infinity;
  for (let run = 0; run < 2; run++) {
    const { marks, exitCode, console: text } = await boot();
    if (exitCode !== 0) throw new Error(`guest: exit code ${exitCode}\n${text}`);
    best = Math.min(best, (marks.get('end') ?? NaN) - (marks.get('start') ?? NaN));
  }
  return best;
}

export function unpack(name, directory) {
  for (const [program, args] of [['apt-get', ['download', '-q', name]], ['sh', ['-c', `dpkg -x ${name}_*.deb ${name}`]]]) {
    const { status, stderr } = spawnSync(program, args, { cwd: directory, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  }
  if (!readdirSync(directory).includes(name)) throw new Error(`${name}: nothing unpacked`);
  return join(directory, name);
}
