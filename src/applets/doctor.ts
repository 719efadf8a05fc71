// doctor: says why a module cannot be found or loaded, what shows it, and which command may help.

import { diagnose, type Diagnosis } from '../kmod/doctor.ts';
import { openKmod } from '../kmod/kmod.ts';
import { runningRelease } from '../kmod/tree-images.ts';
import type { System } from '../system.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { MACHINE_OPTION, withMachine } from './machine-option.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'dirname', short: 'd', argument: 'required' },
  { long: 'set-version', short: 'S', argument: 'required' },
  MODULES_OPTION,
  { long: 'config', short: 'C', argument: 'required' },
  { long: 'root', argument: 'required' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: doctor [OPTION]... NAME...
Say why a module cannot be found or loaded. NAME is a module, an alias, or a
file that begins with / or ./. Nothing is changed and nothing is loaded.

The first line is the verdict; lines below it say what shows that, and lines
that begin with "try:" hold a command that may help.

  -d, --dirname=DIR      modules are in DIR/lib/modules
  -S, --set-version=REL  modules of kernel release REL, not of this kernel
      --modules=PATH     modules are in PATH: an image, or a directory;
                         repeated, later ones are laid over earlier ones
  -C, --config=PATH      read this file or directory instead of modprobe.d;
                         may be repeated
      --root=DIR         look at the machine below DIR: its modules, its
                         configuration, its /proc and /sys if they are there
      --machine=FILE     look at the machine of a recording (tskmod record)
      --json             one JSON object a name and line (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 when the module is loaded, built in, or nothing is in its way;
1 when something was found that is.
`;

export const doctor: Applet = {
  name: 'doctor',
  summary: 'say why a module cannot be found or loaded',
  options: [...OPTIONS, MACHINE_OPTION],
  run: (argv, context) => withMachine(argv, context, runDoctor, { modulesOnly: true }),
};

async function runDoctor(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands } = getopt(argv, OPTIONS, context.program);
  const given = new Map(options.map(({ name, value }) => [name, value]));
  if (answersHelp(given, HELP, context)) return 0;
  if (operands.length === 0) {
    context.stderr(`${context.program}: ERROR: missing name of a module. See -h.\n`);
    return 1;
  }
  const configPaths = options.filter(({ name }) => name === 'config').map(({ value }) => value);
  const directory = withoutSlash(given.get('dirname') ?? given.get('root'));
  const system = open(given, directory, context);
  const source = await modulesAt(system, modulesIn(options), context.program);
  const kmod = openKmod(system, { source, ...(configPaths.length === 0 ? {} : { configPaths }) });
  try {
    let status = 0;
    for (const name of operands) {
      const diagnosis = await diagnose(system, kmod, name, { directory });
      context.stdout(given.has('json') ? jsonLine('diagnosis', diagnosis) : formatDiagnosis(diagnosis));
      if (diagnosis.status === 'broken' || diagnosis.status === 'unknown') status = 1;
    }
    return status;
  } finally {
    await kmod.close();
  }
}

/** For people: the verdict, what shows it, the other findings, and commands. */
export function formatDiagnosis({ verdict, findings, propose }: Diagnosis): string {
  const lines = [verdict];
  for (const [index, { level, text, evidence = [] }] of findings.entries()) {
    // The first problem is the verdict.
    if (index > 0 || level === 'note') lines.push(`${level === 'note' ? 'note' : 'also'}: ${text}`);
    lines.push(...evidence.map((line) => `  ${line}`));
  }
  const commands = findings.flatMap((finding) => finding.propose ?? []);
  if (propose !== undefined) commands.push(propose);
  lines.push(...[...new Set(commands)].map((command) => `try: ${command}`));
  // Names in a tree or a configuration may hold anything: an escape sequence would recolour the terminal.
  return lines.map((line) => `${line.replace(/\p{Cc}/gu, '?')}\n`).join('');
}

function open(given: ReadonlyMap<string, string>, directory: string | undefined, context: AppletContext): System {
  const root = withoutSlash(given.get('root'));
  const options = {
    log: stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }),
    ...(root === undefined ? {} : { root }),
    ...(given.has('dirname') && directory !== undefined ? { roots: { modules: directory } } : {}),
  };
  // Another machine has another kernel, if it has one.
  const release = given.get('set-version') ?? (root === undefined ? undefined : runningRelease(context.openSystem(options)));
  return context.openSystem({ ...options, ...(release === undefined ? {} : { release }) });
}

/** '' for the root itself. */
function withoutSlash(directory: string | undefined): string | undefined {
  return directory?.replace(/\/+$/, '');
}
