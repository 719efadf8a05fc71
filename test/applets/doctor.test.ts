// doctor on fixture roots: its text, its JSON, its exit codes.

import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { doctor } from '../../src/applets/doctor.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { runApplet } from './run-applet.ts';

const RELEASE = '6.12.0-test';
const TREE = `lib/modules/${RELEASE}`;
const FILES = {
  [`${TREE}/modules.dep`]: 'kernel/x.ko:\nkernel/bad.ko: kernel/x.ko\n',
  [`${TREE}/modules.alias`]: 'alias any-* x\nalias any-* bad\n',
  [`${TREE}/kernel/x.ko`]: buildModule({ modinfo: [`vermagic=${RELEASE} SMP `] }),
  [`${TREE}/kernel/bad.ko`]: 'bad',
  'etc/modprobe.d/a.conf': 'blacklist bad\n',
  'other.conf': 'blacklist x\n',
};

function root(files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const directory = fixtureRoot({ ...FILES, ...files });
  for (const name of ['x', 'bad']) utimesSync(join(directory, TREE, `kernel/${name}.ko`), new Date(0), new Date(0));
  return directory;
}

const run = async (argv: readonly string[], directory: string) => {
  const ran = await runApplet(doctor, argv, { root: directory });
  return { ...ran, stdout: ran.stdout.replaceAll(directory, '') };
};

describe('doctor', () => {
  it('prints the verdict, what shows it, and commands', async () => {
    expect(await run(['bad'], root())).toEqual({ status: 1, stderr: '', stdout: [
      'bad is blacklisted by /etc/modprobe.d/a.conf line 1: no device and no alias loads it, its name does',
      'also: the file of bad is damaged',
      `  /${TREE}/kernel/bad.ko: at offset 0: expected the ELF magic 7f 45 4c 46, found 62 61 64`,
      'try: modprobe bad', `try: ls -l /${TREE}/kernel/bad.ko`, '',
    ].join('\n') });
  });

  it('succeeds where nothing is wrong', async () => {
    expect(await run(['x'], root())).toEqual({ status: 0, stderr: '', stdout: 'x is not loaded, and nothing that can be seen is in its way\ntry: modprobe x\n' });
    expect(await run(['x'], root({ 'sys/module/x/initstate': 'live\n' }))).toEqual({ status: 0, stderr: '', stdout: 'x is loaded\n' });
  });

  it('looks into all modules of an alias, and fails for one of several names', async () => {
    expect((await run(['any-1'], root())).stdout.split('\n')[0]).toBe(
      'bad is blacklisted by /etc/modprobe.d/a.conf line 1: no device and no alias loads it, its name does; any-1 is an alias of it');
    expect((await run(['x', 'nosuch', 'x'], root())).status).toBe(1);
  });

  it('takes other trees, configurations and machines', async () => {
    const directory = root({ 'proc/sys/kernel/osrelease': `${RELEASE}\n` });
    const empty = fixtureRoot({});
    expect((await runApplet(doctor, ['-d', directory, 'x'], { root: empty })).stdout).toContain(`try: modprobe -d ${directory} x\n`);
    expect((await runApplet(doctor, ['-C', join(directory, 'other.conf'), '-S', RELEASE, 'x'], { root: directory })).stdout).toMatch(/^x is blacklisted by .*other\.conf line 1/);
    expect((await runApplet(doctor, ['--root', directory, 'x'], { root: empty, release: '1.0' })).status).toBe(0);
    expect((await run(['-S', '1.0', 'x'], directory)).stdout).toMatch(/^there are no modules of kernel 1\.0: /);
  });

  it('prints an object a name with --json', async () => {
    const directory = root();
    const { stdout, status } = await run(['--json', 'x', 'nosuch'], directory);
    expect([status, ...stdout.trim().split('\n').map((line) => JSON.parse(line) as object)]).toEqual([1, {
      schema: 1, kind: 'diagnosis', target: 'x', release: RELEASE, tree: `/${TREE}`, modules: ['x'], status: 'loadable',
      verdict: 'x is not loaded, and nothing that can be seen is in its way', findings: [], propose: 'modprobe x',
    }, expect.objectContaining({ schema: 1, kind: 'diagnosis', target: 'nosuch', modules: [], status: 'unknown', findings: [expect.objectContaining({ kind: 'unknown-name' })] })]);
  });

  it('lets no escape sequence through', async () => {
    expect((await run(['\u001b[31m'], root())).stdout).not.toContain('\u001b');
  });

  it('wants a name', async () => {
    expect(await run([], root())).toEqual({ status: 1, stdout: '', stderr: 'doctor: ERROR: missing name of a module. See -h.\n' });
    expect((await run(['-h'], root())).stdout).toContain('Exit status: 0 when');
    expect((await run(['--nosuch'], root())).stderr).toBe("doctor: unrecognized option '--nosuch'\n");
  });
});
