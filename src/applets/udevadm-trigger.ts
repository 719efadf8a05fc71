// udevadm trigger: asks the kernel for the events of devices.

import { randomUUID } from 'node:crypto';

import { codeOf, messageOf, UsageError } from '../errors.ts';
import { errnoByName, errnoText } from '../system.ts';
import type { System } from '../system.ts';
import { sendControl } from '../udev/control-socket.ts';
import type { Device } from '../udev/device.ts';
import { ACTIONS, isGone, requestEvent, watchAnswers } from '../udev/synthetic.ts';
import type { AnswerWatch } from '../udev/synthetic.ts';
import { matchesFilter, triggerOrder, withParents } from '../udev/trigger.ts';
import type { TriggerFilter } from '../udev/trigger.ts';
import { triggerCandidate, triggerDevices } from '../udev/trigger-devices.ts';
import type { TriggerType } from '../udev/trigger-devices.ts';
import type { Applet, AppletContext } from './applet.ts';
import { deviceArgumentFault, deviceOfArgument } from './device-argument.ts';
import { FILTER_OPTIONS, namedParents, parseDeviceFilter } from './device-filter.ts';
import type { NamedParent } from './device-filter.ts';
import { getopt, type OptionSpec, type ParsedOption } from './getopt.ts';
import { stderrLog } from './log.ts';
import { requireRunningKernel } from './machine-option.ts';
import { answersHelp } from './standard-options.ts';
import { parseTimeSpan } from './time-span.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v' },
  { long: 'dry-run', short: 'n' },
  { long: 'quiet', short: 'q' },
  { long: 'type', short: 't', argument: 'required' },
  { long: 'action', short: 'c', argument: 'required' },
  ...FILTER_OPTIONS,
  { long: 'include-parents' },
  { long: 'settle', short: 'w' },
  { long: 'wait-daemon', argument: 'optional' },
  { long: 'uuid' },
  { long: 'prioritized-subsystem', argument: 'required' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `udevadm trigger [OPTIONS] [DEVPATH...]

Ask the kernel for the events of devices: of all of them, of those that the options name, or of
DEVPATH (below /sys or /dev) and all below it.

  -v, --verbose               print each device; with --settle also when it is done
  -n, --dry-run               ask for no events
  -q, --quiet                 say nothing where an event cannot be asked for
  -t, --type=TYPE             devices (default), subsystems (with drivers and modules) or all
  -c, --action=ACTION         change (default), add, ...; "help" lists them

Which (patterns; an option may be given several times):
  -s, --subsystem-match=SUBSYSTEM    devices of one of these subsystems
  -S, --subsystem-nomatch=SUBSYSTEM  of none of these
  -a, --attr-match=FILE[=VALUE]      with all these attributes
  -A, --attr-nomatch=FILE[=VALUE]    with none of these
  -p, --property-match=KEY=VALUE     with one of these properties
  -g, --tag-match=TAG                with one of these tags
  -y, --sysname-match=NAME           with one of these names
      --name-match=NAME              with this node, and what is below the device
  -b, --parent-match=SYSPATH         this device and what is below it
      --include-parents              the devices above those that match, too
      --initialized-match            that udev has processed
      --initialized-nomatch          that it has not
      --prioritized-subsystem=SUBSYSTEM[,...]
                                     these first, with the devices above them

      --uuid                  print the UUID of each event
  -w, --settle                wait until udev has done these events; what was lost is asked for again,
                              and what udev never did is said
      --wait-daemon[=SEC]     wait (5 s) for udev to answer before all else
  -V, --version
  -h, --help

Exit status: 0 on success, 1 otherwise.
`;

const TYPES: readonly TriggerType[] = ['devices', 'subsystems', 'all'];
const DAEMON_WAIT_MS = 5000;
/** How often what was lost is asked for again. */
const ASK_AGAIN_MAX = 3;

type Command = {
  readonly filter: TriggerFilter;
  /** As typed, with what a bare name is below. */
  readonly parents: readonly NamedParent[];
  readonly type: TriggerType;
  readonly action: string;
  readonly first: readonly string[];
  /** Milliseconds. */
  readonly daemonWaitMs: number | undefined;
  has(option: string): boolean;
};

export const udevadmTrigger: Applet = {
  name: 'trigger',
  summary: 'Request events from the kernel',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    if (options.some(({ name, value }) => name === 'action' && value === 'help')) {
      context.stdout(`${ACTIONS.join('\n')}\n`);
      return 0;
    }
    const command = parseCommand(options, operands, context);
    if (!command.has('dry-run') || command.daemonWaitMs !== undefined) requireRunningKernel(context, 'use --dry-run');
    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    const parents: string[] = [];
    for (const { text, prefix } of command.parents) {
      const device = deviceOfArgument(system, text, prefix);
      if (!device) {
        context.stderr(`Failed to open the device '${text}': ${deviceArgumentFault(text)}\n`);
        return 1;
      }
      parents.push(device.devpath);
    }
    if (command.daemonWaitMs !== undefined && !await isDaemonThere(system, command.daemonWaitMs, context)) return 1;
    try {
      return await trigger(system, command, await select(system, command, parents), context);
    } catch (error) {
      context.stderr(`${context.program}: ${messageOf(error)}\n`);
      return 1;
    }
  },
};

