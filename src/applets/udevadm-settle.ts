// udevadm settle: waits until all events are done, and says every second what is not.

import { existsSync } from 'node:fs';

import { messageOf, UsageError } from '../errors.ts';
import { formatPending, goalTest, settle } from '../udev/settle.ts';
import type { DaemonStatus } from '../udev/status-socket.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt } from './getopt.ts';
import type { OptionSpec } from './getopt.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
  { long: 'timeout', short: 't', argument: 'required' },
  { long: 'exit-if-exists', short: 'E', argument: 'required' },
  { long: 'for', argument: 'required' },
  { long: 'quiet', short: 'q' },
  // Ignored for backwards compatibility, as udevadm does.
  { long: 'seq-start', short: 's', argument: 'required' },
  { long: 'seq-end', short: 'e', argument: 'required' },
];

const HELP = `udevadm settle [OPTIONS]

Wait for pending udev events.

  -h --help                 Show this help
  -V --version              Show package version
  -t --timeout=SEC          Maximum time to wait for events (default 120; 0 only looks)
  -E --exit-if-exists=FILE  Stop waiting if file exists
     --for=GOAL             Wait for this alone: a link or node below /dev, a device
                            below /sys, or the name of a module that is to be live
  -q --quiet                Do not say every second what is pending

Exit code: 0 when nothing is pending or the goal is there, 1 when the time is over.
`;

const TIMEOUT_S = 120;
/** Events in one report; the rest is a number. */
const SHOWN_MAX = 5;

export const udevadmSettle: Applet = {
  name: 'settle',
  summary: 'Wait for pending udev events',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    if (operands.length > 0) throw new UsageError(`${context.program}: Extraneous argument: '${operands[0]}'`);
    const timeoutMs = timeoutOf(given.get('timeout'), context.program);
    const system = context.openSystem({});
    const goal = given.get('for');
    const file = given.get('exit-if-exists');
    const isThere = goal === undefined ? undefined : goalTest(system, goal);
    try {
      const done = await settle(system, {
        timeoutMs,
        // With a file the queue counts too: whichever comes first.
        ...(isThere ? { until: isThere } : {}),
        ...(file !== undefined && !isThere ? { until: () => existsSync(file) || !existsSync(`${system.roots.run}/udev/queue`) } : {}),
        ping: goal === undefined && file === undefined && process.getuid?.() === 0,
        ...(given.has('quiet') ? {} : { onWait: (status, elapsedMs) => report(context, status, elapsedMs, goal) }),
      });
      if (!done && timeoutMs > 0) context.stderr(`${context.program}: Timed out for waiting the udev queue being empty.\n`);
      return done ? 0 : 1;
    } catch (error) {
      context.stderr(`${context.program}: ${messageOf(error)}\n`);
      return 1;
    }
  },
};

function timeoutOf(text: string | undefined, program: string): number {
  if (text === undefined) return TIMEOUT_S * 1000;
  if (!/^\d{1,9}(?:\.\d{1,6})?$/.test(text)) throw new UsageError(`${program}: --timeout takes seconds, not '${text}'`);
  return Number(text) * 1000;
}

function report({ stderr }: AppletContext, status: DaemonStatus | undefined, elapsedMs: number, goal: string | undefined): void {
  const seconds = Math.round(elapsedMs / 1000);
  const waited = goal === undefined ? `waited ${seconds} s` : `waited ${seconds} s for ${goal}`;
  if (!status) {
    stderr(`${waited}; the daemon does not say what is pending\n`);
    return;
  }
  const { pending, loading, events } = status;
  const total = events.queued + events.running;
  stderr(`${waited}: ${total} ${total === 1 ? 'event' : 'events'} pending${loading.length === 0 ? '' : `, loading ${loading.join(', ')}`}\n`);
  const running = pending.filter(({ state }) => state === 'running');
  const shown = [...running, ...pending.filter(({ state }) => state === 'waiting')].slice(0, SHOWN_MAX);
  for (const event of shown) stderr(`  ${formatPending(event)}\n`);
  if (total > shown.length) stderr(`  and ${total - shown.length} more\n`);
}
