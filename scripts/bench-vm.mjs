// Coldplug of one machine, from start to settled: our daemon and Debian's udevd, each in its own guest.

import { join } from 'node:path';
import { debianGuest, UDEVD_COLDPLUG } from './debian-guest.mjs';
import { top } from './setup.mjs';

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
 * @returns {Promise<readonly { name: string, ours: number, theirs: number }[]>}
 */
export async function benchColdplug(kernel) {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const machine = { kernel, machine: 'q35', boot: 'bzimage', timeoutSeconds: 300 };
  const ours = await fastest(() => runVm({ ...machine, command: OURS }));
  const theirs = await fastest(() => runVm({ ...machine, ...debianGuest(), command: THEIRS }));
  return [{ name: 'coldplug of a q35 in the VM', ours, theirs }];
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
