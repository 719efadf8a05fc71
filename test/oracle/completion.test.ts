// Completions in the real shells: lines are typed into bash and zsh on a terminal of their own, and fish is asked.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { buildModule } from '../kmod/elf-builder.ts';
import { runOurs } from './oracle.ts';

const TOP = join(import.meta.dirname, '../..');
const RELEASE = '1.2.3-complete';
const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-complete-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const directory = join(root, 'lib/modules', RELEASE);
mkdirSync(join(directory, 'kernel'), { recursive: true });
for (const name of ['zeta_one', 'zeta_two', 'other']) {
  writeFileSync(join(directory, 'kernel', `${name}.ko`), buildModule({ modinfo: ['license=GPL', 'parm=width:of it', 'parmtype=width:int'] }));
}
writeFileSync(join(directory, 'modules.order'), '');
writeFileSync(join(directory, 'modules.builtin'), '');
runOurs('depmod', ['--no-cache', '-b', root, RELEASE]);
mkdirSync(join(root, 'files/some-directory'), { recursive: true });
writeFileSync(join(root, 'files/some-file'), '');

// A name that leads to us, and one that leads elsewhere.
const bin = join(root, 'bin');
mkdirSync(bin);
for (const name of ['tskmod', 'tsmodprobe', 'tsudevadm', 'tsmodinfo', 'modprobe']) symlinkSync(join(TOP, 'dist/tskmod.cjs'), join(bin, name));
writeFileSync(join(bin, 'lsmod'), '#!/bin/sh\n');
chmodSync(join(bin, 'lsmod'), 0o755);
const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: root, TERM: 'dumb', LC_ALL: 'C.UTF-8', ZDOTDIR: root };
const where = `-d ${root} -S ${RELEASE}`;
for (const shell of ['bash', 'zsh', 'fish']) writeFileSync(join(root, `complete.${shell}`), runOurs('tskmod', ['completion', shell]).stdout);

/** What was typed, and the line that a tab makes of it. */
const LINES: readonly (readonly [typed: string, line: string])[] = [
  ['tskmod modi', 'tskmod modinfo '],
  ['tskmod udevadm test-b', 'tskmod udevadm test-builtin '],
  ['tsmodprobe --dry', 'tsmodprobe --dry-run '],
  ['tsmodprobe --dirn', 'tsmodprobe --dirname='],
  [`tsmodprobe ${where} zet`, `tsmodprobe ${where} zeta_`],
  [`tsmodprobe ${where} oth`, `tsmodprobe ${where} other `],
  [`modprobe ${where} oth`, `modprobe ${where} other `],
  [`tsmodprobe ${where} other wid`, `tsmodprobe ${where} other width=`],
  [`tsmodinfo --basedir=${root} --set-version ${RELEASE} oth`, `tsmodinfo --basedir=${root} --set-version ${RELEASE} other `],
  [`tsmodprobe -d ${root} --set-version=1.2`, `tsmodprobe -d ${root} --set-version=${RELEASE} `],
  [`tsmodprobe --config=${root}/files/some-f`, `tsmodprobe --config=${root}/files/some-file `],
  [`tsmodprobe -d ${root}/files/some-`, `tsmodprobe -d ${root}/files/some-directory/`],
  ['tsudevadm trigger --action=rem', 'tsudevadm trigger --action=remove '],
  ['tsudevadm info --query=sym', 'tsudevadm info --query=symlink '],
  ['tsudevadm info /dev/nul', 'tsudevadm info /dev/null '],
  ['tsudevadm test-builtin path', 'tsudevadm test-builtin path_id '],
];

/** Types a line and a tab into a shell, and has a key write the line to a file: what the shell has then is what a person sees. */
function typed(start: string, lines: readonly string[]): string[] {
  const script = join(root, 'type.zsh');
  const dump = join(root, 'dump');
  writeFileSync(script, `zmodload zsh/zpty
zpty s ${JSON.stringify(start)}
local out
zpty -r s out '*READY*'
for line in "$@"; do
  rm -f ${dump}
  zpty -w -n s "$line"$'\\t\\C-x\\C-p'
  zpty -r s out '*<<DUMPED>>*' || exit 3
  print -r -- "$(<${dump})|"
  zpty -w -n s $'\\C-u'
done
zpty -d s
`);
  const { status, stdout, stderr } = spawnSync('zsh', ['-f', script, ...lines], { env, encoding: 'utf8', cwd: join(root, 'files'), timeout: 300_000 });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.split('|\n').slice(0, -1);
}

describe('bash', () => {
  it('completes typed lines', () => {
    writeFileSync(join(root, 'bashrc'), `PS1=; bind 'set bell-style none'; source ${root}/complete.bash
dump() { printf %s "$READLINE_LINE" > ${root}/dump; echo '<<DUMP''ED>>'; }
bind -x '"\\C-x\\C-p": dump'; echo READY\n`);
    expect(typed(`bash --rcfile ${root}/bashrc -i`, LINES.map(([line]) => line))).toEqual(LINES.map(([, line]) => line));
  });

  it('registers our names, and plain ones only where they lead to us', () => {
    const { stdout } = spawnSync('bash', ['--norc', '-c', `source ${root}/complete.bash; complete -p`], { env, encoding: 'utf8' });
    const names = stdout.trim().split('\n').map((line) => line.split(' ').at(-1));
    expect(names).toContain('tsudevd');
    expect(names.filter((name) => !name?.startsWith('ts'))).toEqual(['modprobe']);
  });
});

describe('zsh', () => {
  mkdirSync(join(root, 'functions'));
  symlinkSync(join(root, 'complete.zsh'), join(root, 'functions/_tskmod'));

  it.each([
    ['that was read', 'compinit -u -D; source complete.zsh'],
    ['of a directory of $fpath', 'fpath=($HOME/functions $fpath); compinit -u -D'],
  ])('completes typed lines by a script %s', (_, start) => {
    writeFileSync(join(root, '.zshrc'), `PS1=; unsetopt beep prompt_cr prompt_sp; autoload -U compinit; cd ${root}; ${start}; cd files
dump() { print -rn -- "$BUFFER" > ${root}/dump; print '<<DUMP''ED>>' }
zle -N dump; bindkey '^X^P' dump; bindkey '^U' kill-whole-line; print READY\n`);
    // A file of $fpath names our own commands; the plain ones are known from its first use on.
    expect(typed('zsh -d -i', LINES.map(([line]) => line))).toEqual(LINES.map(([, line]) => line));
  });
});

describe('fish', () => {
  it.each(LINES.map(([line, whole]) => [line, whole]))('%s', (line, whole) => {
    const candidates = fish(line);
    const before = line.slice(0, line.lastIndexOf(' ') + 1);
    // fish offers the words; the line is what they have in common.
    expect({ line: before + commonBeginning(candidates) }).toEqual({ line: whole.trimEnd() });
  });

  it('shows what options do', () => {
    const { stdout } = spawnSync('fish', ['--no-config', '-c', `source ${root}/complete.fish; complete -C 'tsmodprobe --dry'`], { env, encoding: 'utf8' });
    expect(stdout).toBe('--dry-run\tprint what would be done, and do nothing\n');
  });
});

function fish(line: string): string[] {
  const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', `source ${root}/complete.fish; complete -C $argv[1]`, line], { env, encoding: 'utf8', cwd: join(root, 'files') });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((each) => each !== '').map((each) => each.split('\t')[0] ?? '');
}

function commonBeginning(words: readonly string[]): string {
  const [first = '', ...others] = words;
  let length = first.length;
  for (const word of others) while (!word.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}
