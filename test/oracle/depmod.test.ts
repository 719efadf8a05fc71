import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { buildModule, type ModuleSpec } from '../kmod/elf-builder.ts';
import { random } from '../random.ts';
import { debianTree, type Kmod, kmod30, kmod34, type Run, run, runOurs } from './oracle.ts';

const RELEASE = '1.2.3';
const MINUTES = 60_000;

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-depmod-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const KMODS = [kmod30, kmod34].map((kmod) => ({ name: kmod.name, kmod }));

/** What depmod makes, by name; text as text. */
function outputs(directory: string): Record<string, string> {
  const names = readdirSync(directory).filter((name) => /^modules\.(?:dep|alias|softdep|weakdep|symbols|devname|builtin\.(?:alias\.)?bin)/.test(name) && !name.endsWith('-cache')).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), 'latin1')]));
}

function removeOutputs(directory: string): void {
  for (const name of Object.keys(outputs(directory))) rmSync(join(directory, name), { force: true });
}

/** kmod 30 has no weak dependencies. */
function filesFor({ isNew }: Kmod, directory: string): Record<string, string> {
  const { 'modules.weakdep': weakdep, ...others } = outputs(directory);
  return isNew && weakdep !== undefined ? { ...others, 'modules.weakdep': weakdep } : others;
}

/** The layout of its indexes. */
const layoutOf = ({ isNew }: Kmod): string[] => (isNew ? [] : ['--layout', 'post']);

