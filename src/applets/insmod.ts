// insmod: inserts one module file, and nothing that it needs.

import { statSync } from 'node:fs';

import { codeOf, messageOf } from '../errors.ts';
import { insertPath } from '../kmod/insert-path.ts';
import { joinParams } from '../kmod/params.ts';
import type { ProbeFailure } from '../kmod/probe.ts';
import { errnoByName, errnoText } from '../system.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';
import { messageWriter } from './syslog.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'force', short: 'f' },
  { long: 'force-modversion', exact: true },
  { long: 'force-vermagic', exact: true },
  { long: 'syslog', short: 's' },
  { long: 'verbose', short: 'v' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: insmod [OPTION]... FILE [PARAMETER=VALUE]...
Insert a module file into the kernel. What it needs must be there already; modprobe sees to that.

  -f, --force              insert a module that was built for another kernel:
                           both of these; the machine may crash
      --force-modversion   ignore the versions of the symbols it uses
      --force-vermagic     ignore the kernel release it was built for
  -s, --syslog             errors go to the system log
  -v, --verbose            say how it was inserted
      --json               print what came of it as one JSON object (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 on success, 1 otherwise.
`;

/** kmod's words for errors of finit_module(2), which mean something else there than their text says. */
const REASONS: Readonly<Record<string, string>> = {
  ENOEXEC: 'Invalid module format',
  ENOENT: 'Unknown symbol in module',
  ESRCH: 'Module has wrong symbol version',
  EINVAL: 'Invalid parameters',
};

export const insmod: Applet = {
  name: 'insmod',
  summary: 'insert a module file',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Set(options.map(({ name }) => name));
    if (answersHelp(given, HELP, context)) return 0;
    return insert(operands, given, context);
  },
};

async function insert([file, ...words]: readonly string[], given: ReadonlySet<string>, context: AppletContext): Promise<number> {
  let write = (line: string): void => context.stderr(line);
  const level = given.has('verbose') ? 'info' : 'warn';
  const system = context.openSystem({ log: stderrLog({ program: context.program, level, write: (line) => write(line) }) });
  write = await messageWriter(context, system, given.has('syslog'));
  const fail = (text: string): number => {
    write(`${context.program}: ERROR: ${text}\n`);
    return 1;
  };
  if (file === undefined) return fail('missing filename.');
  if (file === '-') return fail('this tool does not support loading from stdin!');
  const missing = whyMissing(file);
  if (missing !== undefined) {
    const error = `could not load module ${file}: ${missing}`;
    if (given.has('json')) context.stdout(jsonLine('error', { target: file, error }));
    return fail(error);
  }

  const force = given.has('force');
  const result = await insertPath(system, file, {
    params: joinParams(words),
    forceModversions: force || given.has('force-modversion'),
    forceVermagic: force || given.has('force-vermagic'),
  });
  if (given.has('json')) context.stdout(jsonLine('insertion', { path: file, ...result }));
  const { failure, decompressed, module } = result;
  if (failure) return fail(`could not insert module ${file}: ${reasonOf(failure)}`);
  const how = decompressed === undefined ? '' : decompressed === 'kernel' ? ', decompressed by the kernel' : ', decompressed here';
  system.log.info({ code: 'inserted', message: `inserted module ${module}${how}` });
  return 0;
}

/** undefined for a file that is there. */
function whyMissing(file: string): string | undefined {
  try {
    statSync(file);
    return undefined;
  } catch (error) {
    const errno = errnoByName(codeOf(error) ?? '');
    return errno === undefined ? messageOf(error) : errnoText(errno);
  }
}

/** kmod's text, and then the kernel's own, which kmod leaves to dmesg. */
function reasonOf({ code, syscall, text, kernel }: ProbeFailure): string {
  const fromKernel = syscall === 'finit_module' || syscall === 'init_module';
  const reason = fromKernel ? REASONS[code] ?? text : text;
  // Of a module that is there already, the kernel's lines are about something else.
  return kernel.length > 0 && code !== 'EEXIST' ? `${reason}: ${kernel.join('; ')}` : reason;
}
