// Every option that the helps of udevadm 252 and 257 name: ours takes it, with an argument where theirs does, and says the same where there is none.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { udevadm } from '../../src/applets/udevadm.ts';
import { udevadm257 } from '../../scripts/bench-rules.mjs';
import { messageOf } from '../../src/errors.ts';
import { runApplet } from '../applets/run-applet.ts';
import { makeRoot } from '../udev/fakes.ts';
import { reasonOf } from './oracle.ts';
import { udevadm252, whyNoNamespace } from './udev-namespace.ts';

const VERBS = ['info', 'trigger', 'settle', 'control', 'monitor', 'hwdb', 'test', 'test-builtin', 'verify', 'wait', 'lock'];
/** What an option takes; A=1 where it is not here. */
const VALUES: Readonly<Record<string, string>> = {
  query: 'name', json: 'short', 'wait-for-initialization': '1', type: 'all', action: 'add', 'wait-daemon': '1', timeout: '1', 'log-level': 'debug', 'children-max': '1', 'resolve-names': 'early',
  initialized: 'yes', 'export-prefix': 'X',
};

const CREDENTIALS = { 'udev.rules.50-a': 'KERNEL=="null", TAG+="a"\n', 'udev.conf.b': 'children_max=1\n', 'udev.rules.': '', 'udev.rules.x.rules': '# x\n', other: 'x' };
const OPTIONAL = new Set(['wait-for-initialization', 'wait-daemon']);

type Option = { readonly verb: string; readonly short: string | undefined; readonly long: string };
type Answer = { readonly status: number | null; readonly stderr: string };

/** `-x --long=ARG`, `-x --long[=ARG]`, `--long`: two blanks in front, or more. */
function optionsOf(verb: string, help: string): readonly Option[] {
  return [...help.matchAll(/^ {2,6}(?:-(\w)[ ,]+)?--([a-z][a-z-]*)/gm)].map(([, short, long = '']) => ({ verb, short, long }));
}

function command(version: 252 | 257): readonly string[] {
  return version === 252 ? [udevadm252()] : udevadm257();
}

/** In a namespace without a daemon: 252 sends what `control` is to say before it has read all options. */
function theirs([program = '', ...prefix]: readonly string[], args: readonly string[]): Answer & { readonly stdout: string } {
  const { status, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs none /run && exec "$@"', 'sh', program, ...prefix, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

function whyNot(version: 252 | 257): string | undefined {
  const noNamespace = whyNoNamespace();
  if (noNamespace !== undefined) return noNamespace;
  try {
    return theirs(command(version), ['--version']).stdout.startsWith(String(version)) ? undefined : reasonOf(`udevadm ${version} does not run here`);
  } catch (error) {
    return reasonOf(`udevadm ${version}: ${messageOf(error)}`);
  }
}

const root = makeRoot();
afterAll(() => root.remove());

async function ours(args: readonly string[]): Promise<Answer> {
  const { status, stderr } = await runApplet(udevadm, args, { root: root.path });
  return { status, stderr };
}

/** Command lines that --help, or a fault of their own, ends before anything is done. */
function linesOf({ verb, short, long }: Option, takes: 'nothing' | 'argument'): readonly (readonly string[])[] {
  const value = VALUES[long] ?? 'A=1';
  const words = [[`--${long}`], ...(short === undefined ? [] : [[`-${short}`]])].flat();
  if (takes === 'nothing') return [...words.map((word) => [verb, word, '--help']), [verb, `--${long}=${value}`]];
  const given = [`--${long}=${value}`, ...(short === undefined ? [] : [`-${short}${value}`])].map((word) => [verb, word, '--help']);
  return OPTIONAL.has(long) ? given : [...given, ...words.map((word) => [verb, word, value, '--help']), ...words.map((word) => [verb, word])];
}

/** Only how an option is read: what a line then does, and with which words it fails, is compared elsewhere. */
const isReading = ({ stderr }: Answer): boolean => /requires an argument|doesn't allow an argument|unrecognized option|invalid option|is ambiguous/.test(stderr);

describe.each([252, 257] as const)('udevadm %i', (version) => {
  const reason = whyNot(version);
  it.skipIf(reason !== undefined)(`has no option that ours reads otherwise${reason === undefined ? '' : ` (${reason})`}`, async () => {
    const udevadm_ = command(version);
    const options = VERBS.flatMap((verb) => optionsOf(verb, theirs(udevadm_, [verb, '--help']).stdout));
    expect(options.length).toBeGreaterThan(70);
    const differences: unknown[] = [];
    const lines = options.flatMap((option) => {
      const { stderr } = theirs(udevadm_, [option.verb, `--${option.long}=${VALUES[option.long] ?? 'A=1'}`, '--help']);
      return linesOf(option, stderr.includes("doesn't allow an argument") ? 'nothing' : 'argument');
    });
    for (const line of lines) {
      const [their, our] = [theirs(udevadm_, line), await ours(line)];
      if (isReading(their) ? !(our.status === their.status && our.stderr === their.stderr) : isReading(our)) differences.push({ line: line.join(' '), theirs: their.stderr, ours: our.stderr });
    }
    expect(differences).toEqual([]);
  }, 240_000);
});

describe('udevadm control --load-credentials', () => {
  const reason = whyNot(257);
  it.skipIf(reason !== undefined)(`leaves the files that 257 leaves${reason === undefined ? '' : ` (${reason})`}`, async () => {
    const directory = join(root.path, 'credentials');
    mkdirSync(directory);
    for (const [name, text] of Object.entries(CREDENTIALS)) writeFileSync(join(directory, name), text);
    const [program = '', ...prefix] = udevadm257();
    const show = 'for f in $(find . -type f | sort); do stat -c "%n %a" $f; cat $f; done';
    const shell = (script: string, cwd: string, ...args: readonly string[]): string => spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', ...args], { encoding: 'utf8', cwd, env: { ...process.env, CREDENTIALS_DIRECTORY: directory } }).stdout;
    const their = shell(`mount -t tmpfs none /run && "$@" && cd /run/udev && ${show}`, '/', program, ...prefix, 'control', '--load-credentials');
    const ran = await runApplet(udevadm, ['control', '--load-credentials'], { root: root.path, env: { CREDENTIALS_DIRECTORY: directory } });
    expect(ran.status).toBe(0);
    expect(shell(show, join(root.path, 'run/udev'))).toBe(their);
    expect(their).toContain('./rules.d/50-a.rules 644\nKERNEL');
    expect((await runApplet(udevadm, ['control', '--load-credentials'], { root: root.path })).status).toBe(0);
  });
});
