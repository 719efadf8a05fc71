// lint: prints what in modprobe.d and depmod.d does not do what its author thinks.

import { resolve } from 'node:path';

import type { Finding, Severity } from '../kmod/lint-finding.ts';
import { placeOf } from '../kmod/lint-finding.ts';
import { lint as lintConfig, type LintReport } from '../kmod/lint.ts';
import { UsageError } from '../errors.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { MACHINE_OPTION, withMachine } from './machine-option.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'config', short: 'C', argument: 'required' },
  { long: 'dirname', short: 'd', argument: 'required' },
  { long: 'set-version', short: 'S', argument: 'required' },
  MODULES_OPTION,
  { long: 'depmod-config', argument: 'required' },
  { long: 'root', argument: 'required' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: tskmod lint [OPTION]...
Say what in modprobe.d and depmod.d, and of modules on the kernel command line,
does not do what its author thinks: blacklists that other modules bypass,
options that no module takes, files that are not read, dead aliases, lines that
are skipped, overrides of nothing.

  -C, --config=PATH        this file or directory in place of the default
                           directories of modprobe.d, and none of depmod.d;
                           may be given more than once
      --depmod-config=PATH the same in place of the directories of depmod.d
  -d, --dirname=DIR        modules are in DIR/lib/modules
  -S, --set-version=REL    modules of kernel release REL, not of this kernel
      --modules=PATH       modules are in PATH: an image, or a directory;
                           repeated, later ones are laid over earlier ones
      --root=DIR           all of a machine that looks like / in DIR: its
                           configuration, modules and kernel command line
      --machine=FILE       the kernel command line and release of a recording
                           (tskmod record)
      --json               one JSON object (docs/json.md)

  -V, --version
  -h, --help

  error      wrong, or surely without effect
  warning    does less than it looks
  note       good to know; so is, in a file of the distribution, a line about
             a module that this kernel does not have

Exit status: 0 when there is nothing worse than notes, 1 otherwise.
`;

export const lint: Applet = {
  name: 'lint',
  summary: 'say what in modprobe.d and depmod.d does not do what it looks like',
  options: [...OPTIONS, MACHINE_OPTION],
  run: (argv, context) => withMachine(argv, context, runLint, { modulesOnly: true }),
};

async function runLint(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands } = getopt(argv, OPTIONS, context.program);
  const last = new Map(options.map(({ name, value }) => [name, value]));
  if (answersHelp(last, HELP, context)) return 0;
  if (operands[0] !== undefined) throw new UsageError(`${context.program}: unexpected operand '${operands[0]}' (a file is named with -C)`);
  const [root, dirname, release] = [last.get('root'), last.get('dirname'), last.get('set-version')];
  const configPaths = options.filter(({ name }) => name === 'config').map(({ value }) => value);
  const system = context.openSystem({
    log: stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }),
    ...(root === undefined ? {} : { root: resolve(root) }),
    ...(dirname === undefined ? {} : { roots: { modules: dirname.replace(/\/+$/, '') } }),
    ...(release === undefined ? {} : { release }),
  });
  const depmodPaths = options.filter(({ name }) => name === 'depmod-config').map(({ value }) => value);
  const report = await lintConfig(system, await modulesAt(system, modulesIn(options), context.program), {
    configPaths: configPaths.length > 0 ? configPaths : undefined, depmodPaths: depmodPaths.length > 0 ? depmodPaths : undefined,
  });
  context.stdout(last.has('json') ? jsonLine('lint', { release: system.release, ...report }) : formatReport(report));
  return report.findings.some(({ severity }) => severity !== 'note') ? 1 : 0;
}

/** One line a finding, then how many there are. */
function formatReport({ findings, files }: LintReport): string {
  const count = (severity: Severity) => plural(findings.filter((each) => each.severity === severity).length, severity);
  const summary = findings.length === 0 ? 'nothing to say' : `${count('error')}, ${count('warning')}, ${count('note')}`;
  return [...findings.map(formatFinding), `${plural(files.length, 'file')} read: ${summary}`].map((line) => `${line}\n`).join('');
}

function formatFinding(each: Finding): string {
  // Names come from files as they are: no escape sequence of theirs shall reach a terminal.
  return `${placeOf(each)}: ${each.severity}: ${each.message}`.replace(/\p{Cc}/gu, '?');
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
