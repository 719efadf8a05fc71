// tskmod status: what the daemon has done, what it does now, and how long that takes.

import { messageOf, UsageError } from '../errors.ts';
import { formatPending } from '../udev/settle.ts';
import { readStatus, statusPath } from '../udev/status-socket.ts';
import type { DaemonStatus } from '../udev/status-socket.ts';
import type { Applet } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [{ long: 'json' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' }];

const HELP = `Usage: tskmod status [--json]

What the running tsudevd has done since its start, and what it does now. For root.

      --json     the same as one JSON object
  -V, --version
  -h, --help

Exit status: 0; 1 where no daemon runs or it does not answer.
`;

/** Pending events that people are shown. */
const SHOWN_MAX = 10;

export const statusApplet: Applet = {
  name: 'status',
  summary: 'say what tsudevd has done and does now',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    if (operands.length > 0) throw new UsageError(`${context.program}: Extraneous argument: '${operands[0]}'`);
    const system = context.openSystem({});
    let status: DaemonStatus | undefined;
    try {
      status = await readStatus(system);
    } catch (error) {
      context.stderr(`${context.program}: tsudevd does not answer: ${messageOf(error)}\n`);
      return 1;
    }
    if (!status) {
      context.stderr(`${context.program}: tsudevd is not running (nobody listens at ${statusPath(system)})\n`);
      return 1;
    }
    context.stdout(given.has('json') ? `${JSON.stringify(status)}\n` : statusText(status));
    return 0;
  },
};

function statusText({ pid, uptimeMs, residentMemory, events, resyncs, modules, programs, latencyMs, pending, loading }: DaemonStatus): string {
  const text = table([
    ['tsudevd', `process ${pid}, up ${duration(uptimeMs)}, ${(residentMemory / 2 ** 20).toFixed(1)} MiB resident`],
    ['events', counts({ ...events })],
    ['resyncs', String(resyncs)],
    ['modules', counts({ ...modules })],
    ['programs', counts({ run: programs.run, failed: programs.failed, 'timed out': programs.timedOut })],
    ['latency', latencyMs === undefined ? 'no event yet' : Object.entries(latencyMs).map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`).join('  ')],
    ...(loading.length === 0 ? [] : [['loading', loading.join(', ')] as const]),
  ]);
  const total = events.queued + events.running;
  const running = pending.filter(({ state }) => state === 'running');
  const shown = [...running, ...pending.filter(({ state }) => state !== 'running')].slice(0, SHOWN_MAX);
  const more = total > shown.length ? `  and ${total - shown.length} more\n` : '';
  return `${text}${shown.length === 0 ? '' : '\npending\n'}${shown.map((event) => `  ${formatPending(event)}\n`).join('')}${more}`;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function counts(numbers: Readonly<Record<string, number>>): string {
  return Object.entries(numbers).map(([name, number]) => `${name} ${number}`).join('  ');
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [[Math.floor(seconds / 86_400), 'd'], [Math.floor(seconds / 3600) % 24, 'h'], [Math.floor(seconds / 60) % 60, 'min'], [seconds % 60, 's']] as const;
  const first = parts.findIndex(([number]) => number > 0);
  // Two units tell enough.
  return first < 0 ? '0 s' : parts.slice(first, first + 2).map(([number, unit]) => `${number} ${unit}`).join(' ');
}
