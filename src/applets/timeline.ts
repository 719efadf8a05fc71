// tskmod timeline: every event and load that tsudevd had since the boot, and the critical path through them.

import { UsageError } from '../errors.ts';
import { readDecisions } from '../udev/decisions.ts';
import { eventLogPath, readEventLog } from '../udev/event-log.ts';
import { timelineSvg } from '../why/timeline-svg.ts';
import { timelineText, timelineTrace } from '../why/timeline-text.ts';
import { timelineOf } from '../why/timeline.ts';
import type { Applet } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v' }, { long: 'json' }, { long: 'svg' }, { long: 'trace' }, { long: 'root', argument: 'required' },
  { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod timeline [--svg|--json|--trace]

Every event and load that tsudevd had since the boot: what it waited for, its
rules, programs and modules; reading, decompression and init of each load; and
the critical path, marked *. For root.

  -v, --verbose   all events and loads, not the longest only
      --svg       a picture, for a browser
      --json      one JSON object (docs/json.md)
      --trace     for chrome://tracing, Perfetto or speedscope
      --root DIR  of the machine below DIR
  -V, --version
  -h, --help

Exit status: 0; 1 where nothing is recorded.
`;

export const timelineApplet: Applet = {
  name: 'timeline',
  summary: 'show the events and loads of the boot, and what they waited for',
  options: OPTIONS,
  async run(argv, context) {
    const { program } = context;
    const { options, operands } = getopt(argv, OPTIONS, program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    if (operands.length > 0) throw new UsageError(`${program}: Extraneous argument: '${operands[0]}'`);
    if (['json', 'svg', 'trace'].filter((name) => given.has(name)).length > 1) throw new UsageError(`${program}: only one of --svg, --json and --trace`);
    const root = given.get('root')?.replace(/\/+$/, '');
    const log = stderrLog({ program, level: 'error', write: (text) => context.stderr(text) });
    const system = context.openSystem({ log, ...(root === undefined ? {} : { root }) });
    const timeline = timelineOf(readEventLog(system), readDecisions(system));
    if (timeline.items.length === 0) {
      context.stderr(`${program}: nothing is recorded in ${eventLogPath(system)}: tsudevd has not run since the boot, or the file is not for you\n`);
      return 1;
    }
    context.stdout(given.has('json') ? jsonLine('timeline', timeline) : given.has('svg') ? timelineSvg(timeline) : given.has('trace') ? timelineTrace(timeline)
      : timelineText(timeline, { verbose: given.has('verbose') }));
    return 0;
  },
};
