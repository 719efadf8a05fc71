// Tests of the command line of tskmod initramfs, and of what a kernel's configuration tells it. What it makes is booted in test/vm.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { initramfsApplet, parseInitramfsArguments } from '../../src/applets/initramfs.ts';
import { compressionsOf, embeddedConfig } from '../../src/vm/kernel-config.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { RELEASE, TREE_FILES } from '../bundle/bundle-tree.ts';
import { fixtureRoot } from '../fixture-root.ts';
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

describe('tskmod initramfs create', () => {
  const embedded = (config: string) => Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.from('IKCFG_ST'), gzipSync(config), Buffer.from('IKCFG_ED')]);
  const files = { ...TREE_FILES, 'with-xz': embedded('CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\n'), 'with-none': embedded('CONFIG_BLK_DEV_INITRD=y\n'), [`boot/vmlinuz-${RELEASE}`]: embedded('CONFIG_RD_GZIP=y\n') };

  it('compresses as the configuration inside the image says, and refuses what it lacks', async ({ skip }) => {
    skip(findTool('busybox') === undefined || findTool('xz') === undefined, 'busybox or xz is not installed');
    const root = fixtureRoot(files);
    const create = async (...args: readonly string[]) => {
      const ran = await runApplet(initramfsApplet, ['create', '-S', RELEASE, '--modules', join(root, 'lib/modules', RELEASE), '--no-node', '-o', join(root, 'out'), '--json', ...args], { root });
      return ran.status === 0 ? (JSON.parse(ran.stdout) as { compression: string }).compression : ran.stderr;
    };
    expect([await create('--kernel', join(root, 'with-xz')), await create('--kernel', join(root, 'with-none')), await create()]).toEqual(['xz', 'none', 'gzip']);
    expect(await create('--compress', 'xz')).toBe(`tskmod initramfs: the kernel ${RELEASE} cannot unpack xz: it knows gzip\n`);
  });

  it('counts the modules of an image, and says what is wrong with one', async ({ skip }) => {
    skip(findTool('busybox') === undefined, 'busybox is not installed');
    const root = fixtureRoot(files);
    const [image, out] = [join(root, 'bundle'), join(root, 'out')];
    expect((await runApplet(bundleApplet, ['create', '-o', image], { root })).status).toBe(0);
    const create = (...args: readonly string[]) => runApplet(initramfsApplet, ['create', '-S', RELEASE, '--no-node', '-o', out, '--modules', image, ...args], { root });
    expect(JSON.parse((await create('--select', 'top', '--json')).stdout)).toMatchObject({ schema: 1, kind: 'initramfs', modules: { files: 3 }, tree: { files: 5 } });
    writeFileSync(image, 'no image');
    expect(await create()).toMatchObject({ status: 1, stdout: '', stderr: `tskmod initramfs: ${image}: at offset 0: expected an image: ext4, squashfs, erofs, cpio or tar, found something else\n` });
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
