// tskmod diff: what another kernel changes for the machine of a recording.

import { diffKernels, type DeviceChange, type KernelDiff, type ModuleChange } from '../machine/diff-kernels.ts';
import type { Applet } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { onMachine } from './on-machine.ts';
import { openProgress } from './progress.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'machine', argument: 'required' }, { long: 'verbose', short: 'v' }, { long: 'json' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod diff A B --machine FILE [OPTION]...

Says what changes for the machine of a recording (tskmod record) when the modules are
those of B and not those of A: devices that gain, lose or change their driver, modules
that became built in or are gone, parameters that vanish. A and B are images of modules,
initramfs files, trees of modules, directories that look like /, or releases whose
modules this machine has.

      --machine FILE       the recording
  -v, --verbose            parameters that are new, too
      --json               one JSON object (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 when no device loses its driver and no parameter that is set vanishes,
1 otherwise, 2 when that cannot be told.
`;

export const diffApplet: Applet = {
  name: 'diff',
  summary: 'say what another kernel changes for the machine of a recording',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    return onMachine(context, { file: given.get('machine'), kernels: operands, count: 2, release: undefined }, async ({ recording }, [before, after]) => {
      if (!before || !after) return 2;
      const progress = openProgress((text) => context.stderr(text), { enabled: context.isTty.stderr });
      const diff = await diffKernels(recording, before, after, { onProgress: (done, total) => progress.show(`reading parameters: ${done} of ${total} modules`) });
      progress.clear();
      context.stdout(given.has('json') ? jsonLine('diff', diff) : formatDiff(diff, { verbose: given.has('verbose') }));
      return diff.devices.some(({ change }) => change === 'lost') || diff.vanished.some(({ setIn }) => setIn.length > 0) ? 1 : 0;
    });
  },
};

export function formatDiff({ before, after, devices, modules, vanished, added }: KernelDiff, { verbose }: { readonly verbose: boolean }): string {
  const lines = [`${before.release} (${before.name}) -> ${after.release} (${after.name})`];
  const section = (title: string, rows: readonly (readonly string[])[]): void => {
    if (rows.length > 0) lines.push('', `${title}:`, ...columns(rows).map((row) => `  ${row}`));
  };
  const of = (change: DeviceChange['change']) => devices.filter((device) => device.change === change);
  section('lose their driver', of('lost').map((device) => [device.before.join(' '), nameOf(device)]));
  section('gain a driver', of('gained').map((device) => [device.after.join(' '), nameOf(device)]));
  section('have others', of('changed').map((device) => [changeOf(device), nameOf(device)]));
  section('modules', modules.map((each) => [each.module, becomes(each)]));
  section('parameters that vanish', vanished.map(({ module, parameter, setIn }) => [`${module}.${parameter}`, setIn.length === 0 ? '' : `set in ${setIn.join(', ')}`]));
  if (verbose) section('parameters that are new', added.map(({ module, parameter }) => [`${module}.${parameter}`]));
  lines.push('', `${count(devices.length, 'device')}, ${count(modules.length, 'module')} and ${count(vanished.length + added.length, 'parameter')} differ`);
  return lines.map((line) => `${line.replace(/\p{Cc}/gu, '?')}\n`).join('');
}

function nameOf({ devpath, driver }: DeviceChange): string {
  return `${devpath}${driver === undefined ? '' : ` (${driver} there)`}`;
}

/** `-OLD +NEW`, without what is in both. */
function changeOf({ before, after }: DeviceChange): string {
  return [...before.filter((module) => !after.includes(module)).map((module) => `-${module}`), ...after.filter((module) => !before.includes(module)).map((module) => `+${module}`)].join(' ');
}

const STATES = { module: 'a module', builtin: 'built in', missing: 'not there', blacklisted: 'blacklisted', denied: 'denied' } as const;

function becomes({ before, after }: ModuleChange): string {
  return `${STATES[before]} -> ${STATES[after]}`;
}

/** Two blanks between columns; a column that is empty throughout takes none. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  return rows.map((row) => row.flatMap((cell, index) => (widths[index] === 0 ? [] : [cell.padEnd(widths[index] ?? 0)])).join('  ').trimEnd());
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
