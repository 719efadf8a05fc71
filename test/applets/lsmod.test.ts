// lsmod on fixture roots. The lines are those of kmod 30 in a guest with the same modules.

import { describe, expect, it } from 'vitest';

import { lsmod } from '../../src/applets/lsmod.ts';
import { LimitError } from '../../src/errors.ts';
import { MAX_LOADED_MODULES, parseProcModules } from '../../src/kmod/loaded.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { random } from '../random.ts';
import { runApplet } from './run-applet.ts';

const FILES = {
  'proc/modules': [
    'xfs 2203648 1 - Live 0x0000000000000000', 'libcrc32c 12288 2 xfs,nf_tables, Live 0x0000000000000000 (OE)',
    'going 4096 0 - Unloading 0x0000000000000000', 'a_name_that_is_longer_than_its_column 123456789012 0 - Live 0x0', 'old 16384 - - Live 0x0', '',
  ].join('\n'),
  'sys/module/xfs/coresize': '2199552\n', 'sys/module/xfs/refcnt': '1\n', 'sys/module/xfs/holders/.keep': '',
  'sys/module/libcrc32c/coresize': '12288\n', 'sys/module/libcrc32c/refcnt': '2\n', 'sys/module/libcrc32c/holders/xfs': '',
};

describe('lsmod', () => {
  it('prints the columns of kmod, from /sys where the module is there', async () => {
    const root = fixtureRoot({ ...FILES, 'sys/module/xfs/holders/.keep': '' });
    expect(await runApplet(lsmod, [], { root })).toEqual({
      status: 0, stderr: '', stdout: [
        'Module                  Size  Used by',
        'xfs                  2199552  1 .keep',
        'libcrc32c              12288  2 xfs',
        'going                   4096  0',
        'a_name_that_is_longer_than_its_column 123456789012  0',
        'old                    16384  -2',
        '',
      ].join('\n'),
    });
  });

  it('takes the users of /proc/modules where /sys has lost the module', async () => {
    const root = fixtureRoot({ 'proc/modules': 'libcrc32c 12288 2 xfs,nf_tables, Live 0x0\nx 1 1 [permanent], Live 0x0\n' });
    expect((await runApplet(lsmod, [], { root })).stdout).toBe(
      'Module                  Size  Used by\nlibcrc32c              12288  2 xfs,nf_tables\nx                          1  1\n',
    );
  });

  it('prints one object a module with --json', async () => {
    const root = fixtureRoot({ 'proc/modules': 'old 16384 - - Loading 0x0\nx 1 1 y, Live 0x0\n' });
    expect((await runApplet(lsmod, ['--json'], { root })).stdout.trim().split('\n').map((line) => JSON.parse(line))).toEqual([
      { schema: 1, kind: 'loaded-module', module: 'old', size: 16384, refcnt: null, holders: [], state: 'coming' },
      { schema: 1, kind: 'loaded-module', module: 'x', size: 1, refcnt: 1, holders: ['y'], state: 'live' },
    ]);
  });

  it('says why there is no list', async () => {
    expect(await runApplet(lsmod, [], { root: fixtureRoot({}) })).toEqual({
      status: 1, stdout: '', stderr: 'lsmod: ERROR: could not get list of modules: No such file or directory\n',
    });
  });

  it('takes no operands', async () => {
    expect(await runApplet(lsmod, ['x'], { root: fixtureRoot(FILES) })).toEqual({ status: 1, stdout: '', stderr: 'lsmod: ERROR: too many arguments provided.\n' });
    expect((await runApplet(lsmod, ['-Z'], { root: fixtureRoot(FILES) })).stderr).toBe("lsmod: invalid option -- 'Z'\n");
  });
});

describe('parseProcModules', () => {
  it('leaves out lines that are no module, and names that would lead elsewhere', () => {
    expect(parseProcModules('\n../x 1 0 - Live 0x0\nx\ny one 0 - Live\nz 5 0 - Live 0x0\n.. 1 1 - Live', 'f').map(({ module }) => module)).toEqual(['z']);
  });

  it('has a limit', () => {
    expect(() => parseProcModules('m 1 0 - Live 0x0\n'.repeat(MAX_LOADED_MODULES + 1), 'f')).toThrow(LimitError);
  });

  it('takes any text', () => {
    const next = random(11);
    const text = FILES['proc/modules'];
    for (let round = 0; round < 500; round++) {
      const mutated = Buffer.from(text);
      for (let i = 0; i < 8; i++) mutated[next(mutated.length)] = next(256);
      expect(Array.isArray(parseProcModules(mutated.toString('latin1'), 'f'))).toBe(true);
    }
  });
});
