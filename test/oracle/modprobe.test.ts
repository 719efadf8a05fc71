import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { moduleNameOfPath } from '../../src/kmod/alias.ts';
import { random } from '../random.ts';
import { debianTree, type Kmod, kmod30, kmod34, type Run, run, runOurs, type Tree } from './oracle.ts';

/** Words for one command line; the kernel allows 2 MiB of them. */
const BATCH = 3000;

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-config-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const trees = new Map<string, Tree | string>();
for (const series of ['6.12', '6.1']) trees.set(series, await debianTree(series));

/** kmod puts a function before what its library says, kmod 30 its source file too. */
const withoutFunction = (run: Run): Run => ({ ...run, stderr: run.stderr.replaceAll(/^libkmod: ERROR(?: \S+ |: )\w+(?:\(\))?: /gm, 'modprobe: ERROR: ') });

/** Ours is asked to be strict: docs/deviations.md lists what differs otherwise. */
function compareWith(kmod: Kmod, args: readonly string[]): void {
  expect({ args, ...runOurs('modprobe', ['--strict-kmod', ...args]) }).toEqual({ args, ...withoutFunction(kmod.run('modprobe', args)) });
}

const CASES = [kmod30, kmod34].flatMap((kmod) => [...trees].map(([series, tree]) => ({ name: kmod.name, kmod, series, tree })))
  .map((one, index) => ({ ...one, seed: 23 + index }));

describe.each(CASES)('beside $name on the tree of $series', ({ kmod, tree, seed }) => {
  const reason = kmod.reason ?? (typeof tree === 'string' ? tree : undefined);
  const compare = (args: readonly string[]) => compareWith(kmod, args);
  const check = (name: string, body: (tree: Tree) => void) => it(name, (context) => {
    if (reason !== undefined || typeof tree === 'string') return context.skip(reason);
    body(tree);
  });

  check('-D of every module', ({ root, release, directory }) => {
    const modules = readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => moduleNameOfPath(line.slice(0, line.indexOf(':'))));
    expect(modules.length).toBeGreaterThan(3000);
    for (let at = 0; at < modules.length; at += BATCH) {
      compare(['-d', root, '-S', release, '-a', '-D', ...modules.slice(at, at + BATCH)]);
    }
  });

  check('-R of thousands of aliases: instances of patterns, near misses and nonsense', ({ root, release, directory }) => {
    const names = aliasProbes(directory, 4000);
    for (let at = 0; at < names.length; at += BATCH) compare(['-d', root, '-S', release, '-a', '-R', ...names.slice(at, at + BATCH)]);
  });

  check('without binary indexes, from the text files', ({ root, release }) => {
    const probes = ['xfs', 'fs-xfs', 'pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00', 'usb-storage', 'nosuch'];
    // What kmod answers from the .bin files, ours must answer from the text files of the same tree.
    const texts = join(scratch, release, 'lib/modules', release);
    runShell(`mkdir -p '${texts}' && cp -a '${root}/lib/modules/${release}'/modules.* '${texts}' && rm '${texts}'/*.bin`);
    const strip = (run: Run, from: string) => JSON.stringify(run).replaceAll(from, 'ROOT');
    for (const args of [['-a', '-R', ...probes], ['-a', '-D', ...probes]]) {
      expect(strip(runOurs('modprobe', ['--strict-kmod', '-d', join(scratch, release), '-S', release, ...args]), join(scratch, release)))
        .toBe(strip(kmod.run('modprobe', ['-d', root, '-S', release, ...args]), root));
    }
  });

  check('configurations, options and errors', ({ root, release }) => {
    const file = join(scratch, 'case.conf');
    writeFileSync(file, CONFIG);
    for (const line of COMMAND_LINES) compare(['-C', file, '-d', root, '-S', release, ...line.split(' ').filter(Boolean)]);
  });

  check('directories as they are typed', ({ root, release }) => {
    const [here, base] = [process.cwd(), basename(root)];
    mkdirSync(join(scratch, 'typed.d/nested.conf'), { recursive: true });
    try {
      process.chdir(dirname(root));
      for (const typed of [base, `./${base}`, `${base}/`, `./${base}/../${base}`, `${root}//`]) {
        compare(['-d', typed, '-S', release, '-a', '-D', 'xfs', 'nosuch']);
        compare(['-d', typed, '-S', release, '-n', '-v', 'dummy']);
      }
      const nested = kmod.run('modprobe', ['-C', `${scratch}/typed.d/`, '-d', root, '-S', release, '-R', 'xfs']);
      expect(nested.stderr).toContain(`${scratch}/typed.d//nested.conf\n`);
      expect(runOurs('modprobe', ['-C', `${scratch}/typed.d/`, '-d', root, '-S', release, '-R', 'xfs']).stderr).toContain(`${scratch}/typed.d//nested.conf\n`);
    } finally {
      process.chdir(here);
    }
  });

  check('-c, the configuration and the alias indexes', ({ root, release }) => {
    const file = join(scratch, 'case.conf');
    writeFileSync(file, CONFIG);
    compare(['-C', file, '-d', root, '-S', release, '-c']);
  });

  check('random configurations', ({ root, release, directory }) => {
    const next = random(seed);
    const modules = readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => moduleNameOfPath(line.slice(0, line.indexOf(':'))));
    for (let round = 0; round < 8; round++) {
      const { config, names } = randomConfig(modules, next);
      const file = join(scratch, `random-${round}.conf`);
      writeFileSync(file, config);
      const common = ['-C', file, '-d', root, '-S', release];
      compare([...common, '-a', '-D', ...names]);
      compare([...common, '-a', '-R', ...names]);
      compare([...common, '-a', '-b', '-n', '-v', ...names]);
      // kmod ends by a signal where softdeps and remove commands lead in a circle.
      const removal = [...common, '-a', '-r', '-n', '-v', ...names];
      if (kmod.run('modprobe', removal).status !== null) compare(removal);
      compare([...common, '-D', '-i', names[0] ?? '', 'p=1', 'q']);
    }
  });

  check('symbol versions and exports of modules', ({ directory }) => {
    // For a module without any, kmod 30 has the text of another errno.
    const compareNewest = (args: readonly string[]) => compareWith({ ...kmod, run: (tool, words) => {
      const theirs = kmod.run(tool, words);
      return { ...theirs, stderr: theirs.stderr.replace(/^(modprobe: FATAL: could not get \w+ of .*): No such file or directory$/m, '$1: No data available') };
    } }, args);
    const paths = readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => join(directory, line.slice(0, line.indexOf(':'))));
    for (const path of paths.filter((_, index) => index % 500 === 0)) {
      compareNewest(['--show-exports', path]);
      compareNewest(['--show-modversions', path]);
    }
    for (const path of ['/etc/passwd', 'nosuch']) compareNewest(['--show-exports', path]);
  });
});

