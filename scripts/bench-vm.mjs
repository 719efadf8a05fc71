// Coldplug of one machine, from start to settled: our daemon and Debian's udevd, each in its own guest.

import { join } from 'node:path';
import { inTurns } from './bench-result.mjs';
import { debianGuest, UDEVD_COLDPLUG } from './debian-guest.mjs';
import { top } from './setup.mjs';

/** Of each. */
const BOOTS = 3;

const OURS = `
vmctl mark start
tsudevd --coldplug-only > /dev/null 2>&1
vmctl mark end
`;

const THEIRS = `
vmctl mark start
${UDEVD_COLDPLUG}
vmctl mark end
`;

/**
 * @param {import('../src/vm/kernel.ts').Kernel} kernel
 * @returns {Promise<readonly { name: string, unit: string, ours: number[], theirs: number[], target: import('./bench-result.mjs').Target }[]>}
 */
export async function benchColdplug(kernel) {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const machine = { kernel, machine: 'q35', boot: 'bzimage', timeoutSeconds: 300 };
  const times = await inTurns(BOOTS, {
    ours: () => coldplug(() => runVm({ ...machine, command: OURS })),
    theirs: () => coldplug(() => runVm({ ...machine, ...debianGuest(), command: THEIRS })),
  });
  return [{ name: 'coldplug of a q35 in the VM', unit: 'ms', ...times, target: { ratio: 0.8 } }];
}

/** Milliseconds between the marks of one boot. */
async function coldplug(boot) {
  const { marks, exitCode, console: text } = await boot();
  if (exitCode !== 0) throw new Error(`guest: exit code ${exitCode}\n${text}`);
  return (marks.get('end') ?? NaN) - (marks.get('start') ?? NaN);
}