/** Messages without what no two programs share: descriptors, places in the sources, stale errno texts, paths of the program, empty lines. */
function normalize({ isNew }: Kmod, { status, stdout, stderr }: Run): Run {
  const text = stderr.replaceAll(/fstatat\([^,]+,/g, 'fstatat(FD,').replaceAll(/\.\.\/libkmod\/\S+ \S+\(\) /g, '').replaceAll(/\n{2,}/g, '\n')
    .replaceAll(/(Invalid symbol version \S+): .*/g, '$1').replaceAll(/^\/\S*\/depmod:/gm, 'depmod:');
  return { status, stdout: isNew ? stdout : stdout.replaceAll(/# Weak dep.*\n|^weakdep .*\n/gm, ''), stderr: text };
}

/** Runs both on one tree, one after the other. */
function compare(kmod: Kmod, directory: string, args: readonly string[], ours: readonly string[] = []): void {
  removeOutputs(directory);
  const expected = { ...normalize(kmod, kmod.run('depmod', args)), files: filesFor(kmod, directory) };
  removeOutputs(directory);
  const actual = { ...normalize(kmod, runOurs('depmod', [...layoutOf(kmod), '--no-cache', ...ours, ...args])), files: filesFor(kmod, directory) };
  expect(actual).toEqual(expected);
}

const REAL = ['6.12', '6.12-cloud', '6.1'].flatMap((series) => KMODS.map(({ name, kmod }) => ({ series, name, kmod })));

describe.each(REAL)('depmod beside $name on the tree of $series', async ({ series, kmod }) => {
  const tree = await debianTree(series);
  it('writes the same bytes, with one thread, with two, and out of its cache', (context) => {
    if (kmod.reason !== undefined || typeof tree === 'string') return context.skip(kmod.reason ?? String(tree));
    const root = join(scratch, series);
    const directory = join(root, 'lib/modules', tree.release);
    mkdirSync(dirname(directory), { recursive: true });
    execFileSync('cp', ['-al', tree.directory, directory]);
    removeOutputs(directory);
    const config = emptyDirectory('no-config');
    expect(normalize(kmod, kmod.run('depmod', ['-C', config, '-b', root, tree.release]))).toEqual({ status: 0, stdout: '', stderr: '' });
    const expected = filesFor(kmod, directory);
    const printed = kmod.run('depmod', ['-C', config, '-n', '-b', root, tree.release]).stdout;
    // Threads and cache have nothing to do with the layout: they are tried with one.
    for (const how of [...(kmod.isNew ? [] : [['--no-cache', '--jobs', '1'], ['--no-cache', '--jobs', '2']]), [], []]) {
      removeOutputs(directory);
      expect(normalize(kmod, runOurs('depmod', [...layoutOf(kmod), ...how, '-C', config, '-b', root, tree.release]))).toEqual({ status: 0, stdout: '', stderr: '' });
      const files = filesFor(kmod, directory);
      expect(Object.keys(files)).toEqual(Object.keys(expected));
      for (const [name, text] of Object.entries(files)) expect(text === expected[name], `${name} ${how.join(' ')}`).toBe(true);
    }
    expect(normalize(kmod, runOurs('depmod', ['-C', config, '-n', '-b', root, tree.release])).stdout === printed).toBe(true);
    rmSync(root, { recursive: true, force: true });
  }, 10 * MINUTES);
});

function emptyDirectory(name: string): string {
  const directory = join(scratch, name);
  mkdirSync(directory, { recursive: true });
  return directory;
}

type Scenario = {
  /** Modules by path below the tree; `.xz` and `.zst` are compressed. Absolute paths are below the root. */
  readonly modules?: Readonly<Record<string, ModuleSpec | Uint8Array>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly links?: Readonly<Record<string, string>>;
  /** Lines of depmod.d; ROOT stands for the root. */
  readonly config?: string;
  /** ROOT stands for the root. */
  readonly args?: readonly string[];
  readonly ours?: readonly string[];
};

const INPUTS = { 'modules.order': '', 'modules.builtin': 'kernel/fs/ext2.ko\nkernel/drivers/usb-core.ko\n', 'modules.builtin.modinfo': 'ext2.alias=fs-ext2\0ext2.license=GPL\0usb_core.alias=usb-*\0' };
const exports = (...names: string[]): ModuleSpec => ({ exports: names.map((name) => ({ name })) });
const needs = (...names: string[]): ModuleSpec => ({ needs: names.map((name) => ({ name })) });
const link = (own: string, ...names: string[]): ModuleSpec => ({ ...exports(own), ...needs(...names) });
const info = (...modinfo: string[]): ModuleSpec => ({ modinfo });
const full = buildModule({ modinfo: ['alias=one'], exports: [{ name: 'x', crc: 7 }], needs: [{ name: 'y' }], versions: [{ name: 'y', crc: 9 }] });
const patch = (offset: number, ...bytes: number[]): Uint8Array => {
  const copy = Buffer.from(full);
  copy.set(bytes, offset);
  return copy;
};
const chain = Object.fromEntries([...'abcdefgh'].map((letter, i, all) => [`kernel/${letter}.ko`, link(`s_${letter}`, ...all.slice(i + 1).map((other) => `s_${other}`))]));
const many = Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`kernel/d${i % 7}/mod-${(i * 7919) % 1000}_${i}.ko`, {
  ...link(`sym_${i}`, `sym_${(i * 31 + 7) % 700 > i ? (i * 31 + 7) % 700 : 0}`, `sym_${Math.min(699, i + 1)}`), modinfo: [`alias=pci:v${i % 50}d*`, `alias=x-${i}`],
}]).filter(([, spec], i) => i > 0 && spec !== undefined));
const TWICE = { 'kernel/m.ko': info('alias=kernel'), 'updates/m.ko': info('alias=updates'), 'extra/m.ko': info('alias=extra') };

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'nothing at all': {},
  'no inputs': { files: { 'modules.order': '-', 'modules.builtin': '-', 'modules.builtin.modinfo': '-' }, modules: { 'kernel/a.ko': exports('a') } },
  'one module': { modules: { 'kernel/a.ko': info('alias=b-c', 'softdep=pre: x-y', 'license=GPL') } },
  'a chain': { modules: chain },
  'a chain in an order': { modules: chain, files: { 'modules.order': [...'hgfedcba'].map((l) => `kernel/${l}.ko\n`).join('') } },
  'a diamond': { modules: { 'a.ko': link('sa', 'sb', 'sc'), 'b.ko': link('sb', 'sd'), 'c.ko': link('sc', 'sd'), 'd.ko': exports('sd') } },
  'hundreds of modules': { modules: many },
  'order: partial, with strangers': { modules: chain, files: { 'modules.order': 'kernel/zz.ko\nkernel/d.ko\n\nkernel/a.ko\n' } },
  'order: duplicates': { modules: chain, files: { 'modules.order': 'kernel/d.ko\nkernel/a.ko\nkernel/d.ko\n' } },
  'order: no end of line': { modules: chain, files: { 'modules.order': 'kernel/d.ko\nkernel/a.ko' } },
  'order: of compressed modules': { modules: { 'kernel/b.ko.xz': exports('b'), 'kernel/a.ko.zst': exports('a'), 'kernel/c.ko': needs('a', 'b') }, files: { 'modules.order': 'kernel/b.ko\nkernel/a.ko\n' } },
  'names with dashes and dots': { modules: { 'kernel/a-b.ko': exports('ab'), 'kernel/c.d.ko': needs('ab'), 'kernel/e_f-g.ko': needs('ab') }, files: { 'modules.order': 'kernel/c.d.ko\nkernel/e_f-g.ko\n' } },
  'twice: updates win': { modules: TWICE },
  'twice: search extra updates built-in': { modules: TWICE, config: 'search extra updates built-in\n' },
  'twice: search built-in first': { modules: TWICE, config: 'search built-in extra\n' },
  'twice: two search lines': { modules: TWICE, config: 'search updates\nsearch extra built-in\n' },
  'twice: no built-in in the list': { modules: TWICE, config: 'search extra\n' },
  'twice: a prefix is no directory': { modules: { ...TWICE, 'extra2/m.ko': info('alias=extra2') }, config: 'search extra built-in\n' },
  'twice: half a directory': { modules: TWICE, config: 'search kern built-in\n' },
  'twice: a directory with a slash': { modules: TWICE, config: 'search kernel/ built-in\n' },
  'twice in one directory of the list': { modules: { 'updates/a/m.ko': info('alias=1'), 'updates/b/m.ko': info('alias=2'), 'updates/c/m.ko': info('alias=3') } },
  'twice outside of the list': { modules: { 'x/a/m.ko': info('alias=1'), 'y/b/m.ko': info('alias=2'), 'x/c/m.ko': info('alias=3'), 'z/m.ko.xz': info('alias=4') } },
  'override': { modules: TWICE, config: 'override m * kernel\n' },
  'override for this kernel': { modules: TWICE, config: 'override m ^1\\\\.[0-9]+ extra\noverride m ^9 kernel\n' },
  'override with dashes': { modules: { 'kernel/a-b.ko': info('alias=k'), 'updates/a-b.ko': info('alias=u') }, config: 'override a_b * kernel\noverride a-b * kernel\n' },
  'override: bad lines': { modules: TWICE, config: 'override m *\nfoo bar\nsearch\noverride\ninclude x\n# comment\n  \nmake_map_files no\nexternal x\n' },
  'override with a brace that opens or closes nothing': { modules: TWICE, config: 'override m 1)* kernel\noverride m {1 extra\n' },
  'override with a broken expression': { modules: TWICE, config: 'override m ( kernel\noverride m [ kernel\noverride m [[:digit:]]+\\\\. extra\n' },
  'exclude': { modules: { ...chain, 'skip/x.ko': exports('x'), 'kernel/skip/y.ko': exports('y') }, config: 'exclude skip b.ko\n' },
  'build and source are never modules': { modules: { 'kernel/build/x.ko': exports('x'), 'source/y.ko': exports('y'), 'z.ko': exports('z') } },
  'external': { modules: { 'kernel/m.ko': info('alias=k'), '/ext/m.ko': info('alias=e'), '/ext/n.ko': exports('n'), 'kernel/o.ko': needs('n') }, config: 'external * ROOT/ext\nsearch external built-in\n' },
  'external: lower than built-in': { modules: { 'kernel/m.ko': info('alias=k'), '/ext/m.ko': info('alias=e') }, config: 'external * ROOT/ext\nsearch built-in external\n' },
  'external: two of them': { modules: { '/e1/m.ko': info('alias=1'), '/e2/m.ko': info('alias=2'), 'k/m.ko': info('alias=k') }, config: 'external * ROOT/e1\nexternal * ROOT/e2\nsearch external built-in\n' },
  'external: not in the search list': { modules: { '/e1/m.ko': info('alias=1'), 'k/m.ko': info('alias=k'), 'k/n.ko': exports('n') }, config: 'external * ROOT/e1\n' },
  'external: absent, or for another kernel': { modules: { '/e1/m.ko': info('alias=1') }, config: 'external * ROOT/none\nexternal ^7 ROOT/e1\nsearch external built-in\n' },
  'compressed': { modules: { 'a.ko.xz': link('a', 'b'), 'b.ko.zst': link('b', 'c'), 'c.ko': exports('c') } },
  'compressed, with the name of a plain one': { modules: { 'a.ko': exports('a') }, links: { 'b.ko': 'a.ko' } },
  'links to files, to directories and to nothing': { modules: { 'real/a.ko': exports('a') }, links: { 'b.ko': 'real/a.ko', other: 'real', 'gone.ko': 'nowhere' } },
  'damage: not ELF, empty, short': { modules: { 'a.ko': Buffer.from('hello, this is no ELF file at all'), 'b.ko': Buffer.alloc(0), 'c.ko': Buffer.from('1234567'), 'd.ko': Buffer.from('12345') } },
  'damage: ELF headers': { modules: { 'a.ko': patch(4, 7), 'b.ko': patch(5, 9), 'c.ko': patch(58, 1), 'd.ko': patch(40, 0xff, 0xff, 0xff), 'e.ko': patch(58, 80), 'f.ko': patch(60, 0xff, 0x7f), 'ok.ko': full } },
  'damage: cut': { modules: Object.fromEntries([20, 52, 63, 64, 65, 100, 200, 300, 400, 600].map((length) => [`c${length}.ko`, full.subarray(0, length)])) },
  'damage: sections missing': { modules: Object.fromEntries(['.symtab', '.strtab', '.modinfo', '__versions', '__ksymtab_strings'].map((name, i) => [`w${i}.ko`, { ...link(`s${i}`, 's_ok'), modinfo: [`alias=a${i}`], versions: [], without: [name] }])) },
  'circles: two': { modules: { 'a.ko': link('a', 'b'), 'b.ko': link('b', 'a'), 'c.ko': exports('c') } },
  'circles: three and two': { modules: { 'a.ko': link('a', 'b'), 'b.ko': link('b', 'c'), 'c.ko': link('c', 'a'), 'x.ko': link('x', 'y'), 'y.ko': link('y', 'x') } },
  'circles: of one': { modules: { 'a.ko': link('a', 'a'), 'b.ko': exports('b') } },
  'circles: several through one': { modules: { 'a.ko': link('a', 'b', 'c', 'd'), 'b.ko': link('b', 'a'), 'c.ko': link('c', 'a'), 'd.ko': link('d', 'a') }, files: { 'modules.order': 'a.ko\nb.ko\nc.ko\nd.ko\n' } },
  'symbols exported twice': { modules: { 'a.ko': exports('s', 't'), 'b.ko': exports('s'), 'c.ko': needs('s', 't') } },
  'symbols with dots': { modules: { 'a.ko': exports('foo', '.bar'), 'b.ko': needs('.foo'), 'c.ko': needs('bar', '.bar') } },
  'symbols with CRCs, absolute and relative': { modules: { 'a.ko': { exports: [{ name: 'x', crc: 1 }, { name: 'y', crc: 2, relative: true }, { name: 'z' }] }, 'b.ko': needs('x', 'z'), 'c.ko': needs('y') } },
  '-E: unknown and other versions': {
    modules: { 'a.ko': { exports: [{ name: 'x', crc: 1 }] }, 'b.ko': { needs: [{ name: 'x' }, { name: 'y' }, { name: 'printk' }, { name: 'w', weak: true }], versions: [{ name: 'module_layout', crc: 5 }, { name: 'x', crc: 2 }, { name: 'printk', crc: 3 }] } },
    files: { symvers: '0x00000003\tprintk\tvmlinux\tEXPORT_SYMBOL\n0x4 other drivers/x EXPORT_SYMBOL\nzz bad vmlinux EXPORT_SYMBOL\n0x9\tmodule_layout\tvmlinux\n\n' }, args: ['-e', '-E', 'TREE/symvers'],
  },
  '-F: unknown': { modules: { 'b.ko': { needs: [{ name: 'x' }, { name: 'printk' }, { name: '__this_module' }, { name: '_GLOBAL_OFFSET_TABLE_' }, { name: '.TOC.' }] } }, files: { map: 'c0 R __ksymtab_printk\nc1 T start\nbad\n' }, args: ['-e', '-F', 'TREE/map'] },
  '-e alone, and -E of nothing': { modules: { 'b.ko': needs('x') }, args: ['-e'] },
  '-E: no such file': { modules: { 'b.ko': needs('x') }, args: ['-e', '-E', 'TREE/none'] },
  '-P': { modules: { 'a.ko': exports('_x', 'y'), 'b.ko': needs('x'), 'c.ko': needs('_y') }, args: ['-P', '_'] },
  '-P: too long': { args: ['-P', 'ab'] },
  '-n': { modules: chain, args: ['-n'] },
  '-n with all kinds of lines': { modules: { 'a.ko': info('alias=devname:dev/a', 'alias=char-major-10-200', 'softdep=pre: b'), 'b.ko': exports('b') }, args: ['-n'] },
  '-w': { modules: { 'a.ko': info('alias=x', 'alias=x', 'alias=y*'), 'b.ko': info('alias=x') }, args: ['-w'] },
  'devname': { modules: {
    'a.ko': info('alias=devname:net/tun', 'alias=char-major-10-200'), 'b.ko': info('alias=block-major-7-3', 'alias=devname:loop'), 'c.ko': info('alias=devname:lost'),
    'd.ko': info('alias=char-major-1-*', 'alias=devname:star'), 'e.ko': info('alias=devname:one', 'alias=devname:two', 'alias=char-major-5-6', 'alias=block-major-8-9'), 'f.ko': info('alias=char-major-10-11'),
  } },
  'aliases with brackets': { modules: { 'a.ko': info('alias=usb:v[0-9]-x*', 'alias=a]b', 'alias=c[d', 'alias=e-[f-g]-h', 'alias=', 'alias', 'softdep', 'softdep=') } },
  'aliases shared by many': { modules: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`m${i}.ko`, info('alias=same', `alias=sa${i}`, 'alias=sam', 'alias=same')])) },
  'modinfo: blanks and empty strings': { modules: { 'a.ko': info('', '', 'alias=x y', '', 'alias=\tz') } },
  'builtin: odd lines': { files: { 'modules.builtin': 'kernel/a-b.ko\n\n1/x.ko\n# no\nkernel/nodot\nkernel/last.ko', 'modules.builtin.modinfo': 'a_b.alias=x]\0a_b.alias=y[0-9]-z\0c.alias=same\0d.alias=same\0' } },
  'builtin: empty': { files: { 'modules.builtin': '', 'modules.builtin.modinfo': '' } },
  'builtin: no aliases': { files: { 'modules.builtin.modinfo': 'a.license=GPL\0b.file=x\0' } },
  '32 bit, big-endian, SPARC': { modules: { 'a.ko': { ...link('a', 'b'), bits: 32 }, 'b.ko': { ...link('b', 'c'), bigEndian: true }, 'c.ko': { ...exports('c'), bits: 32, bigEndian: true, machine: 2, needs: [{ name: 'd', type: 13 }, { name: 'e' }] }, 'd.ko': exports('d'), 'e.ko': exports('e') } },
  'versions in big-endian 32 bit': { modules: { 'a.ko': { bits: 32, bigEndian: true, exports: [{ name: 'x', crc: 0x01020304 }] }, 'b.ko': { bits: 32, bigEndian: true, needs: [{ name: 'x' }], versions: [{ name: 'x', crc: 0x01020304 }] } }, files: { symvers: '' }, args: ['-e', '-E', 'TREE/symvers'] },
  'named modules': { modules: chain, args: ['TREE/kernel/a.ko', 'TREE/kernel/c.ko', 'TREE/kernel/h.ko'] },
  'named modules: outside of the tree': { modules: { '/ext/a.ko': link('a', 'b'), 'b.ko': exports('b') }, args: ['ROOT/ext/a.ko', 'TREE/b.ko'] },
  'named modules: -a takes all': { modules: chain, args: ['-a', 'TREE/kernel/a.ko'] },
  'named modules: relative, missing': { modules: chain, args: ['kernel/a.ko'] },
  'named modules: missing': { modules: chain, args: ['TREE/kernel/none.ko'] },
  'named modules: twice': { modules: chain, args: ['TREE/kernel/a.ko', 'TREE/kernel/a.ko'] },
  '-A without modules.dep': { modules: chain, args: ['-A'] },
};

