// An initramfs of selected modules beside one with the whole tree: its modules, and the time until the machine's devices are driven.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { top } from './setup.mjs';

/** @typedef {{ name: string, ours: number, unit: string, theirs: number | undefined, whose: string, target?: import('./bench-result.mjs').Target }} Figure */

/** What a virtio machine with a file system needs. */
const SELECT = ['virtio_pci', 'virtio_blk', 'virtio_net', 'ext4'];
/** Runs when the coldplug is done. */
const HOOK = `#!/bin/sh
cat /proc/uptime
stty -F /dev/ttyS1 115200 raw -echo
exec 3<>/dev/ttyS1
printf '@exit 0\\n' >&3
sleep 20
`;
/** Guest time is that of instructions, 4 ns each: so what else this machine does does not count. */
export const CLOCK = ['-icount', 'shift=2,sleep=off'];

/**
 * @param {{ scratch: string, kernel: import('../src/vm/kernel.ts').Kernel }} machine
 * @returns {AsyncGenerator<Figure>}
 */
export async function* benchInitramfs({ scratch, kernel }) {
  mkdirSync(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, 'initramfs-'));
  try {
    mkdirSync(join(directory, 'hooks/devices'), { recursive: true });
    writeFileSync(join(directory, 'hooks/devices/end'), HOOK);
    chmodSync(join(directory, 'hooks/devices/end'), 0o755);
    writeFileSync(join(directory, 'disk'), Buffer.alloc(2 ** 20));
    const selected = create(directory, 'selected', SELECT.flatMap((name) => ['--select', name]));
    const whole = create(directory, 'whole', []);
    yield { name: 'initramfs: modules part', ours: selected.modules.bytes / 1e6, unit: 'MB', theirs: whole.modules.bytes / 1e6, whose: 'the whole tree', target: { ours: 5 } };
    yield { name: 'initramfs: size', ours: selected.size / 1e6, unit: 'MB', theirs: whole.size / 1e6, whose: 'the whole tree' };
    const [ours, theirs] = [await coldplugged(kernel, directory, selected), await coldplugged(kernel, directory, whole)];
    yield { name: 'boot to coldplug done, virtio', ours, unit: 's', theirs, whose: 'the whole tree', target: { ratio: 0.6 } };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns {{ path: string, size: number, memoryMiB: number, modules: { bytes: number } }} */
function create(directory, name, select) {
  const args = ['initramfs', 'create', '--kernel', '6.12', '--hooks', join(directory, 'hooks'), ...select, '-o', join(directory, name), '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(top, 'dist/tskmod.cjs'), ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`tskmod ${args.join(' ')}: exit code ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Seconds of the guest, from the kernel's start. */
async function coldplugged(kernel, directory, { path, memoryMiB }) {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const result = await runVm({
    kernel, initrd: path, memoryMiB, qemuArguments: CLOCK, timeoutSeconds: 300,
    disks: [{ file: join(directory, 'disk'), bus: 'virtio', readOnly: true }], devices: ['virtio-net-pci'],
  });
  const uptime = /^(\d+\.\d\d) \d+\.\d\d\r?$/m.exec(result.console)?.[1];
  if (result.exitCode !== 0 || uptime === undefined) throw new Error(`guest: ${result.outcome}, exit code ${result.exitCode}\n${result.console}`);
  return Number(uptime);
}
