// tskmod why: which chain of facts leads from a device to its module, or from a module back to who pulled it in.

import { codeOf, messageOf, UsageError } from '../errors.ts';
import { openKmod } from '../kmod/kmod.ts';
import { loadMachineRules } from '../udev/rule-store.ts';
import { explain } from '../why/explanation.ts';
import type { Explanation } from '../why/explanation.ts';
import { explanationDot, explanationSvg } from '../why/explanation-graph.ts';
import { explanationText } from '../why/explanation-text.ts';
import { openWhy } from '../why/read-why.ts';
import type { Applet, AppletContext } from './applet.ts';
import { defaultRulesDirectory } from './default-rules.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { MACHINE_OPTION, withMachine } from './machine-option.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v' }, { long: 'json' }, { long: 'dot' }, { long: 'svg' }, { long: 'root', argument: 'required' },
  { long: 'set-version', short: 'S', argument: 'required' }, MODULES_OPTION, MACHINE_OPTION, { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod why [OPTION]... TARGET...

The chain that leads to a module, each link with where it was read. TARGET is
  /sys/…, /devices/…    a device            eth0, sda   an interface or disk
  /dev/…                a device node       pci:v…      a modalias
  nouveau               a module: who pulled it in, back to devices and requests
  xfs, fs-xfs           a file system type, or what the kernel asks for
  ./disk.img            an image: what its mount would load
Nothing is loaded and no program is run. What happened is told by the journal of
tsudevd (for root), else by the kernel's log.

  -v, --verbose          sources, lines that nearly matched, symbols, times
      --json             one JSON object (docs/json.md)
      --dot, --svg       a graph: for Graphviz, or as a picture
      --machine FILE     a recording (tskmod record) in place of this machine
      --root DIR         look at the machine below DIR
  -S, --set-version RELEASE  modules of this kernel; of another one than runs,
                         of which none is loaded
      --modules PATH     modules there: a directory or one file; may be repeated
  -V, --version
  -h, --help

Exit status: 0 where all modules are in the kernel; 2 where one is not; 1 for
errors and targets that nothing has.
`;

const EXIT_NOT_THERE = 2;

export const whyApplet: Applet = {
  name: 'why',
  summary: 'say why a module is loaded, or is not, from the device to the kernel\'s answer',
  options: OPTIONS,
  run: (argv, context) => withMachine(argv, context, runWhy),
};

async function runWhy(argv: readonly string[], context: AppletContext): Promise<number> {
  const { program } = context;
  const { options, operands } = getopt(argv, OPTIONS, program);
  const given = new Map(options.map(({ name, value }) => [name, value]));
  if (answersHelp(given, HELP, context)) return 0;
  if (operands.length === 0 || operands.includes('')) throw new UsageError(`${program}: name a device, module, modalias, image or file system`);
  if (operands.length > 1 && (given.has('dot') || given.has('svg'))) throw new UsageError(`${program}: one target a graph`);
  if (['json', 'dot', 'svg'].filter((name) => given.has(name)).length > 1) throw new UsageError(`${program}: only one of --json, --dot and --svg`);
  const root = given.get('root')?.replace(/\/+$/, '');
  const release = given.get('set-version');
  const log = stderrLog({ program, level: 'error', write: (text) => context.stderr(text) });
  const system = context.openSystem({ log, ...(root === undefined ? {} : { root }), ...(release === undefined ? {} : { release }) });
  const kmod = openKmod(system, { source: await modulesAt(system, modulesIn(options), program) });
  const verbose = given.has('verbose');
  try {
    const defaultDirectory = defaultRulesDirectory();
    const { rules } = await loadMachineRules(system, { resolveNames: 'never', ...(defaultDirectory === undefined ? {} : { defaultDirectory }) });
    const read = openWhy(system, kmod, { rules, withSymbols: verbose });
    let worst = 0;
    for (const [i, target] of operands.entries()) {
      const explanation = explain(await read(target));
      if (i > 0 && !given.has('json')) context.stdout('\n');
      context.stdout(given.has('json') ? jsonLine('why', explanation) : given.has('dot') ? explanationDot(explanation) : given.has('svg') ? explanationSvg(explanation)
        : explanationText(explanation, { verbose, color: context.isTty.stdout }));
      const status = exitStatus(explanation);
      if (worst !== 1 && status !== 0) worst = status;
    }
    return worst;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    context.stderr(`${program}: ${messageOf(error)}\n`);
    return 1;
  } finally {
    await kmod.close();
  }
}

function exitStatus({ status }: Explanation): number {
  return status === 'unknown' ? 1 : status === 'loaded' || status === 'builtin' ? 0 : EXIT_NOT_THERE;
}
