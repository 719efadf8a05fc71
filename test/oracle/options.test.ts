// Every option of every tool of kmod: alone, with and without operands and values, in every abbreviation, and in pairs; the whole answers of both kmods.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';

import { buildModule } from '../kmod/elf-builder.ts';
import { type Kmod, kmod30, kmod34, type Run, runOurs } from './oracle.ts';
import { runHere } from './in-process.ts';

const RELEASE = '1.2.3-audit';
const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-options-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const directory = join(root, 'lib/modules', RELEASE);
mkdirSync(join(directory, 'kernel'), { recursive: true });
const config = join(root, 'modprobe.conf');
writeFileSync(config, `options audit_a p=1\nblacklist audit_c\nalias audit-alias audit_b\ninstall audit_d /bin/true $CMDLINE_OPTS\nremove audit_d /bin/true\nsoftdep audit_b pre: audit_c post: audit_d\nremove audit_false /bin/false\ninstall audit_child echo "[$MODPROBE_OPTIONS] $CMDLINE_OPTS"\n`);
const blank = join(root, 'a b.conf');
writeFileSync(blank, 'options audit_a blank=1\ninstall audit_child echo "[$MODPROBE_OPTIONS] $MODPROBE_MODULE"\n');
const MODULES = {
  'audit-a': { exports: [{ name: 'audit_symbol', crc: 0x1234 }], modinfo: ['license=GPL', 'author=A', 'author=B', 'description=D', 'parm=p:a number', 'parmtype=p:int', 'alias=audit:a*'] },
  audit_b: { needs: [{ name: 'audit_symbol' }], versions: [{ name: 'audit_symbol', crc: 0x1234 }], modinfo: ['license=GPL', 'alias=audit:ab'] },
  audit_c: { modinfo: ['license=MIT'] }, audit_d: {},
};
for (const [name, spec] of Object.entries(MODULES)) writeFileSync(join(directory, 'kernel', `${name}.ko`), buildModule(spec));
writeFileSync(join(directory, 'modules.order'), Object.keys(MODULES).map((name) => `kernel/${name}.ko\n`).join(''));
writeFileSync(join(directory, 'modules.builtin'), 'kernel/audit-builtin.ko\n');
writeFileSync(join(directory, 'modules.builtin.modinfo'), 'audit_builtin.license=GPL\0audit_builtin.alias=audit:builtin\0');
const file = join(directory, 'kernel/audit-a.ko');
runOurs('depmod', ['--no-cache', '--layout', 'post', '-b', root, RELEASE]);

type Option = { readonly long?: string; readonly short?: string; readonly takes: boolean };

/** The options that a usage text names. */
function optionsOf(kmod: Kmod, tool: string): Option[] {
  const [name = '', ...words] = tool.split(' ');
  return kmod.run(name, [...words, '--help']).stdout.split('\n').flatMap((line) => {
    const [, short, long, value] = /^\t\s*(?:-(\w), )?\s*--([\w-]+)([= ]<?[A-Z]+>?)?/.exec(line) ?? [];
    return long === undefined ? [] : [{ long, takes: value !== undefined, ...(short === undefined ? {} : { short }) }];
  });
}

const flag = (short: string, long?: string): Option => ({ short, takes: false, ...(long === undefined ? {} : { long }) });

/** Options that older kmods took for nothing, and others that no usage text names. */
const UNNAMED: Readonly<Record<string, readonly Option[]>> = {
  insmod: [flag('p')], rmmod: [flag('w', 'wait')], lsmod: [flag('s')], depmod: [flag('u', 'unresolved-error'), flag('q', 'quiet'), flag('r', 'root'), { long: 'map', takes: false }, { long: 'dry-run', takes: false }],
};

const TOOLS = ['modprobe', 'insmod', 'rmmod', 'lsmod', 'modinfo', 'depmod', 'kmod', 'kmod list', 'kmod static-nodes'];
const VALUES: Readonly<Record<string, string>> = {
  w: '0', C: config, d: root, b: root, S: RELEASE, k: RELEASE, F: 'license', P: '_', E: '/nosuch', f: 'tmpfiles', o: join(root, 'out'), m: 'lib/modules',
};
/** What makes a tool ask this tree, and change nothing. */
const BASE: Readonly<Record<string, readonly string[]>> = {
  modprobe: ['-C', config, '-d', root, '-S', RELEASE], modinfo: ['-b', root, '-k', RELEASE], depmod: ['-n', '-C', '/nosuch', '-b', root, RELEASE],
};
/** Operands, none of which reaches a kernel. */
const OPERANDS: Readonly<Record<string, readonly string[]>> = {
  modprobe: ['nosuch', '-n -v audit_b', '-nv audit-alias x=1', '-D audit_c', '-R audit:ab', '-n -v audit_d', '-nv audit-builtin', '-n -v -r audit_d', '-nvr audit-builtin audit_d', '-r -D audit_b', '-n -vr audit_false nosuch audit_d', '-v -r audit_false audit_d', `-D ${file}`],
  insmod: ['/nosuch.ko', '/nosuch.ko p=1 q', '-'], rmmod: ['nosuch', 'nosuch /nosuch.ko'], lsmod: ['extra'], modinfo: ['audit-a', 'audit:ab audit_builtin', 'nosuch', file],
  depmod: ['/nosuch.ko', 'extra', file], kmod: ['nosuch', 'help', 'static-nodes'], 'kmod list': ['extra'], 'kmod static-nodes': ['extra'],
};