describe('modprobe beside kmod 34, files as operands', () => {
  const tree = trees.get('6.1');
  const reason = kmod34.reason ?? (typeof tree === 'object' ? undefined : tree);
  it.for([
    '-D ./dummy.ko', '-D ./other-name.ko p=a b=c', '-D ./nosuch.ko', '-q -D ./nosuch.ko', '-a -D ./nosuch.ko dummy', '-D ./', '-D /', '-D ./sub', '-D ./a.b.ko x=1', '-D dummy.ko', '-D a/b', '-i -D ./xfs.ko',
    '-n -v ./dummy.ko', '-a -D dummy ./dummy.ko ./sub/dummy.ko xfs', '-R ./dummy.ko', '-R ./nosuch.ko', '-a -R ./a.b.ko ./nosuch.ko xfs', '-r ./dummy.ko', '-r -n -v ./nosuch.ko', '--show-exports ./xfs.ko', '-D ./dummy', '-D ../nosuch',
  ])('%s', (line, context) => {
    if (reason !== undefined || typeof tree !== 'object') return context.skip(reason);
    const [here, directory] = [process.cwd(), join(scratch, 'files')];
    mkdirSync(join(directory, 'sub'), { recursive: true });
    for (const [name, module] of [['dummy', 'drivers/net/dummy'], ['other-name', 'drivers/net/dummy'], ['xfs', 'fs/xfs/xfs'], ['a.b', 'fs/xfs/xfs'], ['sub/dummy', 'drivers/net/dummy']]) {
      copyFileSync(join(tree.directory, 'kernel', `${module}.ko`), join(directory, `${name}.ko`));
    }
    try {
      process.chdir(directory);
      compareWith(kmod34, ['-d', tree.root, '-S', tree.release, ...line.split(' ')]);
    } finally {
      process.chdir(here);
    }
  });
});

const CONFIG = `options dummy numdummies=3
options foo-x a=1
alias myfs xfs
alias al-* dummy
blacklist dummy
install ifb /bin/echo hi $CMDLINE_OPTS; echo n=$MODPROBE_MODULE
options ifb numifbs=2
softdep btrfs pre: xfs post: dummy
install btrfs /bin/false
remove dummy /bin/echo removing
softdep dummy pre: ifb
alias two dummy
alias two ifb
bad line here
options loop max_loop=\\
4
`;

