// The same questions to a tree and to images of it: the same answers, but for the place.

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { moduleNameOfPath } from '../../src/kmod/alias.ts';
import { erofsUtils15, imageBy, scratch } from './image-tools.ts';
import { debianTree, runOurs } from './oracle.ts';
import { mksquashfs } from './squashfs-tools.ts';

const tree = await debianTree('6.12-cloud');
const MKFS_EROFS = erofsUtils15().command('mkfs.erofs');

/** Commands that write $OUT in a directory that holds the tree; `inside` is where it is then in the image. */
const IMAGES: readonly (readonly [name: string, inside: string, make: (tree: string, release: string) => string])[] = [
  ['ext4, as a root file system', 'usr/lib/modules/', (root) => imageBy('mkdir -p r/usr/lib && cp -al lib/modules r/usr/lib/ && truncate -s 96M $OUT && mke2fs -q -F -t ext4 -d r $OUT && rm -r r', root)],
  ['squashfs, gzip, as /lib/modules', '', (root) => bySquashfs(root, 'lib/modules', ['-comp', 'gzip'])],
  ['squashfs, xz, as the tree alone', 'itself', (root, release) => bySquashfs(root, `lib/modules/${release}`, ['-comp', 'xz'])],
  ['squashfs, lz4', 'lib/modules/', (root) => bySquashfs(root, '.', ['-comp', 'lz4'])],
  ['erofs', 'lib/modules/', (root) => imageBy(`${MKFS_EROFS} -Enoinline_data -T0 $OUT . >/dev/null`, root)],
  ['erofs, lz4', 'lib/modules/', (root) => imageBy(`${MKFS_EROFS} -zlz4 $OUT . >/dev/null`, root)],
  ['cpio', 'lib/modules/', (root) => imageBy('find . | cpio -o -H newc --quiet > $OUT', root)],
  ['an initramfs: cpio, then cpio.gz', 'lib/modules/', (root) => imageBy('echo early > x && echo x | cpio -o -H newc --quiet > $OUT && find . | cpio -o -H newc --quiet | gzip -1 >> $OUT', root)],
  ['tar', '', (root) => imageBy('tar -cf $OUT -C lib/modules .', root)],
  ['tar.gz', 'lib/modules/', (root) => imageBy('tar -czf $OUT .', root)],
];

function bySquashfs(root: string, directory: string, options: readonly string[]): string {
  const image = imageBy('true', root);
  if (typeof mksquashfs === 'string') throw new Error(mksquashfs);
  mksquashfs([join(root, directory), image, '-noappend', '-quiet', '-no-progress', ...options]);
  return image;
}

describe.skipIf(typeof tree === 'string')(`modprobe and modinfo --modules IMAGE${typeof tree === 'string' ? ` (${tree})` : ''}`, () => {
  if (typeof tree === 'string') return;
  const { release, directory } = tree;
  const modules = readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => moduleNameOfPath(line.slice(0, line.indexOf(':'))));
  const aliases = readFileSync(join(directory, 'modules.alias'), 'latin1').split('\n').filter((line, index) => line.startsWith('alias ') && index % 7 === 0)
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('*', '0').replaceAll(/\[(.).*?\]/g, '$1'));
  const some = modules.filter((_, index) => index % 9 === 0);
  const config = join(scratch, 'no-config');
  const ask = (place: readonly string[], name: string): unknown => [
    runOurs('modprobe', ['-C', config, '-S', release, ...place, '-a', '-D', ...modules]),
    runOurs('modprobe', ['-C', config, '-S', release, ...place, '-a', '-R', ...aliases, 'xfs', 'nosuch']),
    runOurs('modprobe', ['-C', config, '-S', release, ...place, '--show-exports', 'virtio_net']),
    runOurs('modinfo', ['-k', release, ...place, ...some, 'ext4', 'nosuch']),
  ].map(({ status, stdout, stderr }) => ({ status, stdout: stdout.replaceAll(name, 'PLACE'), stderr: stderr.replaceAll(name, 'PLACE') }));
  let root: string | undefined;
  let expected: unknown;
  const prepared = () => {
    if (root === undefined) {
      mkdirSync(config, { recursive: true });
      root = join(scratch, 'root');
      mkdirSync(join(root, 'lib/modules'), { recursive: true });
      imageBy(`cp -a '${directory}' lib/modules/`, root);
    }
    return root;
  };

  it.each(IMAGES)('answer from %s as from the tree', (_, inside, make) => {
    const image = make(prepared(), release);
    const name = inside === 'itself' ? image : `${image}/${inside}${release}`;
    expected ??= ask(['--modules', prepared()], join(prepared(), 'lib/modules', release));
    expect(ask(['--modules', image], name)).toEqual(expected);
    rmSync(image);
  });

  it('find one file in /boot where there is no tree', () => {
    const boot = join(scratch, 'machine/boot');
    mkdirSync(boot, { recursive: true });
    renameSync(imageBy('tar -cf $OUT lib', prepared()), join(boot, `modules-${release}.tar`));
    const asked = runOurs('modprobe', ['-d', join(scratch, 'machine'), '-S', release, '-C', config, '-D', 'virtio_net']);
    expect(asked).toEqual({
      status: 0, stderr: '', stdout: runOurs('modprobe', ['-d', prepared(), '-S', release, '-C', config, '-D', 'virtio_net']).stdout.replaceAll(prepared(), join(boot, `modules-${release}.tar`)),
    });
  });

  it('say what is wrong with the place, in a line', () => {
    const file = join(scratch, 'damaged');
    copyFileSync(imageBy(`${MKFS_EROFS} $OUT lib >/dev/null`, prepared()), file);
    const says = (place: string, word = release) => runOurs('modprobe', ['--modules', place, '-S', word, '-D', 'xfs']);
    expect(says(file, '1.2.3')).toEqual({ status: 1, stdout: '', stderr: `modprobe: ERROR: ${file}: the image has no modules of kernel 1.2.3: it has no modules at all\n` });
    truncateSync(file, 3000);
    expect(says(file).stderr).toMatch(new RegExp(`^modprobe: ERROR: ${file}: [^\\n]+\\n$`));
    writeFileSync(file, 'text');
    expect(says(file)).toEqual({ status: 1, stdout: '', stderr: `modprobe: ERROR: ${file}: at offset 0: expected an image: ext4, squashfs, erofs, cpio or tar, found something else\n` });
    expect(says(join(scratch, 'nosuch')).stderr).toBe(`modprobe: ERROR: ENOENT: no such file or directory, open '${join(scratch, 'nosuch')}'\n`);
    expect(says(config).stderr).toBe(`modprobe: FATAL: Module xfs not found in directory ${config}/lib/modules/${release}\n`);
  });
});
