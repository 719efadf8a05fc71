// Modules in layers beside kmod on one tree into which the same files were copied, with indexes that its depmod made.

import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { moduleNameOfPath } from '../../src/kmod/alias.ts';
import { imageBy, scratch } from './image-tools.ts';
import { debianTree, kmod34, run, runOurs } from './oracle.ts';

const tree = await debianTree('6.12-cloud');
const reason = typeof tree === 'string' ? tree : kmod34.reason;

/** Modules that go from the base into layers: what they need stays below, and what needs them too. */
const VENDOR = ['libcrc32c', 'virtio_net', 'crc32c_generic', 'mbcache'];
const LOOSE = ['xfs', 'ext4', 'net_failover', 'nf_conntrack'];

describe.skipIf(reason !== undefined)(`--modules several times, beside kmod 34 on one tree${reason === undefined ? '' : ` (${reason})`}`, () => {
  if (typeof tree === 'string') return;
  const { release, directory } = tree;
  const [whole, base, vendor, loose, config] = ['whole', 'base', 'vendor', 'loose', 'no-config'].map((name) => join(scratch, name)) as [string, string, string, string, string];
  process.env['XDG_CACHE_HOME'] = join(scratch, 'cache');
  afterAll(() => delete process.env['XDG_CACHE_HOME']);

  const lines = readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => line.slice(0, line.indexOf(':')));
  const names = lines.map(moduleNameOfPath);
  const pathOf = (name: string) => lines.find((path) => moduleNameOfPath(path) === name);
  const treeOf = (root: string) => join(root, 'lib/modules', release);

  it('answer as kmod does: -D of all modules, -R of many aliases, from directories and from images', () => {
    for (const each of [whole, base, vendor, loose, config]) mkdirSync(each, { recursive: true });
    for (const root of [whole, base]) {
      mkdirSync(dirname(treeOf(root)), { recursive: true });
      run('cp', ['-al', directory, treeOf(root)]);
    }
    for (const [names_, layer] of [[VENDOR, join(vendor, 'updates')], [LOOSE, loose]] as const) {
      mkdirSync(layer, { recursive: true });
      for (const name of names_) {
        const path = pathOf(name);
        if (path === undefined) continue;
        // In the one tree the file is where the layer has it.
        const place = names_ === VENDOR ? `updates/${basename(path)}` : basename(path);
        copyFileSync(join(directory, path), join(layer, basename(path)));
        mkdirSync(dirname(join(treeOf(whole), place)), { recursive: true });
        renameSync(join(treeOf(whole), path), join(treeOf(whole), place));
        // Two are added to a base that lacks them, the others replace what it has.
        if (name === 'virtio_net' || name === 'xfs') rmSync(join(treeOf(base), path));
      }
    }
    const moved = [...VENDOR, ...LOOSE].filter((name) => pathOf(name) !== undefined);
    expect(moved.length).toBeGreaterThan(4);
    // What is removed from a hard-linked index would be removed from the cached kernel.
    for (const root of [whole, base]) {
      run('sh', ['-c', `cd '${treeOf(root)}' && rm -f modules.dep* modules.alias* modules.soft* modules.weak* modules.symbols* modules.devname modules.builtin.bin modules.builtin.alias.bin`]);
      expect(kmod34.run('depmod', ['-C', config, '-b', root, release])).toMatchObject({ status: 0 });
    }
    const aliases = readFileSync(join(treeOf(whole), 'modules.alias'), 'latin1').split('\n').filter((line, index) => line.startsWith('alias ') && index % 5 === 0)
      .map((line) => (line.split(' ')[1] ?? '').replaceAll('*', '0').replaceAll(/\[(.).*?\]/g, '$1'));
    const questions: readonly (readonly string[])[] = [['-a', '-D', ...names], ['-a', '-R', ...aliases, 'fs-xfs', 'fs-ext4']];
    const answer = (ask: (args: readonly string[]) => { status: number | null; stdout: string }, places: readonly string[]) => questions.map((question) => {
      const { status, stdout } = ask(question);
      return { status, stdout: places.reduce((text, place) => text.replaceAll(`${place}/`, 'PLACE/'), stdout) };
    });
    const expected = answer((args) => kmod34.run('modprobe', ['-C', config, '-S', release, '-d', whole, ...args]), [treeOf(whole)]);
    expect(expected[0]?.stdout.split('\n').length).toBeGreaterThan(500);
    const ours = (places: readonly string[], inside: readonly string[]) =>
      answer((args) => runOurs('modprobe', ['--strict-kmod', '-C', config, '-S', release, ...places.flatMap((place) => ['--modules', place]), ...args]), inside);

    // The second question is answered out of the cache.
    expect(ours([base, vendor, loose], [treeOf(base), vendor, loose])).toEqual(expected);
    expect(existsSync(join(scratch, 'cache/tsmodprobe'))).toBe(true);
    const images = [imageBy('tar -cf $OUT -C . lib', base), imageBy('find updates | cpio -o -H newc --quiet > $OUT', vendor)] as const;
    expect(ours([...images, loose], [`${images[0]}/lib/modules/${release}`, images[1], loose])).toEqual(expected);
  }, 240_000);
});