describe.each(KMODS)('depmod beside $name on made trees', ({ kmod }) => {
  it.for(Object.entries(SCENARIOS))('%s', ([name, scenario], context) => {
    if (kmod.reason !== undefined) return context.skip(kmod.reason);
    const root = join(scratch, kmod.name, name.replaceAll(/\W+/g, '-'));
    const directory = makeTree(root, scenario);
    const fill = (text: string) => text.replaceAll('ROOT', root).replaceAll('TREE', directory);
    const config = join(root, 'depmod.d');
    mkdirSync(config);
    if (scenario.config !== undefined) writeFileSync(join(config, 'test.conf'), fill(scenario.config));
    compare(kmod, directory, ['-C', config, '-b', root, RELEASE, ...(scenario.args ?? []).map(fill)], scenario.ours);
  });

  it('a tree that is not there, and command lines that are none', (context) => {
    if (kmod.reason !== undefined) return context.skip(kmod.reason);
    const root = emptyDirectory('absent');
    for (const args of [['-b', root, RELEASE], ['-b', `${root}/../${basename(root)}//`, RELEASE], ['-b', './nosuch/', RELEASE], ['-Z'], ['--nosuch'], ['-b'], ['--base'], ['-A', '-n', '-b', root, RELEASE]]) {
      const strip = (result: Run) => ({ ...normalize(kmod, result), args });
      expect(strip(runOurs('depmod', args))).toEqual(strip(kmod.run('depmod', args)));
    }
  });

  it('-A does nothing until a module is newer', () => {
    const root = join(scratch, 'quick');
    const directory = makeTree(root, { modules: chain });
    const args = ['--no-cache', '-b', root, RELEASE];
    runOurs('depmod', args);
    const before = outputs(directory);
    const module = join(directory, 'kernel/a.ko');
    writeFileSync(module, buildModule(info('alias=new')));
    utimesSync(module, 1, 1);
    expect(runOurs('depmod', ['-A', ...args])).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(outputs(directory)).toEqual(before);
    const later = Date.now() / 1000 + 60;
    utimesSync(module, later, later);
    expect(runOurs('depmod', ['-A', ...args]).status).toBe(0);
    expect(outputs(directory)['modules.alias']).toContain('alias new a\n');
  });
});

