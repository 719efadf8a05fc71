// tskmod probe: what libblkid says is on a disk or image, and which module its mount would load.

import { codeOf, messageOf, UsageError } from '../errors.ts';
import { isRegistered, probeFile } from '../kmod/file-system.ts';
import { openKmod } from '../kmod/kmod.ts';
import type { ProbePlan } from '../kmod/probe.ts';
import type { BlkidResult, System } from '../system.ts';
import { printable } from '../udev/printable.ts';
import type { Applet } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'offset', short: 'o', argument: 'required' }, { long: 'set-version', short: 'S', argument: 'required' }, MODULES_OPTION,
  { long: 'json' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' },
];

const HELP = `Usage: tskmod probe [OPTION]... FILE|DEVICE

What libblkid finds there, and the module that a mount of it would load.

  -o, --offset BYTES       look from there on
  -S, --set-version RELEASE  modules of this kernel
      --modules PATH       modules there: a directory or one file
      --json               one JSON object (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 where something is there that libblkid knows, 2 where not, 1 for errors.
`;

const EXIT_NOTHING = 2;

/** `none`: it is no file system. `kernel`: mountable without a module. */
export type MountAnswer =
  | { readonly how: 'none' }
  | { readonly how: 'kernel' | 'builtin' | 'module' | 'unknown'; readonly alias: string; readonly modules: readonly string[]; readonly plan: ProbePlan };

export const probeApplet: Applet = {
  name: 'probe',
  summary: 'say what is on a disk or image, and which module its mount would load',
  options: OPTIONS,
  async run(argv, context) {
    const { program } = context;
    const { options, operands } = getopt(argv, OPTIONS, program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const [path, ...others] = operands;
    if (path === undefined) throw new UsageError(`${program}: name a file or device`);
    if (others.length > 0) throw new UsageError(`${program}: Extraneous argument: '${others[0]}'`);
    const offset = Number(given.get('offset') ?? '0');
    if (!Number.isSafeInteger(offset) || offset < 0) throw new UsageError(`${program}: --offset takes a number of bytes, not '${given.get('offset')}'`);
    const release = given.get('set-version');
    const log = stderrLog({ program, level: 'warn', write: (text) => context.stderr(text) });
    const system = context.openSystem({ log, ...(release === undefined ? {} : { release }) });
    const fail = (text: string): number => {
      context.stderr(`${program}: ${printable(path)}: ${text}\n`);
      return 1;
    };
    let found: BlkidResult['values'] | undefined;
    try {
      found = await probeFile(system, path, offset);
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      return fail(messageOf(error));
    }
    if (found === undefined) return fail('libblkid cannot probe it (is libblkid.so.1 installed?)');
    const values = Object.fromEntries(found.map(({ name, safe }) => [name, safe]));
    const source = await modulesAt(system, modulesIn(options), program);
    const kmod = openKmod(system, { source });
    try {
      const mount = mountAnswer(system, kmod, values);
      context.stdout(given.has('json') ? jsonLine('probe', { path, values, mount }) : probeText(values, mount));
    } finally {
      await kmod.close();
    }
    return Object.keys(values).length > 0 ? 0 : EXIT_NOTHING;
  },
};

/** As get_fs_type() of the kernel asks: for a file system that is not registered yet, the module of `fs-TYPE`. */
function mountAnswer(system: System, kmod: ReturnType<typeof openKmod>, { TYPE: type, USAGE: usage }: Readonly<Record<string, string>>): MountAnswer {
  if (type === undefined || usage !== 'filesystem') return { how: 'none' };
  const alias = `fs-${type}`;
  const matches = kmod.lookup(alias);
  const plan = kmod.plan(alias);
  const modules = matches.map(({ module }) => module);
  const how = isRegistered(system, type) ? 'kernel' : matches.length === 0 ? 'unknown' : matches.every(({ builtin }) => builtin) ? 'builtin' : 'module';
  return { how, alias, modules, plan };
}

function probeText(values: Readonly<Record<string, string>>, mount: MountAnswer): string {
  const names = Object.keys(values);
  if (names.length === 0) return 'nothing that libblkid knows\n';
  const width = Math.max(...names.map((name) => name.length));
  const facts = names.map((name) => `${name.padEnd(width)}  ${printable(values[name] ?? '')}\n`).join('');
  return `${facts}\n${mountText(mount)}`;
}

function mountText(mount: MountAnswer): string {
  switch (mount.how) {
    case 'none':
      return 'no file system: nothing to mount\n';
    case 'kernel':
      return `mount loads nothing: the kernel has ${mount.alias.slice(3)} already\n`;
    case 'builtin':
      return `mount loads nothing: ${mount.modules.join(', ')} is built into the kernel\n`;
    case 'unknown':
      return `mount fails: no module of this kernel has the alias ${mount.alias}\n`;
    case 'module': {
      const goals = mount.plan.goals.map(({ status, module, denied, steps }) => {
        if (status === 'blacklisted') return `  ${module} is blacklisted: nothing is loaded\n`;
        if (status === 'denied') return `  ${denied ?? module} must not be loaded\n`;
        return steps.map(({ action, module: name, path, command, reason }) => (
          `  ${action} ${action === 'insmod' ? path : command ?? name}  (${reason.kind} of ${reason.from})\n`)).join('');
      });
      return `mount loads ${mount.modules.join(', ')} for ${mount.alias}:\n${goals.join('')}`;
    }
  }
}