/** Command lines that are wrong in their own ways. */
const WRONG: Readonly<Record<string, readonly string[]>> = {
  rmmod: ['/etc/passwd nosuch.ko', '-f nosuch'], 'kmod static-nodes': ['--format=nosuch', '--form=devname', '--out=/nosuch/x'], kmod: ['help extra', 'static-nodes -f'],
  depmod: ['-b /nosuch bogus', '-b /nosuch 1.2.3 relative.ko', '-A -e', '-P ab'], modprobe: ['--wait=xx -r nosuch', '-w 08 -r nosuch', '-w 0x1 -r nosuch', '--first-time -r nosuch', '-a nosuch audit-a -D'],
};

/** The command lines for one tool, without its name: `all` of kmod 34, or what both kmods know. */
function commandLines(tool: string, all: boolean): string[][] {
  const words = [...tool.split(' ').slice(1), ...BASE[tool] ?? []];
  const operands = (OPERANDS[tool] ?? []).filter((some) => all || !some.startsWith('-D /')).map((some) => some.split(' '));
  const [older, newer] = [optionsOf(kmod30, tool), optionsOf(kmod34, tool)];
  const options = all ? [...newer, ...UNNAMED[tool] ?? []] : newer.filter(({ long }) => older.some((other) => other.long === long));
  const lines = [words, ...operands.map((some) => [...words, ...some]), ...['-Z', '--nosuch', '--nosuch=1', '-hZ', '-Vh'].map((word) => [...words, word]),
    ...(WRONG[tool] ?? []).map((some) => [...(tool === 'depmod' ? ['-n'] : words), ...some.split(' ')])];
  for (const { short, long, takes } of options) {
    const value = VALUES[short ?? ''] ?? '0';
    const spellings = [
      ...(short === undefined ? [] : takes ? [[`-${short}`, value], [`-${short}${value}`]] : [[`-${short}`]]),
      ...(long === undefined ? [] : takes ? [[`--${long}`, value], [`--${long}=${value}`]] : [[`--${long}`]]),
    ];
    // Alone, and with each of the operands, before and behind them.
    for (const spelling of spellings) lines.push([...words, ...spelling], ...operands.flatMap((some) => [[...words, ...spelling, ...some], [...words, ...some, ...spelling]]));
    // Without its value, with one that it does not take, and in every abbreviation.
    if (takes && short !== undefined) lines.push([...words, `-${short}`]);
    if (long === undefined || !all) continue;
    lines.push([...words, takes ? `--${long}` : `--${long}=1`]);
    for (let end = 1; end < long.length; end++) lines.push([...words, `--${long.slice(0, end)}`, ...(takes ? [value] : []), ...operands[0] ?? []]);
  }
  // In pairs, each of which is one word.
  const letters = new Set(options.flatMap(({ short, takes }) => (short === undefined || takes ? [] : [short])));
  for (const one of letters) for (const other of letters) lines.push(...operands.slice(0, 2).map((some) => [...words, `-${one}${other}`, ...some]));
  // What comes after kmod 34 takes names for these; docs/deviations.md.
  const names = (line: readonly string[]) => line.some((word) => /^--(?:show|dump)-(?:modversions|exports)/.test(word)) && !line.includes('nosuch') && !line.includes(file);
  return [...new Map(lines.filter((line) => !names(line)).map((line) => [line.join(' '), line])).values()];
}