function makeTree(root: string, { modules = {}, files = {}, links = {} }: Scenario): string {
  const directory = join(root, 'lib/modules', RELEASE);
  mkdirSync(directory, { recursive: true });
  const place = (path: string) => {
    const full = path.startsWith('/') ? join(root, path) : join(directory, path);
    mkdirSync(dirname(full), { recursive: true });
    return full;
  };
  for (const [path, text] of Object.entries({ ...INPUTS, ...files })) if (text !== '-') writeFileSync(place(path), text, 'latin1');
  for (const [path, spec] of Object.entries(modules)) {
    const bytes = spec instanceof Uint8Array ? spec : buildModule(spec);
    // As kernels are built: with the size in the head of the frame, without which kmod 34 reads none.
    const tool = path.endsWith('.xz') ? ['xz', '--check=crc32', '-c'] : path.endsWith('.zst') ? ['zstd', '-q', '-c', `--stream-size=${bytes.length}`] : undefined;
    writeFileSync(place(path), tool ? execFileSync(tool[0] ?? '', tool.slice(1), { input: bytes }) : bytes);
  }
  for (const [path, target] of Object.entries(links)) symlinkSync(target, place(path));
  return directory;
}

describe.skipIf(kmod30.reason !== undefined)('depmod -o and -m, which kmod 30 does not know', () => {
  /** What kmod makes of the tree where it stands, and then the tree without it. */
  const expectedOf = (root: string, directory: string) => {
    expect(kmod30.run('depmod', ['-b', root, RELEASE]).status).toBe(0);
    const files = outputs(directory);
    removeOutputs(directory);
    return files;
  };
  const ours = (...args: string[]) => normalize(kmod30, runOurs('depmod', ['--layout', 'post', ...args]));
  const quiet: Run = { status: 0, stdout: '', stderr: '' };

  it.each(['-o', '--outdir='])('%s writes below another directory what kmod writes into the tree, which stays as it is', (option) => {
    const root = join(scratch, `outdir${option.length}`);
    const directory = makeTree(root, { modules: chain });
    const expected = expectedOf(root, directory);
    const before = readdirSync(directory);
    const out = join(root, 'made/by/us');
    expect(ours('-b', root, ...(option === '-o' ? ['-o', out] : [`${option}${out}`]), RELEASE)).toEqual(quiet);
    expect(filesFor(kmod30, join(out, 'lib/modules', RELEASE))).toEqual(expected);
    expect(readdirSync(directory)).toEqual(before);
  });

  it('-o takes a directory below the working directory', () => {
    const root = join(scratch, 'relative-out');
    const directory = makeTree(root, { modules: chain });
    const expected = expectedOf(root, directory);
    expect(ours('-b', root, '-o', relative(process.cwd(), join(root, 'out')), RELEASE)).toEqual(quiet);
    expect(filesFor(kmod30, join(root, 'out/lib/modules', RELEASE))).toEqual(expected);
  });

  it('-o on a place that is a file is fatal', () => {
    const root = join(scratch, 'out-file');
    makeTree(root, { modules: chain });
    writeFileSync(join(root, 'file'), '');
    const place = join(root, 'file/lib/modules', RELEASE);
    expect(ours('-b', root, '-o', join(root, 'file'), RELEASE)).toEqual({ status: 1, stdout: '', stderr: `depmod: FATAL: could not open directory ${place}: Not a directory\n` });
  });

  it.each(['usr/lib/modules', '/usr/lib/modules/', 'modules'])('-m %s finds modules there, and writes there', (moduleDirectory) => {
    const root = join(scratch, `moduledir-${moduleDirectory.replaceAll('/', '-')}`);
    const expected = expectedOf(root, makeTree(root, { modules: chain }));
    const moved = join(root, moduleDirectory);
    mkdirSync(dirname(moved), { recursive: true });
    renameSync(join(root, 'lib/modules'), moved);
    expect(ours('-b', root, '-m', moduleDirectory, RELEASE)).toEqual(quiet);
    expect(filesFor(kmod30, join(moved, RELEASE))).toEqual(expected);
    expect(existsSync(join(root, 'lib/modules'))).toBe(false);
    // Together they write to OUTDIR/MODULEDIR/RELEASE.
    expect(ours('-b', root, `--moduledir=${moduleDirectory}`, '-o', join(root, 'out'), RELEASE)).toEqual(quiet);
    expect(filesFor(kmod30, join(root, 'out', moduleDirectory, RELEASE))).toEqual(expected);
  });

  it('-m of a place without modules is as fatal as a tree that is not there', () => {
    const root = join(scratch, 'no-moduledir');
    makeTree(root, { modules: chain });
    const [elsewhere, absent] = [ours('-b', root, '-m', 'other', RELEASE), ours('-b', join(root, 'none'), RELEASE)];
    const text = (run: Run, place: string) => ({ ...run, stderr: run.stderr.replaceAll(place, 'TREE') });
    expect(elsewhere.status).toBe(1);
    expect(text(elsewhere, join(root, 'other', RELEASE))).toEqual(text(absent, join(root, 'none/lib/modules', RELEASE)));
  });
});

