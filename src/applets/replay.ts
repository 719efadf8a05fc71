// tskmod replay: the events of a recording through our daemon, in the recorded machine's directory, as they were or with faults.

import { codeOf, LimitError, messageOf, UsageError } from '../errors.ts';
import { openKmod } from '../kmod/kmod.ts';
import { type Fault, faultsOf, shrink } from '../machine/chaos.ts';
import { openMachine } from '../machine/open-machine.ts';
import { replay, type ReplayNode, type ReplayResult } from '../machine/replay.ts';
import type { Log, LogRecord, SystemOptions } from '../system.ts';
import { loadMachineRules } from '../udev/rule-store.ts';
import type { Applet, AppletContext } from './applet.ts';
import { defaultRulesDirectory } from './default-rules.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { useMachine } from './machine-option.ts';
import { modulesAt, modulesIn, MODULES_OPTION } from './modules-option.ts';
import { openProgress } from './progress.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'in-time' }, { long: 'chaos', argument: 'required' }, { long: 'no-rules' }, MODULES_OPTION, { long: 'set-version', short: 'S', argument: 'required' }, { long: 'verbose', short: 'v' }, { long: 'json' },
  { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod replay FILE [OPTION]...

Plays the events of a recording (tskmod record --follow) to our daemon, which finds
the recorded machine: a coldplug, then the events, with this machine's rules. Links,
database and attributes go to a directory that is removed; modules and nodes are
planned and not made; no program of a rule is run. Then it looks whether no device was
forgotten, none is left over, and every module was asked for.

      --in-time            at the times of the recording, not as fast as it goes
      --chaos SEED         with faults that SEED (a number) chooses: events that overtake
                           others, that are lost, or come before their device is in
                           sysfs; devices that are unplugged midway; modules that
                           fail or stall. A run that goes wrong is tried with fewer
                           faults, until none of them can be left out
      --no-rules           modules only, by MODALIAS
      --modules PATH       modules are in PATH (as modprobe's)
  -S, --set-version REL    the kernel release, when not the recording's
  -v, --verbose            what /dev would have, and the programs that were not run
      --json               one JSON object (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 when all is as it must be, 1 when it is not, 2 when FILE cannot be
played.
`;

const CANNOT_PLAY = 2;

export const replayApplet: Applet = {
  name: 'replay',
  summary: 'play the events of a recording to our daemon, also with faults',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const [file, ...more] = operands;
    try {
      if (file === undefined || more.length > 0) throw new UsageError(`${context.program}: one recording is needed`);
      const chaos = given.get('chaos');
      if (chaos !== undefined && !/^[0-9]{1,9}$/.test(chaos)) throw new UsageError(`${context.program}: --chaos takes a number, not '${chaos}'`);
      return await play(file, context, {
        seed: chaos === undefined ? undefined : Number(chaos), inTime: given.has('in-time'), noRules: given.has('no-rules'), modules: modulesIn(options), release: given.get('set-version'), json: given.has('json'), verbose: given.has('verbose'),
      });
    } catch (error) {
      if (!(error instanceof UsageError) && !(error instanceof LimitError) && codeOf(error) === undefined) throw error;
      context.stderr(`${error instanceof UsageError ? '' : `${context.program}: `}${messageOf(error)}\n`);
      return CANNOT_PLAY;
    }
  },
};

type Command = {
  readonly seed: number | undefined;
  readonly inTime: boolean;
  readonly noRules: boolean;
  readonly modules: readonly string[] | undefined;
  readonly release: string | undefined;
  readonly json: boolean;
  readonly verbose: boolean;
};

async function play(file: string, context: AppletContext, { seed, inTime, noRules, modules, release, json, verbose }: Command): Promise<number> {
  const progress = openProgress((text) => context.stderr(text), { enabled: context.isTty.stderr });
  const quiet = { ...context, openSystem: (options: SystemOptions) => context.openSystem({ log: errorsOnly((record) => progress.print(`${context.program}: ${record.message}\n`)), ...options }) };
  /** Each run has a machine of its own. */
  const once = (faults: readonly Fault[]): Promise<ReplayResult> => useMachine(file, quiet, {}, async (machine) => {
    const system = machine.openSystem(release === undefined ? {} : { release });
    const source = await modulesAt(system, modules, context.program);
    const kmod = openKmod(system, { source });
    try {
      const defaultDirectory = defaultRulesDirectory();
      const rules = noRules ? { files: [] } : (await loadMachineRules(system, defaultDirectory === undefined ? {} : { defaultDirectory })).rules;
      return await replay(machine, { kmod, rules, inTime, faults, onEvent: (done, total) => progress.show(`event ${done} of ${total}`) });
    } finally {
      progress.clear();
      await kmod.close();
      source.close?.();
    }
  });
  const calm = await once([]);
  let faults: readonly Fault[] = [];
  let result = calm;
  if (seed !== undefined && calm.problems.length === 0) {
    const { events } = eventsOf(file, context);
    faults = faultsOf(seed, events, calm.modules);
    result = await once(faults);
    if (result.problems.length > 0) {
      faults = await shrink(faults, async (fewer) => (await once(fewer)).problems.length > 0);
      result = await once(faults);
    }
  }
  context.stdout(json ? jsonLine('replay', { file, ...(seed === undefined ? {} : { seed }), faults, ...result }) : formatReplay(file, result, { seed, faults, verbose }));
  return result.problems.length === 0 ? 0 : 1;
}

function eventsOf(file: string, context: AppletContext) {
  const machine = openMachine(file, { modulesOnly: true, open: (options) => context.openSystem(options) });
  machine.close();
  return machine.recording;
}

function formatReplay(file: string, { events, lost, handled, devices, modules, nodes, programs, commands, problems, ms }: ReplayResult, { seed, faults, verbose }: { readonly seed: number | undefined; readonly faults: readonly Fault[]; readonly verbose: boolean }): string {
  const lines = [
    `${file}: ${events} events played${lost === 0 ? '' : `, ${lost} of them lost`}, ${handled} handled in ${(ms / 1000).toFixed(2)} s, the first coldplug included`,
    `${devices} devices in the end; ${modules.length} modules would be loaded, ${nodes.length} nodes made; ${programs} programs were not run`,
    ...(verbose ? [...nodes.map(nodeText), ...commands.map((command) => `not run: ${command}`)] : []),
    ...(seed === undefined ? [] : [`faults of seed ${seed}${problems.length > 0 ? ', as few as it takes' : ''}: ${faults.map(faultText).join(', ') || 'none'}`]),
    ...problems.map((problem) => `wrong: ${problem}`),
    problems.length === 0 ? 'All is as it must be.' : `${problems.length} ${problems.length === 1 ? 'thing is' : 'things are'} wrong.`,
  ];
  return lines.map((line) => `${line.replace(/\p{Cc}/gu, '?')}\n`).join('');
}

/** As ls -l has it; what nobody wishes is a dash. */
function nodeText({ name, type, major, minor, mode, owner, group, links }: ReplayNode): string {
  const access = [mode === undefined ? '-' : `0${mode.toString(8)}`, owner ?? '-', group ?? '-'].join(' ');
  return `node: ${type === 'block' ? 'b' : 'c'} ${`${major}:${minor}`.padEnd(8)} ${access}  ${name}${links.length > 0 ? ` <- ${links.join(' ')}` : ''}`;
}

function faultText(fault: Fault): string {
  switch (fault.kind) {
    case 'swap': return `event ${fault.at} after the next`;
    case 'late': return `event ${fault.at} before its device is there`;
    case 'hide': return `event ${fault.at} hidden`;
    case 'drop': return `${fault.count} lost from event ${fault.at}`;
    case 'unplug': return `${fault.devpath} unplugged after event ${fault.at}`;
    case 'fail': return `${fault.module} fails`;
    case 'stall': return `${fault.module} stalls`;
  }
}

/** Warnings of a machine that is not there are everyday. */
function errorsOnly(onError: (record: LogRecord) => void): Log {
  const nothing = (): void => undefined;
  return { error: onError, warn: nothing, notice: nothing, info: nothing, debug: nothing };
}
