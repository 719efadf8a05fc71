// tskmod check: whether an initramfs, or the modules of a kernel, boot a recorded machine.

import { UsageError } from '../errors.ts';
import { type CheckReport, checkBoot, isReached, type Link, type TargetReport } from '../machine/check-boot.ts';
import type { AbsentFirmware } from '../machine/firmware.ts';
import { type Goal, GOALS } from '../machine/machine-goals.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { onMachine } from './on-machine.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'machine', argument: 'required' }, { long: 'need', argument: 'required' }, { long: 'root', argument: 'required' }, { long: 'set-version', short: 'S', argument: 'required' },
  { long: 'verbose', short: 'v' }, { long: 'json' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod check IMAGE --machine FILE [OPTION]...

Says whether IMAGE brings the machine of a recording (tskmod record) to its root
disk, its keyboard and the network, and what is missing on the way. IMAGE is an
initramfs, an image of modules, a tree of modules, or a directory that looks like /;
it is read in place.

      --machine FILE       the recording
      --need LIST          of root, keyboard, network: without these it does not boot;
                           root for an initramfs, all for other modules
      --root SPEC          the root disk, as root= has it: /dev/..., UUID=, LABEL=, ...;
                           the one that the machine had when absent
  -S, --set-version REL    the kernel release, where IMAGE has several
  -v, --verbose            every device on the way
      --json               one JSON object (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 when it boots, 1 when something is missing, 2 when that cannot be
told: no recording, no modules, no root disk. docs/machine.md tells how it is judged.
`;

export const checkApplet: Applet = {
  name: 'check',
  summary: 'say whether an initramfs or kernel boots the machine of a recording',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    return onMachine(context, { file: given.get('machine'), kernels: operands, count: 1, release: given.get('set-version') }, async ({ recording }, [kernel]) => {
      if (!kernel) return 2;
      const needs = given.has('need') ? needsOf(given.get('need') ?? '', context) : undefined;
      const report = checkBoot(recording, kernel, { needs, root: given.get('root') });
      context.stdout(given.has('json') ? jsonLine('check', report) : formatCheck(report, { verbose: given.has('verbose'), colour: context.isTty.stdout }));
      return report.boots ? 0 : 1;
    });
  },
};

function needsOf(text: string, { program }: AppletContext): readonly Goal[] {
  return text.split(',').map((word) => {
    const goal = GOALS.find((each) => each === word);
    if (!goal) throw new UsageError(`${program}: --need takes ${GOALS.join(', ')}, not '${word}'`);
    return goal;
  });
}

export function formatCheck(report: CheckReport, { verbose, colour }: { readonly verbose: boolean; readonly colour: boolean }): string {
  const { image, release, recordedRelease, isInitramfs, needs, targets } = report;
  const was = recordedRelease === undefined || recordedRelease === release ? '' : `, recorded with ${recordedRelease}`;
  const width = Math.max(...targets.map(({ name }) => name.length), 0);
  const clean = (text: string): string => text.replace(/\p{Cc}/gu, '?');
  const lines = [`${image}: ${isInitramfs ? 'an initramfs' : 'modules'} of kernel ${release}${was}`];
  for (const target of targets) {
    const assumed = [...new Set(target.links.flatMap(({ status, driver, alias }) => (status === 'assumed' ? driver ?? alias ?? [] : [])))];
    const isLikely = assumed.length > 0 || (target.firmware ?? []).some(({ missing, all }) => missing.length === all);
    const mark = target.ok ? paint(!isLikely ? 'ok     ' : 'likely ', GREEN, colour) : paint('MISSING', needs.includes(target.goal) ? RED : YELLOW, colour);
    lines.push(`${mark}  ${clean(`${target.goal.padEnd(8)}  ${target.name.padEnd(width)}  ${modulesOf(target)}`).trimEnd()}`);
    for (const link of target.links) if (verbose || !isReached(link) || link.status === 'other') lines.push(`           ${clean(linkText(link, release))}`);
    for (const absent of target.firmware ?? []) lines.push(`           ${clean(firmwareText(absent, verbose))}`);
    if (assumed.length > 0 && !verbose) lines.push(`           built in there, and taken to be built in here, too: ${clean(assumed.join(', '))}`);
  }
  const absent = needs.filter((goal) => !targets.some((target) => target.goal === goal));
  lines.push(...absent.map((goal) => `note     the recording has no ${goal}`), verdictOf(report));
  return lines.map((line) => `${line}\n`).join('');
}

/** What does it, or would. */
function modulesOf({ links }: TargetReport): string {
  const modules = [...new Set(links.filter(isReached).flatMap(({ module }) => module ?? []))];
  return modules.length > 0 ? modules.join(', ') : links.every(({ status }) => status === 'builtin') ? 'built in' : '';
}

function linkText({ why, alias, driver, module, status, missing, source }: Link, release: string): string {
  const was = driver === undefined ? '' : `, driven by ${driver} there`;
  switch (status) {
    case 'missing': return `${missing.join(', ')} missing: ${why}${alias === undefined ? '' : ` (${alias})`}${was}`;
    case 'blacklisted': case 'denied': return `${module ?? ''} is ${status}${source === undefined ? '' : ` by ${source}`}: ${why} (${alias ?? ''})${was}`;
    case 'other': return `${module ?? ''}: ${why}${was}`;
    case 'assumed': return `${why}${was}, built in; taken to be built into ${release}, too`;
    case 'builtin': return `${module === undefined ? '' : `${module}, `}built in: ${why}${was}`;
    case 'module': return `${module ?? ''}: ${why}${was}`;
  }
}

/** Some modules name a hundred files. */
const FIRMWARE_SHOWN = 3;

function firmwareText({ module, missing, all }: AbsentFirmware, verbose: boolean): string {
  const shown = verbose ? missing : missing.slice(0, FIRMWARE_SHOWN);
  const more = missing.length > shown.length ? ' …' : '';
  return `${module} may want firmware that is not there (${missing.length} of ${all}): ${shown.join(', ')}${more}`;
}

function verdictOf({ boots, needs, targets }: CheckReport): string {
  const there = needs.filter((goal) => targets.some((target) => target.goal === goal));
  if (boots) return `It boots: ${there.join(', ') || 'nothing that is needed'} in reach.`;
  return `It does not boot: ${there.filter((goal) => !targets.some((target) => target.goal === goal && target.ok)).join(', ')} out of reach.`;
}

const RED = '31';
const GREEN = '32';
const YELLOW = '33';

function paint(text: string, code: string, colour: boolean): string {
  return colour ? `\x1b[${code}m${text}\x1b[0m` : text;
}