describe('the cache of depmod', () => {
  it('changes nothing, whatever happens to the modules', () => {
    const root = join(scratch, 'cache');
    const directory = makeTree(root, { modules: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`kernel/m${i}.ko`, link(`s${i}`, `s${i + 1}`)])) });
    const next = random(11);
    let serial = 0;
    const modules = () => readdirSync(join(directory, 'kernel')).filter((name) => name.endsWith('.ko'));
    const pick = () => join(directory, 'kernel', modules()[next(modules().length)] ?? '');
    const changes = [
      () => writeFileSync(join(directory, 'kernel', `n${++serial}.ko`), buildModule({ ...link(`t${serial}`, `s${next(40)}`), modinfo: [`alias=a${serial}`] })),
      () => writeFileSync(pick(), buildModule({ ...needs(`s${next(40)}`), modinfo: [`alias=c${++serial}`] })),
      () => rmSync(pick()),
      () => renameSync(pick(), join(directory, 'kernel', `r${++serial}.ko`)),
      () => cpSync(pick(), join(directory, 'kernel', `k${++serial}.ko`)),
      // Of the same size, and dated back.
      () => {
        const path = pick();
        const bytes = readFileSync(path);
        const at = bytes.indexOf('s1', 0, 'latin1');
        if (at >= 0) bytes.write('s2', at, 'latin1');
        writeFileSync(path, bytes);
        utimesSync(path, 1000, 1000);
      },
      () => undefined,
      () => {
        const name = Object.keys(outputs(directory))[next(8)];
        if (name !== undefined) writeFileSync(join(directory, name), 'damaged');
      },
      () => {
        const cache = join(directory, 'modules.depmod-cache');
        if (!existsSync(cache)) return;
        const bytes = readFileSync(cache);
        bytes[next(bytes.length)] = next(256);
        writeFileSync(cache, next(2) === 0 ? bytes : bytes.subarray(0, next(bytes.length)));
      },
    ];
    for (let round = 0; round < 40; round++) {
      for (let i = next(3); i >= 0; i--) changes[next(changes.length)]?.();
      const args = ['-b', root, RELEASE];
      // Every output stands for the next run to find, unless it was damaged.
      const cached = runOurs('depmod', args);
      const other = join(root, 'other');
      const fresh = runOurs('depmod', ['--no-cache', '-o', other, ...args]);
      expect({ round, ...cached, files: outputs(directory) }).toEqual({ round, ...fresh, files: outputs(join(other, 'lib/modules', RELEASE)) });
    }
  }, 10 * MINUTES);

  it('reads only what has changed', () => {
    const root = join(scratch, 'hits');
    const directory = makeTree(root, { modules: chain });
    const result = (...args: string[]) => JSON.parse(runOurs('depmod', ['--json', ...args, '-b', root, RELEASE]).stdout) as { modules: number; cached: number };
    run('sleep', ['0.1']);
    expect(result()).toMatchObject({ modules: 8, cached: 0 });
    expect(result()).toMatchObject({ modules: 8, cached: 8 });
    writeFileSync(join(directory, 'kernel/a.ko'), buildModule(info('alias=new')));
    expect(result()).toMatchObject({ modules: 8, cached: 7 });
    expect(result('--no-cache')).toMatchObject({ modules: 8, cached: 0 });
  });
});
