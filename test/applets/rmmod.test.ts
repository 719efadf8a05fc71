// rmmod on a fixture root with a fake kernel.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { rmmod } from '../../src/applets/rmmod.ts';
import { errnoByName, O_NONBLOCK, O_TRUNC } from '../../src/system.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const live = (module: string, refcnt: string | undefined, ...holders: string[]) => ({
  [`sys/module/${module}/initstate`]: 'live\n',
  ...(refcnt === undefined ? {} : { [`sys/module/${module}/refcnt`]: `${refcnt}\n` }),
  ...Object.fromEntries(holders.map((holder) => [`sys/module/${module}/holders/${holder}`, ''])),
});

const FILES = {
  ...live('snd_pcm', '0'), ...live('xfs', '0'), ...live('libcrc32c', '1', 'xfs'), ...live('busy', '3'), ...live('forever', undefined),
  'lib/modules/6.12.0-test/modules.builtin': 'kernel/fs/ext4/ext4.ko\n',
  'files/snd-pcm.ko.xz': '',
};

const deleted = (module: string, flags = O_NONBLOCK) => ({ call: 'deleteModule', module, flags });

describe('rmmod', () => {
  it('removes by name and by file', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative();
    expect(await runApplet(rmmod, ['xfs', join(root, 'files/snd-pcm.ko.xz'), 'snd-pcm'], { root, native })).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(native.calls).toEqual([deleted('xfs'), deleted('snd_pcm'), deleted('snd_pcm')]);
  });

  it('says why a module stays, and goes on with the next', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative();
    expect(await runApplet(rmmod, ['ext4', 'nosuch', 'libcrc32c', 'busy', 'forever', 'a/b', 'xfs.ko'], { root, native })).toEqual({
      status: 1, stdout: '', stderr: [
        'rmmod: ERROR: Module ext4 is builtin.', 'rmmod: ERROR: Module nosuch is not currently loaded', 'rmmod: ERROR: Module libcrc32c is in use by: xfs',
        'rmmod: ERROR: Module busy is in use', 'rmmod: ERROR: Module unloading is not supported', 'rmmod: ERROR: Module a/b is not currently loaded', '',
      ].join('\n'),
    });
    expect(native.calls).toEqual([deleted('xfs')]);
  });

  it('asks nothing before it removes with force', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative({ answers: [{ call: 'deleteModule', module: 'nosuch', errno: errnoByName('ENOENT') ?? 0 }] });
    expect(await runApplet(rmmod, ['-f', 'libcrc32c', 'nosuch'], { root, native })).toEqual({
      status: 1, stdout: '',
      stderr: "rmmod: ERROR: could not remove 'nosuch': No such file or directory\nrmmod: ERROR: could not remove module nosuch: No such file or directory\n",
    });
    expect(native.calls).toEqual([deleted('libcrc32c', O_NONBLOCK | O_TRUNC), deleted('nosuch', O_NONBLOCK | O_TRUNC)]);
  });

  it('does not mind when another was quicker', async () => {
    const native = openFakeNative({ answers: [{ call: 'deleteModule', errno: errnoByName('ENOENT') ?? 0 }] });
    expect(await runApplet(rmmod, ['xfs'], { root: fixtureRoot(FILES), native })).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('gives the reason of the kernel', async () => {
    const native = openFakeNative({ answers: [{ call: 'deleteModule', errno: errnoByName('EPERM') ?? 0 }] });
    expect((await runApplet(rmmod, ['xfs'], { root: fixtureRoot(FILES), native })).stderr).toBe(
      "rmmod: ERROR: could not remove 'xfs': Operation not permitted\nrmmod: ERROR: could not remove module xfs: Operation not permitted\n",
    );
  });

  it('prints what came of each with --json', async () => {
    const { status, stdout } = await runApplet(rmmod, ['--json', 'xfs', 'libcrc32c'], { root: fixtureRoot(FILES) });
    expect([status, ...stdout.trim().split('\n').map((line) => JSON.parse(line))]).toEqual([
      1, { schema: 1, kind: 'removal', target: 'xfs', module: 'xfs', outcome: 'removed', holders: [] }, { schema: 1, kind: 'removal', target: 'libcrc32c', module: 'libcrc32c', outcome: 'in-use', holders: ['xfs'] },
    ]);
  });

  it('says what it removed with -v', async () => {
    expect((await runApplet(rmmod, ['-v', 'xfs'], { root: fixtureRoot(FILES) })).stderr).toBe('rmmod: INFO: removed module xfs\n');
  });

  it('tells syslog with -s, and stderr where nobody listens', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative();
    expect((await runApplet(rmmod, ['-s', 'nosuch'], { root, native })).stderr).toBe('');
    expect(native.calls).toEqual([{ call: 'sendUnixDatagram', path: join(root, 'dev/log'), text: '<27>rmmod: ERROR: Module nosuch is not currently loaded' }]);
    const deaf = openFakeNative({ answers: [{ call: 'sendUnixDatagram', errno: errnoByName('ENOENT') ?? 0 }] });
    expect((await runApplet(rmmod, ['-s', 'nosuch'], { root, native: deaf })).stderr).toBe('rmmod: ERROR: Module nosuch is not currently loaded\n');
  });

  it('wants a name', async () => {
    expect(await runApplet(rmmod, [], { root: fixtureRoot({}) })).toEqual({ status: 1, stdout: '', stderr: 'rmmod: ERROR: missing module name.\n' });
  });
});
