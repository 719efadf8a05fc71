// Tests of the command line of tskmod initramfs, and of what a kernel's configuration tells it. What it makes is booted in test/vm.

import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { initramfsApplet, parseInitramfsArguments } from '../../src/applets/initramfs.ts';
import { compressionsOf, embeddedConfig } from '../../src/vm/kernel-config.ts';
import { runApplet } from './run-applet.ts';

describe('parseInitramfsArguments', () => {
  it('reads every option', () => {
    expect(parseInitramfsArguments([
      'create', '-o', 'out', '-S', '6.1', '--kernel', 'k', '--modules', 'm', '--select', 'a', '--select', 'b/*', '--root', 'UUID=1', '--add', '/a:/b', '--add', '/c', '--hooks', 'h',
      '--init', 'i', '--no-node', '--compress=xz', '--json',
    ])).toEqual({
      output: 'out', json: true, release: '6.1', kernel: 'k', modules: 'm',
      plain: {
        select: ['a', 'b/*'], machines: [], root: 'UUID=1', files: [{ source: '/a', target: '/b' }, { source: '/c', target: '/c' }], hooks: 'h', init: 'i', node: undefined, compression: 'xz',
      },
    });
  });
});

describe('tskmod initramfs', () => {
  it.each([
    [[], 'what to do: there are create and stage. See tskmod initramfs --help'],
    [['list', '-o', 'x'], 'list: there are create and stage. See tskmod initramfs --help'],
    [['create'], 'where to? Name a file with -o'],
    [['create', '-o', 'x', '--compress', 'lz4'], '--compress lz4: there are auto, gzip, xz, zstd, none'],
    [['create', '-o', 'x', '--root', 'sda1'], '--root sda1: not LABEL=, UUID=, PARTUUID=, PARTLABEL=, ID=, a path below /dev, or none'],
    [['create', '-o', 'x', '--machine', '/nonexistent'], '--machine /nonexistent: no sys below it'],
    [['create', '-o', 'x', '--config', '/x'], '--config /x: only stage takes it'],
    [['stage'], 'stage: name one directory, which is made'],
    [['stage', 'a', 'b'], 'stage: name one directory, which is made'],
    [['stage', '--modules', '/nonexistent', 'x'], '--modules /nonexistent: no such file or directory'],
    [['stage', '--modules', '/', '--select', 'x', '/'], '/ is not empty'],
    [['create', '-o', 'x', '--modules', '/nonexistent'], '--modules /nonexistent: no such file or directory'],
  ])('refuses %j', async (argv, message) => {
    expect(await runApplet(initramfsApplet, argv, { root: '/' })).toEqual({ status: 1, stdout: '', stderr: `tskmod initramfs: ${message}\n` });
  });
});

describe('what a kernel can unpack', () => {
  const config = 'CONFIG_RD_GZIP=y\n# CONFIG_RD_XZ is not set\nCONFIG_RD_ZSTD=y\n';
  it('is in its configuration, best first', () => {
    expect(compressionsOf(config)).toEqual(['zstd', 'gzip']);
  });

  it('is found inside the image', () => {
    const image = Buffer.concat([Buffer.from('codeIKCFG_ST no stream'), Buffer.from('IKCFG_ST'), gzipSync(config), Buffer.from('IKCFG_EDdata')]);
    expect(embeddedConfig(image)).toBe(config);
    expect(embeddedConfig(Buffer.from('a kernel without'))).toBeUndefined();
  });
});