function parseCommand(options: readonly ParsedOption[], operands: readonly string[], context: AppletContext): Command {
  const all = (...names: readonly string[]): string[] => options.filter(({ name }) => names.includes(name)).map(({ value }) => value);
  const last = (name: string): string | undefined => all(name).at(-1);
  const type = last('type') ?? 'devices';
  const bad = all('type').find((each) => !TYPES.some((known) => known === each));
  if (bad !== undefined) throw new UsageError(`Unknown type --type=${bad}`);
  const badAction = all('action').find((each) => !ACTIONS.includes(each));
  if (badAction !== undefined) throw new UsageError(`Unknown action '${badAction}'`);
  return {
    filter: parseDeviceFilter(options),
    parents: [...namedParents(options), ...operands.map((text) => ({ text }))],
    type: TYPES.find((known) => known === type) ?? 'devices',
    action: last('action') ?? 'change',
    first: all('prioritized-subsystem').flatMap((list) => list.split(',')).filter((name) => name !== ''),
    daemonWaitMs: last('wait-daemon') === undefined ? undefined : daemonWait(last('wait-daemon') ?? '', context),
    has: (name) => options.some((option) => option.name === name),
  };
}

function daemonWait(text: string, context: AppletContext): number {
  const ms = text === '' ? DAEMON_WAIT_MS : parseTimeSpan(text);
  if (ms === undefined) context.stderr(`Failed to parse timeout value '${text}', ignoring: Invalid argument\n`);
  return ms ?? DAEMON_WAIT_MS;
}

/** Whether a daemon answers; `stderr` says why not. */
async function isDaemonThere(system: System, timeoutMs: number, { stderr }: Pick<AppletContext, 'stderr'> = { stderr: () => undefined }): Promise<boolean> {
  try {
    if (await sendControl(system, [{ type: 'ping' }], { timeoutMs: Math.min(timeoutMs, 2 ** 31 - 1) })) return true;
    stderr('Failed to wait for daemon to reply: Connection timed out\n');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    stderr(`Failed to connect to udev daemon: ${errorText(error)}\n`);
  }
  return false;
}

async function select(system: System, command: Command, parents: readonly string[]): Promise<readonly Device[]> {
  const { type, first } = command;
  const filter = { ...command.filter, parents };
  const devices = await triggerDevices(system, type, parents);
  const passing = devices.filter((device) => matchesFilter(triggerCandidate(system, device), filter));
  // To a directory of drivers udev comes from one of them that passed.
  const matching = parents.length > 0 && type !== 'subsystems' ? passing
    : passing.filter(({ devpath }) => !devpath.endsWith('/drivers') || passing.some((other) => other.devpath.startsWith(`${devpath}/`)));
  if (!command.has('include-parents')) return triggerOrder(matching, first);
  const all = parents.length === 0 ? devices : await triggerDevices(system, type, []);
  return triggerOrder(withParents(matching, [...all, ...matching]).filter(({ subsystem }) => subsystem !== undefined), first);
}