/** What no two programs share, and what docs/deviations.md lists of messages: usage and version, places in sources, second lines from inside of the library. */
function normal({ isNew }: Kmod, args: readonly string[], { status, stdout, stderr }: Run): Run {
  const text = stdout.replace(/^(?:kmod - |Usage:)[^]*/m, 'USAGE\n').replace(/^(?:tsmodprobe|kmod version) [\d.]+\n(?:[+-].*\n)?/m, 'VERSION\n');
  return {
    status,
    stdout: isNew ? text : text.replace(/^# Weak dep.*\n/m, ''),
    // Without a system log kmod's words are lost, and ours come on stderr.
    stderr: asksForSyslog(args) ? '' : stderr.replaceAll(/^\S*\/(\w+):/gm, '$1:').replaceAll(/\.\.\/libkmod\/\S+ \w+\(\) /g, '')
      .replaceAll(/^\w+: (?:INFO|DEBUG): .*\n|^(?:lsmod|kmod): ERROR: could not open \/proc\/modules: .*\n|^\w+: ERROR: could not open '\/sys\/module\/.*\n/gm, ''),
  };
}

const asksForSyslog = (args: readonly string[]) => args.some((word) => /^(?:--s$|--sy|-[a-zRDV]*s)/.test(word));

describe.each([kmod34, kmod30].map((kmod) => ({ name: kmod.name, kmod })))('every option beside $name', ({ kmod }) => {
  it.for(TOOLS)('%s', { timeout: 300_000 }, async (tool, context) => {
    const reason = kmod30.reason ?? kmod34.reason;
    if (reason !== undefined) return context.skip(reason);
    // lsmod of kmod 30 knows no options, and says nothing but its name.
    if (!kmod.isNew && /lsmod|list/.test(tool)) return context.skip('follows kmod 34');
    const [name = ''] = tool.split(' ');
    const lines = commandLines(tool, kmod.isNew);
    expect(lines.length).toBeGreaterThan(10);
    const theirs = kmod.runAll(name, lines);
    for (const [at, args] of lines.entries()) {
      const ours = await runHere(name, [...(tool === 'modprobe' ? ['--strict-kmod'] : []), ...args]);
      expect({ args, ...normal(kmod, args, ours) }).toEqual({ args, ...normal(kmod, args, theirs[at] ?? MISSING) });
    }
  });
});

/** MODPROBE_OPTIONS, and a command line behind it. */
const ENVIRONMENTS: readonly (readonly [options: string, args: string])[] = [
  ['', '-nv audit_b'], ['-n -v', 'audit_b'], ['  -n\t-v ', 'audit_b'], ['-nv audit_a', 'x=1'], ['-D', 'audit_a x=1'], ['-q', 'nosuch'], ['-a', 'nosuch audit_a -D'], ['--nosuch', '-D audit_a'], ['-Z', '-D audit_a'],
  ['-C "BLANK"', '-D audit_a'], ["-C 'BLANK'", '-D audit_a'], ['-C BLANK', '-D audit_a'], ['-D "audit_a"', ''], ['-D audit_a "p=a b"', ''], ["-D audit_a 'p=a b'", ''], ['-D audit_a p="a b"', ''], ['-D audit_a ""', 'x'], ['-D audit_a x ""', 'y'], ["''", '-D audit_a'],
  ['-D audit_a "unfinished', ''], ['-D audit_a "not finished', 'x'], ['-D audit_a a"b c"d \'e f\'', ''], ['-D audit_a \\"a b\\"', ''], ["-D audit_a 'unfinished", ''], ['-D --', 'audit_a'], ['--', '-D audit_a'], ['-h', ''], ['-V', 'x'], ['', 'audit_child'], ['-q -v', 'audit_child a=1'], ['-v', '-q audit_child'], ['-C "BLANK"', 'audit_child'], ['-S 9.9.9', '-D audit_a'],
  ['', '-C BLANK audit_child'], ['-C CONFIG -v', '-q -C CONFIG audit_child a=1'], ['', '-s audit_child'],
];

describe.each([kmod34, kmod30].map((kmod) => ({ name: kmod.name, kmod })))('MODPROBE_OPTIONS beside $name', ({ kmod }) => {
  it.for(ENVIRONMENTS)('%s and %s', ([options, args], context) => {
    if (kmod.reason !== undefined) return context.skip(kmod.reason);
    const fill = (text: string) => text.replaceAll('BLANK', blank).replaceAll('CONFIG', config);
    vi.stubEnv('MODPROBE_OPTIONS', fill(options));
    const line = ['-C', config, '-d', root, '-S', RELEASE, ...args.split(' ').filter(Boolean).map(fill)];
    const [ours, theirs] = [runOurs('modprobe', line), kmod.run('modprobe', line)];
    expect(normal(kmod, line, ours)).toEqual(normal(kmod, line, theirs));
  });
});

const MISSING: Run = { status: null, stdout: '', stderr: '' };
