// insmod on a fixture root with a fake kernel.

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { insmod } from '../../src/applets/insmod.ts';
import { parseModuleInfo } from '../../src/kmod/modinfo.ts';
import { errnoByName, MODULE_INIT_COMPRESSED_FILE, MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_IGNORE_VERMAGIC } from '../../src/system.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { runApplet } from './run-applet.ts';

const IMAGE = buildModule({ modinfo: ['license=GPL', 'vermagic=6.1 '], versions: [{ name: 'printk', crc: 1 }] });
const FILES = { 'm/snd-x.ko': IMAGE, 'm/snd-x.ko.gz': gzipSync(IMAGE), 'm/cut.ko.gz': gzipSync(IMAGE).subarray(0, 30), 'm/dir.ko/x': '' };
const errno = (name: string) => errnoByName(name) ?? 0;
const FORCE = MODULE_INIT_IGNORE_MODVERSIONS | MODULE_INIT_IGNORE_VERMAGIC;

describe('insmod', () => {
  it('hands the file and its parameters to the kernel', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative();
    const argv = [join(root, 'm/snd-x.ko'), 'a=1', 'b=two words', 'c="three of them"', 'd'];
    expect(await runApplet(insmod, argv, { root, native })).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(native.calls).toEqual([{ call: 'finitModule', module: 'snd_x', params: 'a=1 b="two words" c="three of them" d', flags: 0 }]);
  });

  it('decompresses what the kernel would not', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative();
    expect((await runApplet(insmod, ['-v', join(root, 'm/snd-x.ko.gz')], { root, native })).stderr).toBe('insmod: INFO: inserted module snd_x, decompressed here\n');
    expect(native.loads.map(({ image }) => IMAGE.equals(image))).toEqual([true]);
  });

  it.each([[['-f'], FORCE], [['--force'], FORCE], [['--force-modversion'], MODULE_INIT_IGNORE_MODVERSIONS], [['--force-vermagic'], MODULE_INIT_IGNORE_VERMAGIC]])(
    'passes %j on', async (options, flags) => {
      const root = fixtureRoot({ ...FILES, 'sys/module/compression': 'gzip\n' });
      const native = openFakeNative();
      await runApplet(insmod, [...options, join(root, 'm/snd-x.ko')], { root, native });
      await runApplet(insmod, [...options, join(root, 'm/snd-x.ko.gz')], { root, native });
      expect(native.loads.map((load) => load.flags)).toEqual([flags, flags | MODULE_INIT_COMPRESSED_FILE]);
    },
  );

  it('edits a copy where the kernel has no finit_module', async () => {
    const root = fixtureRoot(FILES);
    const native = openFakeNative({ answers: [{ call: 'finitModule', errno: errno('ENOSYS') }, { call: 'memfdCreate', errno: errno('ENOSYS') }] });
    expect((await runApplet(insmod, ['--force-vermagic', join(root, 'm/snd-x.ko')], { root, native })).status).toBe(0);
    expect(native.loads.map(({ image }) => parseModuleInfo(image, 'x.ko')?.entries)).toEqual([[{ key: 'license', value: 'GPL' }]]);
  });

  it.each([
    ['ENOEXEC', 'Invalid module format'], ['ENOENT', 'Unknown symbol in module'], ['ESRCH', 'Module has wrong symbol version'],
    ['EINVAL', 'Invalid parameters'], ['EEXIST', 'File exists'], ['EKEYREJECTED', 'Key was rejected by service'],
  ])('says for %s: %s', async (code, reason) => {
    const root = fixtureRoot(FILES);
    const file = join(root, 'm/snd-x.ko');
    const native = openFakeNative({ answers: [{ call: 'finitModule', errno: errno(code) }] });
    expect(await runApplet(insmod, [file], { root, native })).toEqual({ status: 1, stdout: '', stderr: `insmod: ERROR: could not insert module ${file}: ${reason}\n` });
  });

  it('says what is wrong with the file', async () => {
    const root = fixtureRoot(FILES);
    const said = async (file: string) => (await runApplet(insmod, [file], { root })).stderr.replaceAll(root, '');
    expect(await said(join(root, 'm/nosuch.ko'))).toBe('insmod: ERROR: could not load module /m/nosuch.ko: No such file or directory\n');
    expect(await said(join(root, 'm/dir.ko'))).toBe('insmod: ERROR: could not insert module /m/dir.ko: Is a directory\n');
    expect(await said(join(root, 'm/cut.ko.gz'))).toMatch(/^insmod: ERROR: could not insert module \/m\/cut\.ko\.gz: .*offset 30: .*the end of the data\n$/);
    expect(await said('-')).toBe('insmod: ERROR: this tool does not support loading from stdin!\n');
    expect((await runApplet(insmod, [], { root })).stderr).toBe('insmod: ERROR: missing filename.\n');
  });

  it('prints what came of it with --json', async () => {
    const root = fixtureRoot(FILES);
    const file = join(root, 'm/snd-x.ko');
    const native = openFakeNative({ answers: [{ call: 'finitModule', errno: errno('ENOEXEC') }] });
    expect(JSON.parse((await runApplet(insmod, ['--json', file], { root, native })).stdout)).toEqual({
      schema: 1, kind: 'insertion', path: file, module: 'snd_x', outcome: 'failed',
      failure: { code: 'ENOEXEC', errno: 8, syscall: 'finit_module', text: 'Exec format error', kernel: [] },
    });
    expect(JSON.parse((await runApplet(insmod, ['--json', file], { root })).stdout)).toEqual({ schema: 1, kind: 'insertion', path: file, module: 'snd_x', outcome: 'inserted' });
  });
});
