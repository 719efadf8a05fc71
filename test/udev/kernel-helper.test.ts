// kernel.modprobe becomes ours and is set back, in a directory that looks like /.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { UsageError } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import { askHelper, helperStatus, installHelper, removeHelper } from '../../src/udev/kernel-helper.ts';
import { fixtureRoot } from '../fixture-root.ts';

const COMMAND = ['/usr/bin/node', '/opt/it\'s/tskmod.cjs', 'modprobe'];
/** Of ELF headers: where e_machine is, and AArch64 and x86-64 there. */
const E_MACHINE = 18;
const [EM_AARCH64, EM_X86_64] = [183, 62];

function machine(files: Readonly<Record<string, string>> = {}) {
  const root = fixtureRoot({ 'proc/sys/kernel/modprobe': '/sbin/modprobe\n', ...files });
  return { root, system: openSystem({ root }), text: (path: string) => readFileSync(join(root, path), 'utf8') };
}

describe('the kernel\'s helper', () => {
  it('is installed and set back; installed twice it still knows what was there before', () => {
    const { root, system, text } = machine();
    const program = join(root, 'helper');
    writeFileSync(program, '#!/bin/sh\nexit 3\n');
    chmodSync(program, 0o755);
    expect(helperStatus(system)).toEqual({ program: '/sbin/modprobe', isOurs: false, command: [] });
    for (let time = 0; time < 2; time++) expect(installHelper(system, { program, command: COMMAND })).toBe(program);
    expect([text('proc/sys/kernel/modprobe'), text('etc/tsmodprobe/helper.conf')]).toEqual([`${program}\n`, `${COMMAND.join('\n')}\n`]);
    expect(helperStatus(system)).toEqual({
      program, isOurs: true, answer: 'no-daemon', command: COMMAND, previous: '/sbin/modprobe', sysctlFile: join(root, 'etc/sysctl.d/60-tsmodprobe.conf'),
    });
    expect(removeHelper(system)).toEqual({ program: '/sbin/modprobe', wasOurs: true });
    expect([text('proc/sys/kernel/modprobe'), existsSync(join(root, 'etc/sysctl.d/60-tsmodprobe.conf')), existsSync(join(root, 'etc/tsmodprobe/helper.conf'))]).toEqual(['/sbin/modprobe\n', false, false]);
    expect(removeHelper(system)).toEqual({ program: '/sbin/modprobe', wasOurs: false });
  });

  it('is a script where no compiled one runs', () => {
    const { root, system, text } = machine();
    const script = installHelper(system, { program: undefined, command: ['/bin/sh', '-c', `printf '%s\\n' "$@" > '${root}/words'`, 'sh'] });
    expect(script).toBe(join(root, 'etc/tsmodprobe/helper.sh'));
    expect(askHelper(script)).toBe('no-daemon');
    expect(spawnSync(script, ['-q', '--', 'fs-x']).status).toBe(0);
    expect(text('words')).toBe('-q\n--\nfs-x\n');
  });

  it('is not taken from another processor', () => {
    const { root } = machine();
    const program = join(root, 'foreign');
    const node = readFileSync(process.execPath).subarray(0, 4096);
    node.writeUInt16LE(process.arch === 'arm64' ? EM_X86_64 : EM_AARCH64, E_MACHINE);
    writeFileSync(program, node);
    chmodSync(program, 0o755);
    expect(askHelper(program)).toBe('fails');
    expect(askHelper(join(root, 'absent'))).toBe('fails');
  });

  it('refuses what the kernel or helper.conf cannot hold', () => {
    const { root, system } = machine();
    for (const command of [['node'], [], Array.from({ length: 9 }, () => '/x'), ['/x', 'a\nb'], ['/x', ''], ['/x', 'y'.repeat(4096)]]) {
      expect(() => installHelper(system, { program: undefined, command })).toThrow(UsageError);
    }
    for (const program of ['/with blank', `/${'x'.repeat(255)}`]) expect(() => installHelper(system, { program, command: COMMAND })).toThrow(UsageError);
    expect(existsSync(join(root, 'etc'))).toBe(false);
  });
});
