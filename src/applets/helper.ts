// tskmod helper: has the kernel ask tsudevd for modules, by a small program in place of modprobe.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { codeOf, messageOf, UsageError } from '../errors.ts';
import { askHelper, helperStatus, installHelper, removeHelper } from '../udev/kernel-helper.ts';
import type { HelperStatus } from '../udev/kernel-helper.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'program', argument: 'required' }, { long: 'json' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod helper install [--program PATH] | remove | status [--json]

When the kernel wants a module (mount of a file system, a socket of another
protocol), it runs the program that kernel.modprobe names, and waits. Ours passes
the request to the running tsudevd, and runs this CLI where that does not answer.

  install         set kernel.modprobe, now and at boot (sysctl.d)
  remove          set back what it was before
  status          what the kernel runs, whether that works, and whether tsudevd
                  answers it

      --program PATH  the compiled helper, where it is not beside this program
      --json          of status: one JSON object (docs/json.md)
  -V, --version
  -h, --help

Files: /etc/tsmodprobe/helper.conf, /etc/sysctl.d/60-tsmodprobe.conf

Exit status: 0; of status 1 where the kernel runs another program, or ours does not
work. docs/helper.md tells the rest.
`;

export const helperApplet: Applet = {
  name: 'helper',
  summary: 'have the kernel ask tsudevd for modules',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const [verb, ...others] = operands;
    if (verb === undefined) throw new UsageError(`${context.program}: say install, remove or status`);
    if (others.length > 0) throw new UsageError(`${context.program}: Extraneous argument: '${others[0]}'`);
    try {
      switch (verb) {
        case 'install':
          return install(context, given.get('program'));
        case 'remove':
          return remove(context);
        case 'status':
          return status(context, given.has('json'));
        default:
          throw new UsageError(`${context.program}: no such word: '${verb}'; say install, remove or status`);
      }
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      context.stderr(`${context.program}: ${messageOf(error)}\n`);
      return 1;
    }
  },
};

function install(context: AppletContext, asked: string | undefined): number {
  const cli = realpathSync(process.argv[1] ?? '');
  // An executable that carries Node in itself is its own interpreter.
  const command = cli === realpathSync(process.execPath) ? [cli, 'modprobe'] : [process.execPath, cli, 'modprobe'];
  const candidate = asked ?? join(dirname(cli), 'tskmod-helper');
  // One that was compiled for another processor is there, and does not run.
  const works = existsSync(candidate) && askHelper(candidate) !== 'fails';
  if (asked !== undefined && !works) {
    context.stderr(`${context.program}: ${asked} is no helper that runs on this machine\n`);
    return 1;
  }
  const path = installHelper(context.openSystem({}), { program: works ? realpathSync(candidate) : undefined, command });
  context.stdout(`The kernel runs ${path} for each module that it wants.\n`);
  if (!works) context.stderr(`${context.program}: no compiled helper runs on this machine: each request starts Node (docs/helper.md)\n`);
  return 0;
}

function remove(context: AppletContext): number {
  const { program, wasOurs } = removeHelper(context.openSystem({}));
  const what = program === '' ? 'no program' : program;
  context.stdout(wasOurs ? `The kernel runs ${what} again.\n` : `The kernel runs ${what}, which is not ours: left as it is.\n`);
  return 0;
}

function status(context: AppletContext, json: boolean): number {
  const state = helperStatus(context.openSystem({}));
  context.stdout(json ? jsonLine('helper', state) : statusText(state));
  return state.isOurs && state.answer !== 'fails' ? 0 : 1;
}

const ANSWERS = {
  daemon: 'tsudevd answers',
  'no-daemon': 'tsudevd does not answer: each request runs the command below',
  fails: 'cannot be run',
} as const;

function statusText({ program, isOurs, answer, command, previous, sysctlFile }: HelperStatus): string {
  const rows = [
    ['program', `${program === '' ? 'none' : program} (${isOurs ? 'ours' : 'not ours'})`],
    ...(answer === undefined ? [] : [['state', ANSWERS[answer]]]),
    ...(command.length === 0 ? [] : [['command', command.join(' ')]]),
    ...(previous === undefined ? [] : [['before', previous === '' ? 'none' : previous]]),
    ['at boot', sysctlFile ?? 'not set by us'],
  ];
  return rows.map(([name = '', value]) => `${name.padEnd(7)}  ${value}\n`).join('');
}
