// udevadm: finds the subcommand and runs it.

import { editDistance } from '../kmod/nearest.ts';
import type { Applet, AppletContext, Subcommand } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { withMachine } from './machine-option.ts';
import { helpFor } from './standard-options.ts';

/** What scripts compare with: the udev whose commands and texts these are. */
export const UDEV_VERSION = '257';

type UdevadmSubcommand = Subcommand & {
  /** Takes --machine. */
  readonly recorded?: boolean;
};

/** In the order and with the summaries of udevadm's help; what only we have comes last. */
const SUBCOMMANDS: readonly UdevadmSubcommand[] = [
  { name: 'info', summary: 'Query sysfs or the udev database', recorded: true, load: async () => (await import('./udevadm-info.ts')).udevadmInfo },
  { name: 'trigger', summary: 'Request events from the kernel', recorded: true, load: async () => (await import('./udevadm-trigger.ts')).udevadmTrigger },
  { name: 'settle', summary: 'Wait for pending udev events', load: async () => (await import('./udevadm-settle.ts')).udevadmSettle },
  { name: 'control', summary: 'Control the udev daemon', load: async () => (await import('./udevadm-control.ts')).udevadmControl },
  { name: 'monitor', summary: 'Listen to kernel and udev events', load: async () => (await import('./udevadm-monitor.ts')).udevadmMonitor },
  { name: 'hwdb', summary: 'Update or query the hardware database', load: async () => (await import('./udevadm-hwdb.ts')).udevadmHwdb },
  { name: 'test', summary: 'Test an event run', recorded: true, load: async () => (await import('./udevadm-test.ts')).udevadmTest },
  { name: 'test-builtin', summary: 'Test a built-in command', recorded: true, load: async () => (await import('./udevadm-test-builtin.ts')).udevadmTestBuiltin },
  { name: 'verify', summary: 'Verify udev rules files', load: async () => (await import('./udevadm-verify.ts')).udevadmVerify },
  { name: 'wait', summary: 'Wait for device or device symlink', load: async () => (await import('./udevadm-wait.ts')).udevadmWait },
  { name: 'lock', summary: 'Lock a block device', load: async () => (await import('./udevadm-lock.ts')).udevadmLock },
  { name: 'apply', summary: 'Do all that an event asks for, without a daemon', load: async () => (await import('./udevadm-apply.ts')).udevadmApply },
  { name: 'test-rules', summary: 'Test rules with captured devices', recorded: true, load: async () => (await import('./udevadm-test-rules.ts')).udevadmTestRules },
];

const OPTIONS: readonly OptionSpec[] = [{ long: 'debug', short: 'd' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' }];

/** Words that stand for options. */
const WORDS = ['version', 'help'];

/** Like udev, no word is suggested that takes more edits than this. */
const DISTANCE_MAX = 5;
/** Edit distances take quadratic time. */
const WORD_MAX = 64;

export const udevadm: Applet = {
  name: 'udevadm',
  summary: 'ask what udev knows, and tell it what to do',
  options: OPTIONS,
  subcommands: SUBCOMMANDS,
  run,
};

async function run(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands: [verb, ...rest] } = getopt(argv, OPTIONS, context.program, { stopAtOperand: true });
  const first = options.find(({ name }) => name !== 'debug')?.name;
  if (first === 'help' || (first === undefined && verb === 'help')) {
    context.stdout(helpFor(help(context.program), context));
    return 0;
  }
  if (first === 'version' || (first === undefined && verb === 'version')) {
    context.stdout(`${UDEV_VERSION}\n`);
    return 0;
  }
  if (verb === undefined) {
    context.stderr(`Command verb required (one of ${[...SUBCOMMANDS.map(({ name }) => name), ...WORDS].join(', ')}).\n`);
    return 1;
  }
  const subcommand = SUBCOMMANDS.find(({ name }) => name === verb);
  if (!subcommand) {
    const near = nearest(verb);
    context.stderr(`Unknown command verb '${verb}'${near === undefined ? '' : `, did you mean '${near}'?`}${near === undefined ? '.' : ''}\n`);
    return 1;
  }
  const isDebug = options.some(({ name }) => name === 'debug');
  const applet = await subcommand.load();
  const inner: AppletContext = { ...context, program: verb, env: isDebug ? { ...context.env, SYSTEMD_LOG_LEVEL: 'debug' } : context.env };
  return subcommand.recorded ? withMachine(rest, inner, (words, machine) => applet.run(words, machine), { devicePaths: true }) : applet.run(rest, inner);
}

function help(program: string): string {
  const lines = SUBCOMMANDS.map(({ name, summary }) => `  ${name.padEnd(12)}  ${summary}\n`).join('');
  return `${program} [--help] [--version] [--debug] COMMAND [COMMAND OPTIONS]

Send control commands or test the device manager.

  -d, --debug    say what is done and why, to stderr
  -V, --version
  -h, --help

Commands:
${lines}
info, trigger -n, test, test-builtin and test-rules --capture take --machine FILE: a recording (tskmod record) in
place of this machine. ${program} COMMAND --help tells more. The commands are those of udev ${UDEV_VERSION}, udevadm(8).
`;
}

function nearest(verb: string): string | undefined {
  if (verb.length > WORD_MAX) return undefined;
  const words = [...SUBCOMMANDS.map(({ name }) => name), ...WORDS];
  const distances = words.map((word) => ({ word, distance: editDistance(verb, word) })).filter(({ distance }) => distance <= DISTANCE_MAX);
  return words.find((word) => word.startsWith(verb)) ?? distances.sort((a, b) => a.distance - b.distance)[0]?.word;
}
