// modinfo on fixture roots; test/oracle compares it with kmod's.

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { modinfo } from '../../src/applets/modinfo.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { cms, signed } from '../kmod/signed-module.ts';
import { runApplet } from './run-applet.ts';

const SIGNATURE = Uint8Array.from({ length: 41 }, (_, i) => i);
const IMAGE = signed(buildModule({
  modinfo: ['license=GPL', 'author=A', 'author=B', 'alias=fs-x', 'a_key_that_is_too_wide=1', 'parm=a:The a', 'parmtype=a:int', 'parmtype=b:bool', 'noequals'],
  sections: [{ name: '.note.gnu.build-id', type: 7, data: Buffer.from('\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\xcd\0\0', 'latin1') }],
}), cms({ signature: SIGNATURE }));

const TREE = 'lib/modules/6.12.0-test';
const FILES = {
  [`${TREE}/modules.dep`]: 'kernel/x.ko:\nkernel/y.ko.gz:\nkernel/gone.ko:\nkernel/bad.ko:\nkernel/plain.ko:\n',
  [`${TREE}/modules.alias`]: 'alias fs-x x\nalias two-* x\nalias two-* y\n',
  [`${TREE}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
  [`${TREE}/modules.builtin.modinfo`]: 'ext4.license=GPL\0ext4.alias=fs-ext4\0ext4.parm=d:Debug\0',
  [`${TREE}/kernel/x.ko`]: IMAGE,
  [`${TREE}/kernel/y.ko.gz`]: gzipSync(buildModule({ modinfo: ['license=MIT', 'parm=bad'] })),
  [`${TREE}/kernel/bad.ko`]: 'not a module',
  [`${TREE}/kernel/plain.ko`]: buildModule({ without: ['.modinfo'] }),
};

const X_LINES = (path: string) => [
  `filename:       ${path}`, 'license:        GPL', 'author:         A', 'author:         B', 'alias:          fs-x', 'a_key_that_is_too_wide:1',
  'noequals:       ', 'build-id:       AB:CD', 'sig_id:         PKCS#7', 'signer:         Test key', 'sig_key:        15:FD', 'sig_hashalgo:   sha256',
  'signature:      00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:',
  '\t\t14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20:21:22:23:24:25:26:27:', '\t\t28', 'parm:           b:bool', 'parm:           a:The a (int)', '',
].join('\n');

describe('modinfo', () => {
  it('prints all, in the order of kmod', async () => {
    const root = fixtureRoot(FILES);
    const path = join(root, TREE, 'kernel/x.ko');
    expect(await runApplet(modinfo, ['x'], { root })).toEqual({ status: 0, stderr: '', stdout: X_LINES(path) });
    expect(await runApplet(modinfo, ['fs-x'], { root })).toEqual({ status: 0, stderr: '', stdout: X_LINES(path) });
    expect(await runApplet(modinfo, [path], { root })).toEqual({ status: 0, stderr: '', stdout: X_LINES(path) });
  });

  it('keeps the order of what was asked for, errors among it', async () => {
    const root = fixtureRoot(FILES);
    expect(await runApplet(modinfo, ['-F', 'license', 'y', 'nosuch', 'x', 'two-1', 'a]b', 'ext4'], { root })).toEqual({
      status: 1, stdout: 'MIT\nGPL\nGPL\nMIT\nGPL\n',
      stderr: 'modinfo: ERROR: Module nosuch not found.\nmodinfo: ERROR: Module alias a]b not found.\n',
    });
  });

  it.each([
    [['-a'], 'A\nB\n'], [['--author'], 'A\nB\n'], [['-l'], 'GPL\n'], [['-d'], ''], [['-p'], 'b: (bool)\na:The a (int)\n'], [['-F', 'parm'], 'b: (bool)\na:The a (int)\n'],
    [['-0', '-a'], 'A\0B\0'], [['-F', 'sig_key'], '15:FD\n'], [['-F', 'build-id'], 'AB:CD\n'], [['-F', 'parmtype'], 'a:int\nb:bool\n'], [['-F', 'License'], ''],
    [['-a', '-l'], 'GPL\n'], [['-F', 'name'], ''], [['-F', 'noequals'], '\n'],
  ])('prints one field with %j', async (options, stdout) => {
    expect(await runApplet(modinfo, [...options, 'x'], { root: fixtureRoot(FILES) })).toEqual({ status: 0, stderr: '', stdout });
  });

  it('ends values with NUL after -0, in the mixed form of kmod', async () => {
    const root = fixtureRoot(FILES);
    expect((await runApplet(modinfo, ['-0', 'ext4', 'y'], { root })).stdout).toBe(
      'name:           ext4\0filename:       (builtin)\0license=GPL\0alias=fs-ext4\0parm:           d:Debug\0'
      + `filename:       ${join(root, TREE, 'kernel/y.ko.gz')}\0license=MIT\0`,
    );
  });

  it('shows built-in modules', async () => {
    const root = fixtureRoot(FILES);
    expect((await runApplet(modinfo, ['ext4'], { root })).stdout).toBe(
      'name:           ext4\nfilename:       (builtin)\nlicense:        GPL\nalias:          fs-ext4\nparm:           d:Debug\n',
    );
    expect((await runApplet(modinfo, ['-n', 'fs-ext4'], { root })).stdout).toBe('(builtin)\n');
    expect((await runApplet(modinfo, ['-F', 'name', 'ext4'], { root })).stdout).toBe('ext4\n');
    const old = fixtureRoot({ [`${TREE}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n' });
    expect(await runApplet(modinfo, ['ext4'], { root: old })).toEqual({ status: 0, stderr: '', stdout: 'name:           ext4\nfilename:       (builtin)\n' });
  });

  it('takes operands for names only with -m', async () => {
    expect(await runApplet(modinfo, ['-m', '-n', 'fs-x', 'ext4'], { root: fixtureRoot(FILES) })).toEqual({
      status: 1, stdout: '(builtin)\n', stderr: 'modinfo: ERROR: Module name fs-x not found.\n',
    });
  });

  it('says what cannot be read, behind the file name', async () => {
    const root = fixtureRoot(FILES);
    const file = (name: string) => `filename:       ${join(root, TREE, 'kernel', name)}\n`;
    expect(await runApplet(modinfo, ['gone', 'bad', 'plain'], { root })).toEqual({
      status: 1, stdout: file('gone.ko') + file('bad.ko') + file('plain.ko'), stderr: [
        "modinfo: ERROR: could not get modinfo from 'gone': No such file or directory", "modinfo: ERROR: could not get modinfo from 'bad': Exec format error",
        "modinfo: ERROR: could not get modinfo from 'plain': No such file or directory", '',
      ].join('\n'),
    });
    expect(await runApplet(modinfo, ['-n', 'gone'], { root })).toMatchObject({ status: 0, stderr: '' });
  });

  it('says which parameter is none', async () => {
    const root = fixtureRoot(FILES);
    expect((await runApplet(modinfo, ['-p', 'y'], { root })).stderr).toBe("modinfo: ERROR: Found invalid \"parm=bad\": missing ':'\n");
    expect(await runApplet(modinfo, ['-l', 'y'], { root })).toEqual({ status: 0, stderr: '', stdout: 'MIT\n' });
  });

  it('finds trees with -b and -k', async () => {
    const root = fixtureRoot(Object.fromEntries(Object.entries(FILES).map(([path, content]) => [`other/${path.replace('6.12.0-test', '1.2')}`, content])));
    expect((await runApplet(modinfo, ['-b', join(root, 'other'), '-k', '1.2', '-n', 'x'], { root })).stdout).toBe(`${root}/other/lib/modules/1.2/kernel/x.ko\n`);
  });

  it('prints one form of object for all with --json', async () => {
    const root = fixtureRoot(FILES);
    const { status, stdout } = await runApplet(modinfo, ['--json', 'x', 'ext4', 'nosuch', 'bad'], { root });
    const path = join(root, TREE, 'kernel/x.ko');
    expect([status, ...stdout.trim().split('\n').map((line) => JSON.parse(line))]).toEqual([1, {
      schema: 1, kind: 'module-info', module: 'x', path, builtin: false,
      entries: [['license', 'GPL'], ['author', 'A'], ['author', 'B'], ['alias', 'fs-x'], ['a_key_that_is_too_wide', '1'], ['noequals', '']].map(([key, value]) => ({ key, value })),
      parameters: [{ name: 'a', type: 'int', description: 'The a' }, { name: 'b', type: 'bool', description: null }],
      buildId: 'abcd',
      signature: { id: 'PKCS#7', signer: 'Test key', keyId: '15fd', hashAlgorithm: 'sha256', algorithm: 'rsa', signature: Buffer.from(SIGNATURE).toString('hex') },
    }, {
      schema: 1, kind: 'module-info', module: 'ext4', path: null, builtin: true, entries: [{ key: 'license', value: 'GPL' }, { key: 'alias', value: 'fs-ext4' }],
      parameters: [{ name: 'd', type: null, description: 'Debug' }], buildId: null, signature: null,
    }, { schema: 1, kind: 'error', target: 'nosuch', error: 'Module nosuch not found.' }, {
      schema: 1, kind: 'error', module: 'bad', path: join(root, TREE, 'kernel/bad.ko'), error: "could not get modinfo from 'bad': Exec format error",
      detail: `${join(root, TREE, 'kernel/bad.ko')}: at offset 0: expected the ELF magic 7f 45 4c 46, found 6e 6f 74 20`,
    }]);
  });

  it('prints the values of a field with --json, and ends objects with NUL after -0', async () => {
    const root = fixtureRoot(FILES);
    const { stdout } = await runApplet(modinfo, ['--json', '-0', '-F', 'author', 'x', 'ext4'], { root });
    const path = join(root, TREE, 'kernel/x.ko');
    expect(stdout.split('\0').filter(Boolean).map((text) => JSON.parse(text))).toEqual([
      { schema: 1, kind: 'module-info', module: 'x', path, builtin: false, field: 'author', values: ['A', 'B'] },
      { schema: 1, kind: 'module-info', module: 'ext4', path: null, builtin: true, field: 'author', values: [] },
    ]);
  });

  it('wants an operand', async () => {
    const root = fixtureRoot(FILES);
    expect(await runApplet(modinfo, [], { root })).toEqual({ status: 1, stdout: '', stderr: 'modinfo: ERROR: missing module or filename.\n' });
    expect(await runApplet(modinfo, ['--nul', '--Z'], { root })).toEqual({ status: 1, stdout: '', stderr: "modinfo: unrecognized option '--Z'\n" });
  });
});
