// udevadm control: tells the daemon what to do, and waits until it has done so.

import { codeOf, UsageError } from '../errors.ts';
import { errnoByName, errnoText } from '../system.ts';
import type { ControlMessage } from '../udev/control-message.ts';
import { sendControl } from '../udev/control-socket.ts';
import type { Applet } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';
import { loadCredentials } from './udevadm-credentials.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'exit', short: 'e' },
  { long: 'log-level', short: 'l', argument: 'required' },
  { long: 'log-priority', argument: 'required', name: 'log-level' },
  { long: 'stop-exec-queue', short: 's' },
  { long: 'start-exec-queue', short: 'S' },
  { long: 'reload', short: 'R' },
  { long: 'reload-rules', name: 'reload' },
  { long: 'property', short: 'p', argument: 'required' },
  { long: 'env', argument: 'required', name: 'property' },
  { long: 'children-max', short: 'm', argument: 'required' },
  { long: 'ping' },
  { long: 'load-credentials' },
  { long: 'timeout', short: 't', argument: 'required' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `udevadm control OPTION

Tell the daemon what to do. It must be root who asks.

  -e, --exit                finish what is under way and end
  -l, --log-level=LEVEL     log up to this level: a name of syslog(3) or 0 to 7
  -s, --stop-exec-queue     queue events, and do not run them
  -S, --start-exec-queue    run events again
  -R, --reload              read rules and configuration again
  -p, --property=KEY=VALUE  set a property of all events from now on; KEY= takes it away
  -m, --children-max=N      events that run at a time; 0 is the default
      --ping                wait until the daemon answers
      --load-credentials    first take over what $CREDENTIALS_DIRECTORY has: udev.rules.NAME as a file of rules
                            in /run/udev/rules.d, udev.conf.NAME as one in /run/udev/udev.conf.d
  -t, --timeout=SECONDS     how long to wait for the answer (60)
  -V, --version
  -h, --help

Exit status: 0 on success, 1 otherwise.
`;

/** syslog(3), from 0. */
const LEVELS = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'];
const TIMEOUT_SECONDS = 60;

export const udevadmControl: Applet = {
  name: 'control',
  summary: 'tell the daemon what to do',
  options: OPTIONS,
  async run(argv, context) {
    if (argv.length === 0) throw new UsageError(`${context.program} expects one or more options.`);
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    if (operands.length > 0) throw new UsageError(`Extraneous argument: ${operands[0] ?? ''}`);
    const seconds = Number(given.get('timeout') ?? TIMEOUT_SECONDS);
    if (!(seconds >= 0)) throw new UsageError(`Failed to parse timeout value '${given.get('timeout') ?? ''}': Invalid argument`);
    // Each kind once, in this order, whatever the order of the options; of two that say the opposite the last one counts.
    const queue = options.findLast(({ name }) => name === 'stop-exec-queue' || name === 'start-exec-queue')?.name;
    const messages: readonly ControlMessage[] = [
      ...has('exit', { type: 'exit' }),
      ...take('log-level', (text) => ({ type: 'log-level', value: levelOf(text) })),
      ...(queue === undefined ? [] : [{ type: queue === 'stop-exec-queue' ? 'stop-queue' : 'start-queue' } as const]),
      ...has('reload', { type: 'reload' }),
      ...options.filter(({ name }) => name === 'property').map(({ value }) => ({ type: 'env', value: propertyOf(value) } as const)),
      ...take('children-max', (text) => ({ type: 'children-max', value: countOf(text) })),
      ...has('ping', { type: 'ping' }),
    ];
    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    if (given.has('load-credentials')) {
      const directory = context.env['CREDENTIALS_DIRECTORY'];
      for (const path of directory ? loadCredentials(system, directory) : []) context.stderr(`Installed ${path} from credential.\n`);
      if (messages.length === 0) return 0;
    }
    try {
      if (await sendControl(system, messages, { timeoutMs: seconds * 1000 })) return 0;
      context.stderr(`Failed to wait for daemon to reply: ${errnoText(errnoByName('ETIMEDOUT') ?? 110)}\n`);
    } catch (error) {
      const errno = errnoByName(codeOf(error) ?? '');
      if (errno === undefined) throw error;
      context.stderr(`Failed to connect to the daemon: ${errnoText(errno)}\n`);
    }
    return 1;

    function has(name: string, message: ControlMessage): readonly ControlMessage[] {
      return given.has(name) ? [message] : [];
    }
    function take(name: string, make: (text: string) => ControlMessage): readonly ControlMessage[] {
      const text = given.get(name);
      return text === undefined ? [] : [make(text)];
    }
  },
};

function levelOf(text: string): number {
  const level = /^[0-7]$/.test(text) ? Number(text) : LEVELS.indexOf(text);
  if (level < 0) throw new UsageError(`Failed to parse log level '${text}'`);
  return level;
}

function propertyOf(text: string): string {
  if (!/^[^=]+=/.test(text)) throw new UsageError("expect <KEY>=<value> instead of '" + text + "'");
  if (Buffer.byteLength(text) > 255) throw new UsageError(`${text.slice(0, 20)}…: at most 255 bytes`);
  return text;
}

function countOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`Failed to parse maximum number of children '${text}': Invalid argument`);
  return Number(text);
}
