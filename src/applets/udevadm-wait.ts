// udevadm wait: waits until devices are there, processed, or gone.

import { normalize } from 'node:path';

import { messageOf, UsageError } from '../errors.ts';
import type { System } from '../system.ts';
import { waitForDevices } from '../udev/wait-device.ts';
import type { WaitFor } from '../udev/wait-device.ts';
import type { Applet } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';
import { parseBoolean, parseTimeSpan } from './time-span.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'timeout', short: 't', argument: 'required' },
  { long: 'initialized', argument: 'required' },
  { long: 'removed' },
  { long: 'settle' },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
];

const HELP = `udevadm wait [OPTIONS] DEVICE...

Wait until devices (paths or links below /dev, paths below /sys) are there.

  -t, --timeout=SEC      at most so long; for ever without it
      --initialized=BOOL wait until udev has processed them, too (yes, the default)
      --removed          wait until they are gone
      --settle           wait until udev has nothing left to do, too
  -V, --version
  -h, --help

Exit status: 0 when it is so, 1 when the time is over.
`;

const WORDS: Readonly<Record<WaitFor, string>> = { initialised: 'initialized', added: 'added', removed: 'removed' };

export const udevadmWait: Applet = {
  name: 'wait',
  summary: 'Wait for device or device symlink',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    let state: WaitFor = 'initialised';
    let timeoutMs = Infinity;
    for (const { name, value } of options) {
      if (name === 'removed') state = 'removed';
      if (name === 'initialized') state = stateOf(value);
      if (name === 'timeout') timeoutMs = timeoutOf(value);
    }
    if (operands.length === 0) throw new UsageError('Too few arguments, expected at least one device path or device symlink.');
    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    const paths = operands.map((path) => checkPath(system, path));
    const stop = new AbortController();
    const restore = context.signals({ SIGINT: () => stop.abort(), SIGTERM: () => stop.abort() });
    try {
      if (await waitForDevices(system, paths, state, { timeoutMs, settle: given.has('settle'), signal: stop.signal })) return 0;
      context.stderr(`Timed out for waiting devices being ${WORDS[state]}.\n`);
      return 1;
    } catch (error) {
      if (!stop.signal.aborted) context.stderr(`${context.program}: ${messageOf(error)}\n`);
      return 1;
    } finally {
      restore();
    }
  },
};

function stateOf(text: string): WaitFor {
  const isInitialised = parseBoolean(text);
  if (isInitialised === undefined) throw new UsageError(`Failed to parse --initialized= parameter: ${text}`);
  return isInitialised ? 'initialised' : 'added';
}

function timeoutOf(text: string): number {
  const ms = parseTimeSpan(text);
  if (ms === undefined) throw new UsageError(`Failed to parse -t/--timeout= parameter: ${text}`);
  return ms;
}

function checkPath({ roots: { dev, sys } }: System, path: string): string {
  if (path.split('/').includes('..')) throw new UsageError('Device path cannot contain "..".');
  const normal = normalize(path);
  if (!normal.startsWith(`${dev}/`) && !normal.startsWith(`${sys}/`)) throw new UsageError(`Specified path "${path}" does not start with "${dev}/" or "${sys}/".`);
  return normal;
}
