// tskmod top: what the running daemon does now, again and again.

import { messageOf, UsageError } from '../errors.ts';
import type { System } from '../system.ts';
import { readStatus, statusPath } from '../udev/status-socket.ts';
import type { Applet, AppletContext, TerminalInput } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { answersHelp } from './standard-options.ts';
import { type Sample, type ScreenSize, topScreen } from './top-screen.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'delay', short: 'd', argument: 'required' }, { long: 'iterations', short: 'n', argument: 'required' }, { long: 'batch', short: 'b' },
  { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod top [OPTION]...

What the running tsudevd does: counts and rates, latencies, modules in flight, events that run or wait. For root.
On a terminal the screen is drawn anew; q or Ctrl-C ends it.

  -d, --delay SECONDS      between two looks; 1 when absent
  -n, --iterations N       ends after so many; 1 without a terminal
  -b, --batch              one block after the other, as without a terminal
  -V, --version
  -h, --help

Exit status: 0; 1 where no daemon runs, or it goes away.
`;

/** Alternate screen, without a cursor; and back. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const CTRL_C = 3;
const Q = 'q'.charCodeAt(0);

/** Of a pipe. */
const BATCH: ScreenSize = { columns: 200, rows: 1000 };

export const topApplet: Applet = {
  name: 'top',
  summary: 'watch what tsudevd does',
  options: OPTIONS,
  async run(argv, context) {
    const { program } = context;
    const { options, operands } = getopt(argv, OPTIONS, program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    if (operands.length > 0) throw new UsageError(`${program}: Extraneous argument: '${operands[0]}'`);
    const delayMs = 1000 * numberOf(given.get('delay') ?? '1', '--delay', program);
    const terminal = given.has('batch') || !context.isTty.stdout ? undefined : context.terminal();
    const times = given.has('iterations') ? numberOf(given.get('iterations') ?? '', '--iterations', program) : terminal ? Infinity : 1;
    return watch(context.openSystem({}), context, { delayMs, times, terminal });
  },
};

type Watching = { readonly delayMs: number; readonly times: number; readonly terminal: TerminalInput | undefined };

async function watch(system: System, context: AppletContext, { delayMs, times, terminal }: Watching): Promise<number> {
  const stop = new AbortController();
  const end = () => stop.abort();
  const restoreSignals = context.signals({ SIGINT: end, SIGTERM: end, SIGHUP: end });
  const restoreKeys = terminal?.raw((bytes) => {
    if (bytes.includes(CTRL_C) || bytes.includes(Q)) end();
  });
  if (terminal) context.stdout(ENTER);
  let trouble: string | undefined;
  try {
    let before: Sample | undefined;
    for (let time = 0; time < times && !stop.signal.aborted; time++) {
      if (time > 0) await pause(system, delayMs, stop.signal);
      if (stop.signal.aborted) break;
      const status = await readStatus(system);
      if (!status) {
        trouble = `tsudevd is not running (nobody listens at ${statusPath(system)})`;
        break;
      }
      const sample = { status, atMs: system.clock.now() };
      context.stdout(terminal ? screenText(topScreen(sample, before, sizeOf(terminal))) : `${time > 0 ? '\n' : ''}${topScreen(sample, before, BATCH).join('\n')}\n`);
      before = sample;
    }
  } catch (error) {
    trouble = `tsudevd does not answer: ${messageOf(error)}`;
  } finally {
    restoreKeys?.();
    restoreSignals();
    if (terminal) context.stdout(LEAVE);
  }
  if (trouble === undefined) return 0;
  context.stderr(`${context.program}: ${trouble}\n`);
  return 1;
}

function sizeOf({ size: [columns, rows] }: TerminalInput): ScreenSize {
  return { columns, rows };
}

/** Over what was there: a screen that is cleared first flickers. */
function screenText(lines: readonly string[]): string {
  return `${HOME}${lines.map((line) => `${line}${CLEAR_LINE}`).join('\r\n')}${CLEAR_BELOW}`;
}

/** Ends at once when somebody ends the watching. */
async function pause(system: System, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await system.clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function numberOf(text: string, option: string, program: string): number {
  const value = Number(text);
  if (!/^\d+(?:\.\d+)?$/.test(text) || value <= 0 || value > 86_400) throw new UsageError(`${program}: ${option} takes a number from above 0 to 86400, not '${text}'`);
  return value;
}
