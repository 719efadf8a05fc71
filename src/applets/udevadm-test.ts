// udevadm test: what the rules make of one device and action, without doing any of it.

import { openBuiltins } from '../udev/builtin/table.ts';
import { readRecord } from '../udev/database.ts';
import { deviceByNode, deviceBySyspath } from '../udev/device-lookup.ts';
import { deviceId } from '../udev/device.ts';
import type { Device } from '../udev/device.ts';
import type { DeviceRecord } from '../udev/record.ts';
import { loadMachineRules } from '../udev/rule-store.ts';
import { applyRules } from '../udev/rules/apply.ts';
import type { EventResult, TraceEntry } from '../udev/rules/event-result.ts';
import { fullProperties } from '../udev/rules/event-state.ts';
import { systemRulesHost } from '../udev/rules/system-host.ts';
import type { System } from '../system.ts';
import { UsageError } from '../errors.ts';
import type { Applet, AppletContext } from './applet.ts';
import { defaultRulesDirectory } from './default-rules.ts';
import { eventObject, eventText } from './event-text.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'action', short: 'a', argument: 'required' },
  { long: 'resolve-names', short: 'N', argument: 'required' },
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

const ACTIONS = ['add', 'remove', 'change', 'move', 'online', 'offline', 'bind', 'unbind'];
const RESOLVE_NAMES = ['early', 'late', 'never'] as const;

const NOTE = `Nothing is written and no program of RUN is started: what depends on these may differ from a real event.

`;

export const udevadmTest: Applet = {
  name: 'test',
  summary: 'show what the rules make of one event',
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const action = given.get('action') ?? 'add';
    if (action === 'help') {
      context.stdout(`${ACTIONS.join('\n')}\n`);
      return 0;
    }
    if (!ACTIONS.includes(action)) throw new UsageError(`${context.program}: Invalid action '${action}'`);
    const resolveNames = RESOLVE_NAMES.find((when) => when === (given.get('resolve-names') ?? 'early'));
    if (!resolveNames) throw new UsageError(`${context.program}: --resolve-names= must be early, late or never`);
    const [path, ...others] = operands;
    if (path === undefined) throw new UsageError(`${context.program}: syspath parameter missing.`);
    if (others.length > 0) throw new UsageError(`${context.program}: only one device at a time`);

    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    const device = findDevice(system, path);
    if (!device) {
      context.stderr(`${context.program}: Failed to open device '${path}': No such device\n`);
      return 1;
    }
    const trace: TraceEntry[] = [];
    const defaultDirectory = defaultRulesDirectory();
    const { rules, problems } = await loadMachineRules(system, { resolveNames, ...(defaultDirectory === undefined ? {} : { defaultDirectory }) });
    for (const { severity, file, line, message } of problems) if (severity !== 'style') context.stderr(`${line === 0 ? file : `${file}:${line}`} ${message}\n`);
    const recordOf = (of: Device): DeviceRecord | undefined => {
      const id = deviceId(of);
      return id === undefined ? undefined : readRecord(system, id);
    };
    // Without requests, no builtin loads a module.
    const host = systemRulesHost(system, { writes: false, builtin: openBuiltins(system), record: recordOf });
    const result = await applyRules(rules, { device, action, record: recordOf(device) }, host, given.has('verbose') ? { trace } : {});
    show(result, { device, action, trace, json: given.has('json'), verbose: given.has('verbose') }, context, system);
    return 0;
  },
};

function findDevice(system: System, path: string): Device | undefined {
  return path.startsWith(`${system.roots.dev}/`) ? deviceByNode(system, path) : deviceBySyspath(system, path);
}

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