const COMMAND_LINES = [
  '-D xfs', '-n -v xfs', '-D dummy', '-D dummy a=1 b=2', '-D -i dummy', '-D ifb x=y', '-D btrfs', '-D myfs', '-D al-1', '-D al_1',
  '-R al-x', '-R two', '-D two', '-D -b dummy', '-b -n dummy', '-n al-1', '-n nosuch', '-a -nv nosuch xfs', '-r nosuch', '-r -n xfs',
  '-r xfs', '-r --first-time xfs', '-r -a nosuch xfs', '-D a]b', '-R symbol:crc32c', '-D symbol:crc32c', '-D ext4 foo', '-D loop', '-D unix',
  '-n -v unix', '--first-time -n unix', '--first-time unix', '-r unix', '', '-Z', '--nosuch', '--dir', '-C', '--res xfs', '--show-d xfs',
  '-D fs-xfs', '-R fs-xfs', '-D -S', '--first=1 x', '-D -- xfs', 'xfs -D', '-nv ifb', '-R crc32c', '-D crc32c', '-r dummy', '-r two',
  '-rv two', '-R nosuch', '-a', '-D snd-pcm', '-D snd_pcm', '-D kvm-intel', '-R platform:rtc_cmos', '-D platform:rtc_cmos',
];

/** A modprobe.d file with every directive, good and bad, and names that it concerns. */
function randomConfig(modules: readonly string[], next: (below: number) => number): { config: string; names: string[] } {
  const chosen = Array.from({ length: 12 }, () => modules[next(modules.length)] ?? '');
  const pick = () => chosen[next(chosen.length)] ?? '';
  const dashed = (name: string) => (next(2) ? name : name.replaceAll('_', '-'));
  const pattern = (name: string) => (next(4) ? dashed(name) : `${name.slice(0, 1 + next(name.length))}*`);
  const lines = Array.from({ length: 8 + next(20) }, () => {
    switch (next(9)) {
      case 0: return `alias ${next(2) ? 'my-' : ''}${pattern(pick())} ${dashed(pick())}`;
      case 1: return `options ${dashed(pick())} p${next(3)}=${next(9)}  q="a b"`;
      case 2: return `blacklist ${dashed(pick())}`;
      case 3: return `install ${pattern(pick())} /bin/true $CMDLINE_OPTS`;
      case 4: return `softdep ${pattern(pick())} pre: ${dashed(pick())} ${pick()} post: ${dashed(pick())}`;
      case 5: return `softdep ${dashed(pick())} post: ${pick()}`;
      case 6: return `remove ${dashed(pick())} /bin/true`;
      case 7: return ['# comment', '', '  \\', 'nonsense here', 'alias broken[ x', 'options', 'softdep x'][next(7)] ?? '';
      default: return `options my-${pick()} r=1 \\\n  s=2`;
    }
  });
  return { config: `${lines.join('\n')}\n`, names: [...chosen.map(dashed), ...chosen.map((name) => `my-${name}`), 'nosuch', 'my-nosuch'] };
}

/** Names made from the tree's own alias patterns, always the same ones. */
function aliasProbes(directory: string, count: number): string[] {
  const patterns = readFileSync(join(directory, 'modules.alias'), 'latin1').split('\n').filter((line) => line.startsWith('alias ')).map((line) => line.split(' ')[1] ?? '');
  const next = random(7);
  const pick = (letters: string) => letters[next(letters.length)] ?? '';
  const probes: string[] = [];
  while (probes.length < count) {
    const pattern = patterns[next(patterns.length)] ?? '';
    const name = pattern
      .replaceAll(/\[(.)[^\]]*\]/g, '$1')
      .replaceAll('?', () => pick('0aZ'))
      .replaceAll('*', () => Array.from({ length: next(6) }, () => pick('0123456789ABCDEFsvd:')).join(''));
    // Every third is one letter off: a near miss, or a hit of a looser pattern.
    const at = next(name.length);
    const probe = probes.length % 3 === 2 ? name.slice(0, at) + pick('x0-_[]*') + name.slice(at + 1) : name;
    if (!/^(?:-|\/|\.\/)/.test(probe)) probes.push(probe);
  }
  return probes;
}

function runShell(command: string): void {
  const { status, stderr } = run('/bin/sh', ['-c', command]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
}
