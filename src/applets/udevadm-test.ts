// udevadm test: what the rules make of one device and action, without doing any of it.

import { openBuiltins } from '../udev/builtin/table.ts';
import { recordOf } from '../udev/database.ts';
import type { Device } from '../udev/device.ts';
import { loadMachineRules } from '../udev/rule-store.ts';
import { applyRules } from '../udev/rules/apply.ts';
import type { EventResult, TraceEntry } from '../udev/rules/event-result.ts';
import { fullProperties } from '../udev/rules/event-state.ts';
import { systemRulesHost } from '../udev/rules/system-host.ts';
import type { System } from '../system.ts';
import { UsageError } from '../errors.ts';
import type { Applet, AppletContext } from './applet.ts';
import { defaultRulesDirectory } from './default-rules.ts';
import { deviceOfArgument } from './device-argument.ts';
import { EVENT_OPTIONS, eventOptionsOf } from './event-options.ts';
import { eventObject, eventText } from './event-text.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  ...EVENT_OPTIONS,
  { long: 'json' },
  { long: 'verbose', short: 'v' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `udevadm test [OPTIONS] DEVICE

Show what the rules make of an event of a device. DEVICE is a path below /sys or a node below /dev.
Nothing is written and no program of RUN is started; programs of PROGRAM and IMPORT do run. Where
udev's own rules are missing, the rules of this package take their place, as in the daemon.

  -a, --action=ACTION       the event: add (default), change, remove, move, online, offline, bind, unbind;
                            "help" lists them
  -N, --resolve-names=WHEN  look users and groups up "early" (default), "late" or "never"
  -v, --verbose             every token that was looked at, rule by rule, with what it saw
      --json                the same as one JSON object
  -V, --version
  -h, --help

Exit status: 0 on success, 1 otherwise.
`;

const NOTE = `Nothing is written and no program of RUN is started: what depends on these may differ from a real event.

`;

export const udevadmTest: Applet = {
  name: 'test',
  summary: 'show what the rules make of one event',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const event = eventOptionsOf(given, context);
    if (!event) return 0;
    const { action, resolveNames } = event;
    const [path, ...others] = operands;
    if (path === undefined) throw new UsageError(`${context.program}: syspath parameter missing.`);
    if (others.length > 0) throw new UsageError(`${context.program}: only one device at a time`);

    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    const device = deviceOfArgument(system, path, 'sys');
    if (!device) {
      context.stderr(`${context.program}: Failed to open device '${path}': No such device\n`);
      return 1;
    }
    const trace: TraceEntry[] = [];
    const defaultDirectory = defaultRulesDirectory();
    const { rules, problems } = await loadMachineRules(system, { resolveNames, ...(defaultDirectory === undefined ? {} : { defaultDirectory }) });
    for (const { severity, file, line, message } of problems) if (severity !== 'style') context.stderr(`${line === 0 ? file : `${file}:${line}`} ${message}\n`);
    // Without requests, no builtin loads a module.
    const host = systemRulesHost(system, { writes: false, builtin: openBuiltins(system), record: (of) => recordOf(system, of) });
    const result = await applyRules(rules, { device, action, record: recordOf(system, device) }, host, given.has('verbose') ? { trace } : {});
    show(result, { device, action, trace, json: given.has('json'), verbose: given.has('verbose') }, context, system);
    return 0;
  },
};

type Shown = { readonly device: Device; readonly action: string; readonly trace: readonly TraceEntry[]; readonly json: boolean; readonly verbose: boolean };

function show(result: EventResult, { device, action, trace, json, verbose }: Shown, context: AppletContext, system: System): void {
  const properties = fullProperties(result, system.roots.dev);
  if (json) {
    context.stdout(`${JSON.stringify({ ...eventObject({ syspath: device.syspath, action, result, properties }), ...(verbose && { trace }) })}\n`);
    return;
  }
  if (verbose) context.stdout(traceText(trace));
  context.stdout(NOTE);
  context.stdout(eventText(properties, result.run));
}

/** A head for each rule, a line for each token. */
function traceText(trace: readonly TraceEntry[]): string {
  let text = '';
  let head = '';
  for (const { file, line, token, outcome, saw } of trace) {
    const place = `${file}:${line}`;
    if (place !== head) text += `${place}\n`;
    head = place;
    text += `  ${OUTCOMES[outcome].padEnd(8)}${token}${saw === undefined ? '' : `  (${JSON.stringify(saw)})`}\n`;
  }
  return text === '' ? '' : `${text}\n`;
}

const OUTCOMES: Readonly<Record<TraceEntry['outcome'], string>> = { match: 'PASS', 'no-match': 'FAIL', applied: 'APPLIED', refused: 'REFUSED', failed: 'FAILED' };
