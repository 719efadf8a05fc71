// The command line of modprobe: its options, and MODPROBE_OPTIONS before them.

import { UsageError } from '../errors.ts';
import { MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_IGNORE_VERMAGIC } from '../system.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { MODULES_OPTION } from './modules-option.ts';

export const MODPROBE_OPTIONS: readonly OptionSpec[] = [
  { long: 'all', short: 'a' },
  { long: 'remove', short: 'r' },
  { long: 'remove-dependencies', name: 'remove-holders' },
  { long: 'remove-holders' },
  { long: 'wait', short: 'w', argument: 'required' },
  { long: 'first-time' },
  { long: 'ignore-install', short: 'i' },
  { long: 'ignore-remove', name: 'ignore-install' },
  { long: 'use-blacklist', short: 'b' },
  { long: 'force', short: 'f' },
  { long: 'force-modversion' },
  { long: 'force-vermagic' },
  { long: 'resolve-alias', short: 'R', name: 'show-alias' },
  { long: 'show-alias', exact: true },
  { long: 'show-depends', short: 'D' },
  { long: 'showconfig', short: 'c' },
  { long: 'show-config', name: 'showconfig' },
  { long: 'show-modversions' },
  { long: 'dump-modversions', name: 'show-modversions' },
  { long: 'show-exports' },
  { long: 'dry-run', short: 'n' },
  { long: 'show', name: 'dry-run' },
  { long: 'config', short: 'C', argument: 'required' },
  { long: 'dirname', short: 'd', argument: 'required' },
  { long: 'set-version', short: 'S', argument: 'required' },
  MODULES_OPTION,
  { long: 'syslog', short: 's' },
  { long: 'quiet', short: 'q' },
  { long: 'verbose', short: 'v' },
  { long: 'json' },
  { long: 'strict-kmod', exact: true },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

export type ModprobeRequest = {
  readonly task: 'probe' | 'show-alias' | 'show-config' | 'show-modversions' | 'show-exports' | 'version' | 'help';
  readonly remove: boolean;
  readonly removeHolders: boolean;
  readonly all: boolean;
  readonly showDepends: boolean;
  readonly dryRun: boolean;
  readonly firstTime: boolean;
  readonly useBlacklist: boolean;
  readonly ignoreInstall: boolean;
  readonly force: boolean;
  /** Flags of finit_module(2). */
  readonly insertFlags: number;
  readonly waitMs: number | undefined;
  readonly syslog: boolean;
  readonly quiet: boolean;
  /** How often -v was given; -q takes it back. */
  readonly verbose: number;
  readonly json: boolean;
  readonly strict: boolean;
  readonly config: readonly string[] | undefined;
  readonly dirname: string | undefined;
  /** A directory or an image instead of the tree. */
  readonly modules: readonly string[] | undefined;
  readonly release: string | undefined;
  readonly operands: readonly string[];
  /** MODPROBE_OPTIONS for the commands that are run: -C, -s, -q and -v go on to them. */
  readonly childOptions: string;
};

/** Throws UsageError. */
export function parseModprobe(argv: readonly string[], environment: string | undefined, program: string): ModprobeRequest {
  const { options, operands } = getopt([...splitOptions(environment ?? ''), ...argv], MODPROBE_OPTIONS, program);
  const given = new Map<string, string[]>();
  for (const { name, value } of options) given.set(name, [...given.get(name) ?? [], value]);
  const has = (name: string) => given.has(name);
  const force = has('force');
  return {
    task: has('help') ? 'help' : has('version') ? 'version' : has('showconfig') ? 'show-config' : has('show-modversions') ? 'show-modversions'
      : has('show-exports') ? 'show-exports' : has('show-alias') && !has('remove') ? 'show-alias' : 'probe',
    remove: has('remove'), removeHolders: has('remove-holders'), all: has('all'),
    showDepends: has('show-depends'), dryRun: has('dry-run'), firstTime: has('first-time'), useBlacklist: has('use-blacklist'),
    ignoreInstall: has('ignore-install'), force,
    insertFlags: (force || has('force-modversion') ? MODULE_INIT_IGNORE_MODVERSIONS : 0) | (force || has('force-vermagic') ? MODULE_INIT_IGNORE_VERMAGIC : 0),
    waitMs: waitOf(given.get('wait')?.at(-1), program),
    syslog: has('syslog'), quiet: has('quiet'), verbose: has('quiet') ? 0 : given.get('verbose')?.length ?? 0, json: has('json'), strict: has('strict-kmod'),
    config: given.get('config'), dirname: given.get('dirname')?.at(-1), modules: given.get('modules'), release: given.get('set-version')?.at(-1), operands,
    childOptions: (environment ?? '') + options.flatMap(({ name, value }) => forwarded(name, value)).map((option) => ` ${option}`).join(''),
  };
}

/** Words end at blanks outside of quotes; quotes go away, but for one that nothing closes. */
export function splitOptions(text: string): string[] {
  const words: string[] = [];
  if (text === '') return words;
  for (const match of text.matchAll(/(?:"[^"]*"|'[^']*'|["'].*|[^ "'])+/gs)) {
    words.push(match[0].replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double: string | undefined, single: string | undefined) => double ?? single ?? ''));
  }
  return words;
}

function forwarded(name: string, value: string): string[] {
  switch (name) {
    case 'config':
      return [`-C ${value}`];
    case 'syslog':
      return ['-s'];
    case 'quiet':
      return ['-q'];
    case 'verbose':
      return ['-v'];
    default:
      return [];
  }
}

/** As strtoul(3) with base 0 reads it. */
function waitOf(text: string | undefined, program: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\s*\+?(?:0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i.test(text)) throw new UsageError(`${program}: ERROR: unexpected wait value '${text}'.`);
  const digits = text.trim().replace('+', '');
  return /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
}
