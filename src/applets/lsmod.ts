// lsmod: lists the modules that are in the kernel, their size and their users.

import { codeOf, messageOf } from '../errors.ts';
import { readLoadedModules } from '../kmod/loaded.ts';
import type { LoadedModule } from '../kmod/loaded.ts';
import { errnoByName, errnoText } from '../system.ts';
import type { Applet, AppletContext } from './applet.ts';
import { type CommandLine, getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { MACHINE_OPTION, withMachine } from './machine-option.ts';
import { answersHelp } from './standard-options.ts';
import { messageWriter } from './syslog.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'syslog', short: 's' },
  { long: 'verbose', short: 'v' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: lsmod [OPTION]...
List the modules that are in the kernel.

  -s, --syslog     errors go to the system log
  -v, --verbose    for compatibility
      --json       one JSON object a module and line (docs/json.md)
      --machine=FILE
                   list those of a recorded machine (tskmod record)
  -V, --version
  -h, --help
`;

/** What kmod prints where the kernel has no count: -ENOENT. */
const NO_COUNT = -2;

export const lsmod: Applet = {
  name: 'lsmod',
  summary: 'list the modules that are in the kernel',
  options: [...OPTIONS, MACHINE_OPTION],
  run: (argv, context) => withMachine(argv, context, async (rest, inner) => listModules(getopt(rest, OPTIONS, inner.program), inner), { modulesOnly: true }),
};

/** `kmod list`, which takes no options behind an operand, and says `list` where its command line is wrong. */
export async function kmodList(argv: readonly string[], context: AppletContext): Promise<number> {
  return withMachine(argv, context, async (rest, inner) => listModules(getopt(rest, OPTIONS, 'list', { stopAtOperand: true }), inner), { modulesOnly: true });
}

async function listModules({ options, operands }: CommandLine, context: AppletContext): Promise<number> {
  const given = new Set(options.map(({ name }) => name));
  if (answersHelp(given, HELP, context)) return 0;
  const system = context.openSystem({});
  const write = await messageWriter(context, system, given.has('syslog'));
  const fail = (text: string): number => {
    write(`${context.program}: ERROR: ${text}\n`);
    return 1;
  };
  if (operands.length > 0) return fail('too many arguments provided.');
  try {
    const modules = readLoadedModules(system);
    context.stdout(given.has('json') ? modules.map(moduleLine).join('') : formatTable(modules));
    return 0;
  } catch (error) {
    return fail(`could not get list of modules: ${reasonOf(error)}`);
  }
}

/** The columns of kmod. A name or number that is too long moves those behind it. */
export function formatTable(modules: readonly LoadedModule[]): string {
  const lines = modules.map(({ module, size, refcnt, holders }) => {
    const users = holders.length === 0 ? '' : ` ${holders.join(',')}`;
    return `${module.padEnd(19)} ${String(size).padStart(8)}  ${refcnt ?? NO_COUNT}${users}\n`;
  });
  return `Module                  Size  Used by\n${lines.join('')}`;
}

function moduleLine({ module, size, refcnt, holders, state }: LoadedModule): string {
  return jsonLine('loaded-module', { module, size, refcnt: refcnt ?? null, holders, state });
}

/** The C library's text, as kmod has it. */
function reasonOf(error: unknown): string {
  const errno = errnoByName(codeOf(error) ?? '');
  return errno === undefined ? messageOf(error) : errnoText(errno);
}
