// tskmod record: this machine as a file, and what the kernel says of it meanwhile.

import { closeSync, openSync, writeSync } from 'node:fs';

import { codeOf, LimitError, messageOf, UsageError } from '../errors.ts';
import { openAnonymiser } from '../machine/anonymise.ts';
import { followEvents, recordMachine } from '../machine/record-machine.ts';
import type { Following } from '../machine/record-machine.ts';
import { formatEvent, formatRecording } from '../machine/recording.ts';
import type { RecordedEvent } from '../machine/recording.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { MACHINE_OPTION, requireRunningKernel, withMachine } from './machine-option.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'output', short: 'o', argument: 'required' }, { long: 'anonymise' }, { long: 'follow', short: 'f' }, { long: 'for', argument: 'required' },
  { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod record [OPTION]...

Writes this machine as text: the devices of /sys with attributes and links, the
kernel's release and command line, its modules, and udev's database. Other commands
take the file with --machine; umockdev-run takes it with --device.

  -o, --output FILE    write there, not to the standard output; only its owner may
                       read it
      --anonymise      replace serial numbers, MAC addresses, UUIDs and host names,
                       the same ones by the same throughout
  -f, --follow         also what the kernel tells of its devices, with the time,
                       until SIGINT or SIGTERM
      --for SECONDS    with --follow, no longer than that
      --machine=FILE   another recording, not this machine: with --anonymise, to hand
                       it on
  -V, --version
  -h, --help

Some attributes are for root only: without privilege they are missing.
docs/machine.md tells the format.
`;

const SECONDS_MAX = 1_000_000;
/** Events of one recording. */
const EVENTS_MAX = 1_000_000;

export const recordApplet: Applet = {
  name: 'record',
  summary: 'write this machine to a file that other commands take with --machine',
  options: [...OPTIONS, MACHINE_OPTION],
  run: (argv, context) => withMachine(argv, context, runRecord),
};

async function runRecord(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands } = getopt(argv, OPTIONS, context.program);
  const given = new Map(options.map(({ name, value }) => [name, value]));
  if (answersHelp(given, HELP, context)) return 0;
  if (operands.length > 0) throw new UsageError(`${context.program}: Extraneous argument: '${operands[0]}'`);
  const follow = given.has('follow');
  if (follow) requireRunningKernel(context, 'leave --follow out');
  const seconds = given.get('for');
  if (seconds !== undefined && !follow) throw new UsageError(`${context.program}: --for is for --follow`);
  if (seconds !== undefined && !(Number(seconds) > 0 && Number(seconds) <= SECONDS_MAX)) throw new UsageError(`${context.program}: --for takes seconds, not '${seconds}'`);
  try {
    await record(context, { path: given.get('output'), anonymise: given.has('anonymise'), follow, ...(seconds === undefined ? {} : { ms: Number(seconds) * 1000 }) });
    return 0;
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof LimitError)) throw error;
    context.stderr(`${context.program}: ${messageOf(error)}\n`);
    return 1;
  }
}

type Options = { readonly path: string | undefined; readonly anonymise: boolean; readonly follow: boolean; readonly ms?: number };

async function record(context: AppletContext, { path, anonymise, follow, ms }: Options): Promise<void> {
  const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }) });
  const clean = anonymise ? openAnonymiser() : (text: string) => text;
  // 0600: a recording has serial numbers, and more.
  const fd = path === undefined ? undefined : openSync(path, 'w', 0o600);
  const write = (text: string): void => {
    if (fd === undefined) context.stdout(text);
    else for (let bytes = Buffer.from(text); bytes.length > 0;) bytes = bytes.subarray(writeSync(fd, bytes));
  };
  try {
    const start = system.clock.now();
    let count = 0;
    let isWritten = false;
    const early: RecordedEvent[] = [];
    const show = (event: RecordedEvent): void => {
      if (count < EVENTS_MAX) write(clean(formatEvent(event, count++)));
    };
    const onLost = (): void => context.stderr(`${context.program}: events came faster than they were written: some are missing\n`);
    // Heard before the walk, so that no device is missed between the two.
    const following = follow ? await followEvents(system, start, (event) => (isWritten ? show(event) : early.push(event)), onLost) : undefined;
    write(clean(formatRecording(await recordMachine(system))));
    isWritten = true;
    early.forEach(show);
    if (following) await waitForEnd(context, following, ms);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

async function waitForEnd(context: AppletContext, following: Following, ms: number | undefined): Promise<void> {
  let restore = (): void => undefined;
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<void>((resolve) => {
    restore = context.signals({ SIGINT: resolve, SIGTERM: resolve });
    if (ms !== undefined) timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([ended, following.failed]);
  } finally {
    clearTimeout(timer);
    restore();
    await following.close();
  }
}
