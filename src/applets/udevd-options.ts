// The command line of tsudevd: its options, its help, and what they come to.

import { UsageError } from '../errors.ts';
import type { LogLevel } from '../system.ts';
import { KEPT_CAPABILITIES } from '../udev/own-process.ts';
import { getopt } from './getopt.ts';
import type { OptionSpec } from './getopt.ts';
import { LOG_LEVELS, logLevelOf } from './log.ts';

export type UdevdCommand = {
  readonly mode: 'daemon' | 'coldplug' | 'dry-run' | 'help' | 'version';
  readonly skipColdplug: boolean;
  readonly json: boolean;
  readonly root: string | undefined;
  readonly sysfs: string | undefined;
  readonly modules: readonly string[] | undefined;
  readonly release: string | undefined;
  readonly configPaths: readonly string[] | undefined;
  readonly readyFd: number | undefined;
  readonly logLevel: LogLevel;
  readonly logTarget: 'stderr' | 'kmsg';
  readonly jobs: number | undefined;
  readonly settleMs: number;
  /** Only load modules: no rules, nodes, links, database or messages. */
  readonly noRules: boolean;
  /** End when this is there. */
  readonly until: string | undefined;
  /** With `until`: how long to wait for it once nothing is left to do. */
  readonly untilMs: number;
  readonly childrenMax: number | undefined;
  readonly eventTimeoutMs: number | undefined;
  readonly resolveNames: 'early' | 'late' | 'never' | undefined;
  /** Go to the background once events are heard. */
  readonly background: boolean;
  /** Of the one in the background: gets a newline when events are heard. */
  readonly listeningFd: number | undefined;
  readonly keepCapabilities: boolean;
};

/** As many modules may load at a time; each takes a thread. */
const JOBS_MAX = 64;
const SETTLE_MS = 300;
const UNTIL_S = 5;
const SECONDS_MAX = 86_400;
const CHILDREN_MAX = 1 << 16;
const SETTLE_MAX_MS = 60_000;
/** Where descriptors end that a shell or supervisor would hand over (kernel: sysctl fs.nr_open). */
const FD_MAX = 1 << 20;

export const UDEVD_OPTIONS: readonly OptionSpec[] = [
  { long: 'coldplug-only' },
  { long: 'dry-run', short: 'n' },
  { long: 'no-coldplug' },
  { long: 'no-rules' },
  { long: 'until', argument: 'required' },
  { long: 'timeout', argument: 'required' },
  { long: 'daemon', short: 'd' },
  { long: 'listening-fd', argument: 'required' },
  { long: 'keep-capabilities' },
  { long: 'debug', short: 'D' },
  { long: 'children-max', short: 'c', argument: 'required' },
  { long: 'event-timeout', short: 't', argument: 'required' },
  { long: 'resolve-names', short: 'N', argument: 'required' },
  // Of systemd-udevd; nothing here is delayed, and SIGKILL ends what hangs.
  { long: 'exec-delay', short: 'e', argument: 'required' },
  { long: 'timeout-signal', short: 's', argument: 'required' },
  { long: 'sysfs', argument: 'required' },
  { long: 'modules', argument: 'required' },
  { long: 'root', argument: 'required' },
  { long: 'release', short: 'S', argument: 'required' },
  { long: 'config', short: 'C', argument: 'required' },
  { long: 'ready-fd', argument: 'required' },
  { long: 'settle', argument: 'required' },
  { long: 'jobs', short: 'j', argument: 'required' },
  { long: 'log-level', short: 'l', argument: 'required' },
  { long: 'log-target', argument: 'required' },
  { long: 'json' },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
];