async function trigger(system: System, command: Command, devices: readonly Device[], context: AppletContext): Promise<number> {
  const isVerbose = command.has('verbose');
  if (command.has('dry-run')) {
    if (isVerbose) context.stdout(devices.map(({ syspath }) => `${syspath}\n`).join(''));
    return 0;
  }
  const answers = command.has('settle') ? await watchAnswers(system, (syspath, uuid) => {
    if (isVerbose) context.stdout(`settle ${syspath}\n`);
    if (command.has('uuid')) context.stdout(`settle ${uuid}\n`);
  }) : undefined;
  try {
    const isDone = requestAll(devices, command, answers, context);
    return answers && !await allAnswered(system, devices, command, answers, context) ? 1 : Number(!isDone);
  } finally {
    await answers?.close();
  }
}

/** False when one could not be asked for. */
function requestAll(devices: readonly Device[], command: Command, answers: AnswerWatch | undefined, context: AppletContext): boolean {
  const { action } = command;
  let isDone = true;
  for (const { sysname, syspath } of devices) {
    if (command.has('verbose')) context.stdout(`${syspath}\n`);
    const uuid = answers || command.has('uuid') ? randomUUID() : undefined;
    if (uuid !== undefined) answers?.expect(uuid, syspath);
    try {
      requestEvent(syspath, action, uuid);
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      if (uuid !== undefined) answers?.forget(uuid);
      if (isGone(error)) continue;
      if (!command.has('quiet')) context.stderr(`${sysname}: Failed to write '${action}' to '${syspath}/uevent': ${errorText(error)}\n`);
      isDone = false;
      // No other can be written either.
      if (code === 'EROFS') return false;
      continue;
    }
    if (command.has('uuid')) context.stdout(`${uuid}\n`);
  }
  return isDone;
}

/** Waits; what the kernel or udev lost on the way is asked for again. False when some never came. */
async function allAnswered(
  system: System, devices: readonly Device[], command: Command, answers: AnswerWatch, context: AppletContext,
): Promise<boolean> {
  const { program, stderr, signals } = context;
  const stop = new AbortController();
  const restore = signals({ SIGINT: () => stop.abort(), SIGTERM: () => stop.abort() });
  try {
    let lost = await answers.wait(stop.signal);
    for (let attempt = 0; attempt < ASK_AGAIN_MAX && lost.length > 0 && await isDaemonThere(system, DAEMON_WAIT_MS); attempt++) {
      stderr(`${program}: ${lost.length} events were lost: asking for them again\n`);
      const missing = new Set(lost);
      answers.forgetAll();
      if (!requestAll(devices.filter(({ syspath }) => missing.has(syspath)), command, answers, context)) break;
      lost = await answers.wait(stop.signal);
    }
    for (const syspath of lost) stderr(`${program}: udev never answered for ${syspath}\n`);
    if (lost.length > 0) stderr(`${program}: ${whyLost(system, answers)}\n`);
    return lost.length === 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    stderr(`${program}: interrupted before udev had done all events\n`);
    return false;
  } finally {
    restore();
  }
}

function whyLost(system: System, answers: AnswerWatch): string {
  return answers.isLossy ? 'messages of udev were lost on the way here: these events may have been done all the same'
    : `udev has nothing left to do: their events were lost, or no udev works on ${system.roots.run}/udev`;
}

/** As strerror(3) has it, where the error has a code. */
function errorText(error: unknown): string {
  const code = codeOf(error);
  const errno = code === undefined ? undefined : errnoByName(code);
  return errno === undefined ? messageOf(error) : errnoText(errno);
}
