// initramfs.conf, and the scripts that an image of another tool gets. What the hooks make with them is booted in test/vm/image-hooks.test.ts.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { externalBuiltins } from '../../src/vm/guest-system.ts';
import { parseStageConfig, STAGE_DEFAULTS } from '../../src/vm/stage-config.ts';
import { stageScripts } from '../../src/vm/stage-scripts.ts';
import { fixtureRoot } from '../fixture-root.ts';

describe('initramfs.conf', () => {
  it('has lists that add up, a release in the name of a bundle, and comments', () => {
    const text = '# all of it\nbundle = /boot/modules-%r.erofs\nselect = ext4  virtio_blk # and\nselect=nvme\nmachine = / recordings/q35.txt\n\n coldplug = all\ntimeout = 30\n';
    expect(parseStageConfig(text, 'x')).toEqual({ bundle: '/boot/modules-%r.erofs', select: ['ext4', 'virtio_blk', 'nvme'], machine: ['/', 'recordings/q35.txt'], coldplug: 'all', timeout: 30 });
    expect(parseStageConfig('', 'x')).toEqual(STAGE_DEFAULTS);
  });

  it.each([
    ['select ext4', "`select ext4' is no line `key = value'"],
    ['selekt = ext4', 'selekt is not known: there are bundle, select, machine, coldplug, timeout'],
    ['bundle =', 'bundle has no value: leave the line away'],
    ['bundle = modules.erofs', 'bundle = modules.erofs: not an absolute path'],
    ['coldplug = yes', 'coldplug = yes: neither goal nor all'],
    ['timeout = 5s', 'timeout = 5s: not seconds, up to 9999'],
  ])('refuses %s', (line, message) => {
    expect(() => parseStageConfig(`\n${line}\n`, '/etc/x.conf')).toThrow(`/etc/x.conf:2: ${message}`);
  });

  it('has a limit of lines', () => {
    expect(() => parseStageConfig('\n'.repeat(10_001), 'x')).toThrow('x:10000: more than 10000 lines');
  });
});

describe('the JavaScript that a Node keeps outside of itself', () => {
  it('is what libnode names and is there', () => {
    const root = fixtureRoot({ 'share/lexer.js': '', 'share/other.js': '' });
    const data = ['text', `${root}/share/lexer.js`, `${root}/share/absent.js`, `see ${root}/share/other.js`, 'relative.js', `${root}/share/lexer.js`, ''].join('\0');
    for (const name of ['libnode.so.115', 'libuv.so.1']) writeFileSync(join(root, name), data);
    expect(externalBuiltins(join(root, 'libnode.so.115'))).toEqual([`${root}/share/lexer.js`]);
    expect(externalBuiltins(join(root, 'libuv.so.1'))).toEqual([]);
  });
});

describe('the scripts', () => {
  const scripts = stageScripts({ node: '/usr/bin/node', release: '6.12.0+x', libraryPath: ['/opt/lib'], coldplug: 'goal', timeout: 7 });

  it('tell what reads modules where the bundle is, and the loader where libraries are', () => {
    const words = (applet: string) => `#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/lib\nexec /usr/bin/node /usr/lib/tsmodprobe/tskmod.cjs ${applet}"$@"\n`;
    expect(scripts['modprobe']).toBe(words('modprobe --modules /boot/modules-6.12.0+x '));
    expect(scripts['tsudevd']).toBe(words('udevd --modules /boot/modules-6.12.0+x '));
    expect(scripts['tskmod']).toBe(words(''));
    expect(Object.keys(scripts).sort()).toEqual(['modprobe', 'prepare', 'start', 'stop', 'tskmod', 'tsudevd', 'udevadm']);
  });

  it.each(Object.entries(scripts))('are sh: %s', (_, text) => {
    expect(spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });
});
