// The applet lint on fixture roots: its text, its JSON and its exit codes.

import { describe, expect, it } from 'vitest';

import { lint } from '../../src/applets/lint.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { runApplet } from './run-applet.ts';

const TREE = 'lib/modules/6.12.0-test';
const FILES = {
  [`${TREE}/modules.dep`]: 'kernel/xfs.ko: kernel/crc.ko\nkernel/crc.ko:\n',
  [`${TREE}/kernel/xfs.ko`]: buildModule({ modinfo: ['parmtype=debug:int'] }),
  'etc/modprobe.d/b.conf': 'blacklist crc\noptions xfs debgu=1\n',
  'etc/modprobe.d/a.conf': 'blacklist xfs\nbogus \u001b[31m\n',
};
const BYPASSED = 'blacklist only stops loads by alias: crc is still loaded with xfs (needs it), and by `modprobe crc`; '
  + 'to refuse it always: `#tsmodprobe: deny crc`, or for kmod too `install crc /bin/false`';
const HARMLESS = 'blacklist only stops loads by alias: no other module needs xfs, but `modprobe NAME` still loads it; '
  + 'to refuse it always: `#tsmodprobe: deny xfs`, or for kmod too `install xfs /bin/false`';

describe('lint', () => {
  it('prints findings by file and line, and counts them', async () => {
    const root = fixtureRoot(FILES);
    expect(await runApplet(lint, ['--root', root], { root: '/nowhere' })).toEqual({ status: 1, stderr: '', stdout: [
      `${root}/etc/modprobe.d/a.conf:1: note: ${HARMLESS}`,
      `${root}/etc/modprobe.d/a.conf:2: error: line skipped: unknown directive 'bogus'`,
      `${root}/etc/modprobe.d/b.conf:1: warning: ${BYPASSED}`,
      `${root}/etc/modprobe.d/b.conf:2: error: no effect: xfs has no parameter debgu (did you mean debug?)`,
      '2 files read: 2 errors, 1 warning, 1 note', '',
    ].join('\n') });
  });

  it('prints one object with --json', async () => {
    const root = fixtureRoot(FILES);
    const file = `${root}/etc/modprobe.d/b.conf`;
    const { status, stdout } = await runApplet(lint, ['--json', '-C', file], { root });
    expect([status, JSON.parse(stdout)]).toEqual([1, { schema: 1, kind: 'lint', release: '6.12.0-test', files: [file], findings: [
      { severity: 'warning', code: 'blacklist-bypassed', file, line: 1, message: BYPASSED },
      { severity: 'error', code: 'no-such-parameter', file, line: 2, message: 'no effect: xfs has no parameter debgu (did you mean debug?)' },
    ] }]);
  });

  it('reads depmod.d only where -C does not name files, or --depmod-config does', async () => {
    const root = fixtureRoot({ ...FILES, 'good.conf': 'options xfs debug=1\n', 'etc/depmod.d/d.conf': 'serach x\n' });
    const said = "error: line skipped: unknown directive 'serach' (did you mean search?)";
    expect((await runApplet(lint, [], { root })).stdout).toContain(`${root}/etc/depmod.d/d.conf:1: ${said}\n`);
    expect(await runApplet(lint, ['-C', `${root}/good.conf`], { root })).toEqual({ status: 0, stderr: '', stdout: '1 file read: nothing to say\n' });
    expect((await runApplet(lint, ['-C', `${root}/good.conf`, '--depmod-config', `${root}/etc/depmod.d`], { root })).stdout)
      .toBe(`${root}/etc/depmod.d/d.conf:1: ${said}\n2 files read: 1 error, 0 warnings, 0 notes\n`);
  });

  it('ends with 0 where there is nothing worse than notes', async () => {
    const root = fixtureRoot({ ...FILES, 'good.conf': 'options xfs debug=1\n', 'noted/n.conf': 'blacklist xfs\n' });
    expect(await runApplet(lint, ['-C', `${root}/good.conf`], { root })).toEqual({ status: 0, stderr: '', stdout: '1 file read: nothing to say\n' });
    expect(await runApplet(lint, ['-C', `${root}/noted`], { root })).toEqual({
      status: 0, stderr: '', stdout: `${root}/noted/n.conf:1: note: ${HARMLESS}\n1 file read: 0 errors, 0 warnings, 1 note\n`,
    });
    expect(await runApplet(lint, ['-C', `${root}/absent`], { root })).toMatchObject({ status: 1, stdout: `${root}/absent: warning: no such file or directory\n0 files read: 0 errors, 1 warning, 0 notes\n` });
  });

  it('finds modules with -d and -S, and the configuration where it was', async () => {
    const root = fixtureRoot({ ...FILES, 'other/lib/modules/1.2/modules.dep': 'kernel/crc.ko:\n', 'etc/modprobe.d/a.conf': '' });
    expect((await runApplet(lint, ['-d', `${root}/other/`, '-S', '1.2'], { root })).stdout).toBe([
      `${root}/etc/modprobe.d/b.conf:1: note: ${HARMLESS.replaceAll('xfs', 'crc')}`,
      `${root}/etc/modprobe.d/b.conf:2: warning: no effect: there is no module xfs`,
      '2 files read: 0 errors, 1 warning, 1 note', '',
    ].join('\n'));
  });

  it('shows no control characters of files', async () => {
    const root = fixtureRoot({ ...FILES, 'x.conf': 'blacklist a\u001b[31mb\n\u001bfoo x\n' });
    expect((await runApplet(lint, ['-C', `${root}/x.conf`], { root })).stdout).not.toMatch(/[^\n\P{Cc}]/u);
  });

  it('takes no operands', async () => {
    expect(await runApplet(lint, ['x'], { root: '/nowhere' })).toEqual({ status: 1, stdout: '', stderr: "lint: unexpected operand 'x' (a file is named with -C)\n" });
    expect(await runApplet(lint, ['--help'], { root: '/nowhere' })).toMatchObject({ status: 0, stdout: expect.stringContaining('Exit status: 0 when there is nothing worse than notes, 1 otherwise.') });
  });
});
