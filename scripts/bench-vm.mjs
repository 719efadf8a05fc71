// A coldplug of one machine and single events, by our daemon and by Debian's udevd: each in its own guest, with the same kernel, devices, rules and
// programs. Debian's udevadm triggers and settles for both.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLOCK } from './bench-initramfs.mjs';
import { inTurns } from './bench-result.mjs';
import { debianGuest, debianRules } from './debian-guest.mjs';
import { top } from './setup.mjs';

/** Of each, by the clock. */
const BOOTS = 3;
/** Events whose module is not loaded. */
const EVENTS = 100;

/** Daemons that wait for events, started and ready. */
const START = {
  ours: `mkfifo /tmp/ready
/bin/sh -c 'exec tsudevd --no-coldplug --ready-fd 5 5> /tmp/ready 2> /dev/null' &
read -r ready < /tmp/ready
`,
  theirs: '/kmod/systemd-udevd --daemon\n',
};

/** Both daemons do what they do at their start. */
const COLDPLUG = `sleep 2
read -r start idle < /proc/uptime
vmctl mark start
/bin/udevadm trigger --type=subsystems --action=add
/bin/udevadm trigger --type=devices --action=add
/bin/udevadm settle --timeout=200
vmctl mark end
read -r end idle < /proc/uptime
echo "uptime $start $end"
`;

/** The kernel itself notes when the event was made and when somebody handed it the module: by its first try, as kmod has two for a compressed one. */
const LATENCY = `${COLDPLUG}
mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing
echo mono > trace_clock
for call in finit_module init_module; do echo 1 > events/syscalls/sys_enter_$call/enable; done
i=0
while [ $i -lt ${EVENTS} ]; do
  busybox rmmod pcspkr
  /bin/udevadm settle
  sleep 0.2
  echo event > trace_marker
  echo add > /sys/devices/platform/pcspkr/uevent
  until [ "$(cat /sys/module/pcspkr/initstate 2> /dev/null)" = live ]; do sleep 0.02; done
  i=$((i + 1))
done
grep -e event -e init_module trace > /tmp/trace
vmctl put /tmp/trace
`;

/**
 * @param {import('../src/vm/kernel.ts').Kernel} kernel
 * @returns {AsyncGenerator<{ name: string, unit: string, ours: number[], theirs: number[], target?: import('./bench-result.mjs').Target }>}
 */
export async function* benchColdplug(kernel) {
  const directory = mkdtempSync(join(tmpdir(), 'tskmod-bench-'));
  try {
    const rules = debianRules(directory);
    const debian = debianGuest();
    const guests = {
      ours: rules,
      theirs: { ...debian, files: [...debian.files, ...rules.files.filter(({ target }) => debian.files.every((file) => file.target !== target))] },
    };
    const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
    const boot = async (/** @type {'ours' | 'theirs'} */ whose, /** @type {string} */ script, /** @type {string[]} */ qemuArguments = []) => {
      const result = await runVm({ kernel, machine: 'q35', boot: 'bzimage', timeoutSeconds: 600, qemuArguments, ...guests[whose], command: START[whose] + script });
      if (result.exitCode !== 0) throw new Error(`guest: ${result.outcome}, exit code ${result.exitCode}\n${result.console}`);
      return result;
    };
    const byClock = async (/** @type {'ours' | 'theirs'} */ whose) => {
      const { marks } = await boot(whose, COLDPLUG);
      return (marks.get('end') ?? NaN) - (marks.get('start') ?? NaN);
    };
    yield { name: 'coldplug of a q35 in the VM', unit: 'ms', ...await inTurns(BOOTS, { ours: () => byClock('ours'), theirs: () => byClock('theirs') }), target: { ratio: 0.8 } };
    const [ours, theirs] = [await boot('ours', LATENCY, CLOCK), await boot('theirs', LATENCY, CLOCK)];
    yield { name: 'the same, by instructions of the guest', unit: 's', ours: [uptime(ours.console)], theirs: [uptime(theirs.console)] };
    yield { name: 'uevent to finit_module, p99', unit: 'ms', ours: [p99(ours.files)], theirs: [p99(theirs.files)], target: { ratio: 2 } };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Seconds of the guest between the two readings. @param {string} text of the console */
function uptime(text) {
  const [, start, end] = /^uptime (\d+\.\d+) (\d+\.\d+)\r?$/m.exec(text) ?? [];
  return Number(end) - Number(start);
}

/** Milliseconds from an event to the first call after it. @param {ReadonlyMap<string, Buffer>} files */
function p99(files) {
  const times = [];
  let event;
  for (const [, seconds, what] of (files.get('trace')?.toString('latin1') ?? '').matchAll(/ (\d+\.\d{6}): (tracing_mark_write: event|sys_f?init_module)/g)) {
    if (what?.startsWith('tracing')) event = Number(seconds);
    else if (event !== undefined) {
      times.push((Number(seconds) - event) * 1000);
      event = undefined;
    }
  }
  if (times.length !== EVENTS) throw new Error(`${times.length} of ${EVENTS} events had their module loaded`);
  return times.sort((a, b) => a - b)[Math.ceil(EVENTS * 0.99) - 1] ?? NaN;
}
