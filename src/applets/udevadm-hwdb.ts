// udevadm hwdb: compiles the hardware database, and looks a modalias up in it.

import { messageOf } from '../errors.ts';
import { openHwdbSource } from '../udev/hwdb-source.ts';
import { updateHwdb } from '../udev/hwdb-update.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'update', short: 'u' },
  { long: 'usr' },
  { long: 'strict', short: 's' },
  { long: 'test', short: 't', argument: 'required' },
  { long: 'root', short: 'r', argument: 'required' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: tsudevadm hwdb [OPTION]...
Compile the hardware database, or look a modalias up in it.

  -u, --update           make hwdb.bin from the .hwdb files in {etc,run,usr/local/lib,lib}/udev/hwdb.d
      --usr              write lib/udev/hwdb.bin instead of etc/udev/hwdb.bin
  -s, --strict           with --update: fail when a line is wrong
  -t, --test=MODALIAS    print the properties for MODALIAS
  -r, --root=PATH        files below PATH
      --json             with --test: one JSON object
  -V, --version
  -h, --help
`;

/** A subcommand of udevadm. */
export const udevadmHwdb: Applet = {
  name: 'hwdb',
  summary: 'compile the hardware database, or look a modalias up in it',
  options: OPTIONS,
  async run(argv, context) {
    const { options } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const modalias = given.get('test');
    if (!given.has('update') && modalias === undefined) {
      context.stderr('Either --update or --test must be used.\n');
      return 1;
    }
    const root = given.get('root');
    const log = stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) });
    const system = context.openSystem({ log, ...(root === undefined ? {} : { root }) });
    try {
      if (given.has('update')) {
        const { path, outcome, problems } = updateHwdb(system, { usr: given.has('usr') });
        for (const { file, line, message } of problems) context.stderr(`${file}:${line}: ${message}\n`);
        if (outcome === 'absent') context.stderr('No hwdb files found, skipping.\n');
        if (outcome === 'removed') context.stderr(`No hwdb files found, compiled hwdb database ${path} removed.\n`);
        if (given.has('strict') && problems.length > 0) return 1;
      }
      if (modalias === undefined) return 0;
      const found = openHwdbSource(system).lookup(modalias);
      if (!found) {
        context.stderr("hwdb.bin does not exist, please run 'tsudevadm hwdb --update'\n");
        return 1;
      }
      printProperties(found, given.has('json'), context);
      return 0;
    } catch (error) {
      context.stderr(`${context.program}: ${messageOf(error)}\n`);
      return 1;
    }
  },
};

function printProperties(found: ReadonlyMap<string, string>, json: boolean, context: AppletContext): void {
  if (json) context.stdout(`${JSON.stringify(Object.fromEntries(found))}\n`);
  else context.stdout([...found].map(([key, value]) => `${key}=${value}\n`).join(''));
}