function wrapWords(words: readonly string[], width: number): string {
  const lines = [''];
  for (const word of words) {
    const line = lines.at(-1) ?? '';
    if (line.length + word.length < width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(` ${word}`);
  }
  return lines.map((line) => ` ${line}`).join('\n');
}

export function udevdHelp(program: string): string {
  return `Usage: ${program} [OPTION]...

Applies the udev rules to the devices in /sys and to each event of the kernel: loads modules, sets up nodes and
links in /dev, keeps the database in /run/udev, and tells libudev's listeners.

Modes (the default is to stay and listen):
      --coldplug-only      Do all that for the devices that are there, print a summary, exit
      --until GOAL         Do what leads to GOAL first, and exit when it is there: a link or node below /dev,
                           UUID=, LABEL=, PARTUUID=, PARTLABEL=, ID=, or the name of a module
      --timeout SEC        With --until: how long to wait for GOAL once nothing is left to do (default ${UNTIL_S})
  -n, --dry-run            Print what would be loaded and why; load nothing. Needs no privilege
      --no-coldplug        Stay, and leave the devices that are there already alone
      --no-rules           Only load modules by MODALIAS: no rules, nodes, links, database or messages
  -d, --daemon             Start the daemon in the background, and return when it listens. Its log goes to the
                           kernel's unless --log-target says otherwise

Where to look:
      --root DIR           A directory that looks like /: all of the following are below it
      --sysfs DIR          Read DIR instead of /sys
      --machine FILE       With --dry-run: the devices of a recording (tskmod record), and its kernel's release
      --modules PATH       Modules are in PATH: an image, or a directory (as modprobe's);
                           repeated, later ones are laid over earlier ones
  -S, --release RELEASE    The kernel release whose modules are meant, not uname -r
  -C, --config PATH        Read this file or directory instead of modprobe.d; may be repeated

How (-c, -D, -N and -t as systemd-udevd has them; its -e and -s are accepted and mean nothing here):
  -c, --children-max N     Handle up to N events at a time
  -t, --event-timeout SEC  Kill a program of a rule after so many seconds (default 180)
  -N, --resolve-names WHEN Look users and groups of rules up early, late or never
  -D, --debug              Same as --log-level debug
  -j, --jobs N             Load up to N modules at a time
      --settle MS          With --coldplug-only: how long nothing new must appear (default ${SETTLE_MS})
      --ready-fd N         Write a newline to descriptor N when the coldplug has settled
  -l, --log-level LEVEL    ${LOG_LEVELS.join(', ')}
      --log-target TARGET  stderr or kmsg
      --keep-capabilities  Drop none (see below)
      --json               Print results as JSON: one object, or one a line when staying
  -h, --help               Print this
  -V, --version            Print the version

Rules are read from /etc, /run, /usr/local/lib, /usr/lib and /lib/udev/rules.d, and from our own default set where
udev's own (50-udev-default.rules) are not there. A change of them reloads; a file that is faulty then keeps the rules that it had.

$NOTIFY_SOCKET is told READY=1, RELOADING=1 and STOPPING=1 (sd_notify). SIGHUP, or a change of modprobe.d or of
the module indexes, reloads. SIGTERM and SIGINT stop after the loads under way.

The daemon drops all capabilities but these:
${wrapWords(Object.keys(KEPT_CAPABILITIES), 110)}
Programs of rules are started with what the bounding set allows, a umask of 022, a session of their own, no descriptors
but the standard ones, and the properties of their event as environment. The OOM killer is told to spare the daemon.

Exit code: 0 when settled or stopped, whatever became of single modules: a driver without its hardware is
everyday, and the summary lists the rest. 1 when the machine cannot be examined (no /sys, no socket, no module
tree for --no-rules), when a coldplug was interrupted, when the goal of --until did not come, and when the command line is wrong.
`;
}

/** Throws UsageError. */
export function parseUdevdCommand(argv: readonly string[], program: string): UdevdCommand {
  const { options, operands } = getopt(argv, UDEVD_OPTIONS, program);
  if (operands.length > 0) throw new UsageError(`${program}: unexpected argument '${operands[0]}'`);
  const has = (name: string): boolean => options.some((option) => option.name === name);
  const all = (name: string): readonly string[] => options.filter((option) => option.name === name).map(({ value }) => value);
  const last = (name: string): string | undefined => all(name).at(-1);
  const number = (name: string, minimum: number, maximum: number): number | undefined => {
    const text = last(name);
    if (text === undefined) return undefined;
    const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : -1;
    if (value < minimum || value > maximum) throw new UsageError(`${program}: --${name} takes a number from ${minimum} to ${maximum}, not '${text}'`);
    return value;
  };

  let mode: UdevdCommand['mode'] = 'daemon';
  if (has('coldplug-only') || has('until')) mode = 'coldplug';
  if (has('dry-run')) mode = 'dry-run';
  if (has('version')) mode = 'version';
  if (has('help')) mode = 'help';
  if (has('no-coldplug') && (mode === 'coldplug' || mode === 'dry-run')) {
    throw new UsageError(`${program}: --no-coldplug leaves nothing to do with --${mode === 'coldplug' ? 'coldplug-only' : 'dry-run'}`);
  }
  const levelText = last('log-level') ?? (has('debug') ? 'debug' : undefined);
  const resolveNames = last('resolve-names');
  if (resolveNames !== undefined && resolveNames !== 'early' && resolveNames !== 'late' && resolveNames !== 'never') {
    throw new UsageError(`${program}: --resolve-names takes early, late or never, not '${resolveNames}'`);
  }
  const eventTimeout = number('event-timeout', 1, SECONDS_MAX);
  // The modes that end print their results; a daemon's log is all there is to see of it.
  const logLevel = levelText === undefined ? (mode === 'daemon' ? 'info' : 'notice') : logLevelOf(levelText);
  if (!logLevel) throw new UsageError(`${program}: --log-level takes ${LOG_LEVELS.join(', ')}, not '${levelText}'`);
  const logTarget = last('log-target') ?? (has('daemon') && mode === 'daemon' ? 'kmsg' : 'stderr');
  if (logTarget !== 'stderr' && logTarget !== 'kmsg') throw new UsageError(`${program}: --log-target takes stderr or kmsg, not '${logTarget}'`);
  return {
    mode,
    skipColdplug: has('no-coldplug'),
    json: has('json'),
    root: last('root'),
    sysfs: last('sysfs'),
    modules: has('modules') ? all('modules') : undefined,
    release: last('release'),
    configPaths: has('config') ? all('config') : undefined,
    // 0 to 2 are the standard streams.
    readyFd: number('ready-fd', 3, FD_MAX),
    logLevel,
    logTarget,
    jobs: number('jobs', 1, JOBS_MAX),
    settleMs: number('settle', 0, SETTLE_MAX_MS) ?? SETTLE_MS,
    noRules: has('no-rules'),
    until: last('until'),
    untilMs: (number('timeout', 0, SECONDS_MAX) ?? UNTIL_S) * 1000,
    childrenMax: number('children-max', 1, CHILDREN_MAX),
    eventTimeoutMs: eventTimeout === undefined ? undefined : eventTimeout * 1000,
    resolveNames,
    background: has('daemon') && mode === 'daemon',
    listeningFd: number('listening-fd', 3, FD_MAX),
    keepCapabilities: has('keep-capabilities'),
  };
}
