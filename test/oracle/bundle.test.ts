// Our bundles beside the tools of each format, and beside modprobe -D on the tree that they were made of.

import { createHash } from 'node:crypto';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { countingSource } from '../../src/image/byte-source.ts';
import { openErofs } from '../../src/image/erofs.ts';
import { openFileSource } from '../../src/image/file-source.ts';
import { imageFormatOf } from '../../src/image/image-format.ts';
import { moduleNameOfPath } from '../../src/kmod/alias.ts';
import { sourceInImage } from '../../src/kmod/image-source.ts';
import { openKmod } from '../../src/kmod/kmod.ts';
import { openSystem } from '../../src/system.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { runApplet } from '../applets/run-applet.ts';
import { erofsUtils15, imageBy, listingOfDirectory, scratch } from './image-tools.ts';
import { debianTree, kmod30, kmod34, runOurs } from './oracle.ts';

const tree = await debianTree('6.12-cloud');
const reason = typeof tree === 'string' ? tree : kmod30.reason;
const bundle = (...argv: readonly string[]) => runApplet(bundleApplet, argv, { root: '/' });
const sum = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

describe.skipIf(reason !== undefined)(`tskmod bundle${reason === undefined ? '' : ` (${reason})`}`, () => {
  if (typeof tree === 'string') return;
  const { release, directory } = tree;
  const SELECT = ['--select', 'kernel/fs/**', '--select', 'virtio_net', '--select', 'nvme'];
  const [whole, current] = [join(scratch, 'whole'), join(scratch, 'current/lib/modules', release)];
  /** Of the selection, what is in it as a directory, unpacked by us. */
  const unpacked = join(scratch, 'unpacked');
  const selected = (format: string) => join(scratch, `selected.${format}`);

  beforeAll(async () => {
    // With indexes that are current, so that not all modules are read each time.
    mkdirSync(join(scratch, 'current/lib/modules'), { recursive: true });
    execFileSync('cp', ['-a', directory, current]);
    expect(runOurs('depmod', ['-b', join(scratch, 'current'), '-C', join(scratch, 'none'), release]).status).toBe(0);
    expect(await bundle('create', '--from', directory, '-o', whole)).toMatchObject({ status: 0, stderr: '' });
    for (const format of ['erofs', 'cpio', 'ext4', 'squashfs']) {
      expect(await bundle('create', '--from', current, ...SELECT, '--format', format, '-o', selected(format))).toMatchObject({ status: 0, stderr: '' });
    }
    expect(await bundle('extract', '-C', unpacked, selected('erofs'))).toMatchObject({ status: 0, stderr: '' });
  });

  it('has all that modprobe -D lists of the tree, for kmod too, and the indexes that its depmod makes', async () => {
    const names = readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => moduleNameOfPath(line.slice(0, line.indexOf(':'))));
    const args = ['-C', join(scratch, 'none'), '-S', release, '-a', '-D', ...names];
    const ours = (place: readonly string[], prefix: string) => runOurs('modprobe', [...place, ...args]).stdout.replaceAll(prefix, '');
    const fromBundle = ours(['--modules', whole], `${whole}/${release}/`);
    expect(fromBundle.split('\n').length).toBeGreaterThan(names.length);
    expect(fromBundle).toBe(ours(['-d', tree.root], `${directory}/`));

    const root = join(scratch, 'for-kmod');
    expect((await bundle('extract', '-C', join(root, 'lib/modules'), whole)).status).toBe(0);
    const top = join(root, 'lib/modules', release);
    const theirs = (below: string, prefix: string) => kmod30.run('modprobe', ['-d', below, ...args]).stdout.replaceAll(prefix, '');
    expect(theirs(root, `${top}/`)).toBe(theirs(tree.root, `${directory}/`));
    const before = readdirSync(top).filter((name) => name.startsWith('modules.') && !name.endsWith('.bin')).map((name) => [name, sum(join(top, name))]);
    expect(kmod30.run('depmod', ['-b', root, '-C', join(scratch, 'none'), release]).status).toBe(0);
    expect(before.map(([name = '']) => [name, sum(join(top, name))])).toEqual(before);
    rmSync(root, { recursive: true });
  });

  it('is opened, and resolves an alias, with little of it read', async () => {
    const file = openFileSource(whole);
    const counted = countingSource(file);
    expect(imageFormatOf(counted)).toBe('erofs');
    const image = { path: whole, size: file.size, tree: openErofs(counted), close: () => file.close() };
    const kmod = openKmod(openSystem({ release }), { source: sourceInImage(image, release), configPaths: [] });
    expect(kmod.lookup('virtio:d00000001v00001AF4').map(({ module }) => module)).toEqual(['virtio_net']);
    await kmod.close();
    // Of 4000 modules: npm run bench -- bundle.
    expect(counted.bytesRead).toBeLessThan(100_000);
    expect(file.size).toBeGreaterThan(10_000_000);
    file.close();
  });

  it.each([kmod30, kmod34])('keeps current indexes of $name, makes them anew as that does, and so those of a selection', async (kmod) => {
    if (kmod.reason !== undefined) return;
    const root = join(scratch, 'theirs');
    const [top, kept, made] = [join(root, 'lib/modules', release), join(scratch, 'kept'), join(scratch, 'made')];
    mkdirSync(join(root, 'lib/modules'), { recursive: true });
    execFileSync('cp', ['-a', directory, top]);
    execFileSync('sh', ['-c', `cd ${top} && rm -f modules.weakdep`]);
    expect(kmod.run('depmod', ['-b', root, '-C', join(scratch, 'none'), release]).status).toBe(0);
    expect((await bundle('create', '--from', top, '-o', kept)).stdout).toContain('those that were there, which are current');
    // Of a copy the inodes are new, and nothing else.
    execFileSync('sh', ['-c', `mv ${top} ${top}.old && cp -a ${top}.old ${top} && rm -r ${top}.old && find ${top} -exec touch -d @1700000000 {} +`]);
    expect((await bundle('create', '--from', top, '-o', made)).stdout).toContain('those that were there, which are current');
    expect(sum(made)).toBe(sum(kept));
    execFileSync('touch', ['-d', '@1700000001', join(top, 'kernel/fs')]);
    expect((await bundle('create', '--from', top, '-o', made)).stdout).toContain('made anew');
    expect(sum(made)).toBe(sum(kept));
    expect((await bundle('create', '--from', top, ...SELECT, '-o', made)).status).toBe(0);
    // Out of an image of somebody else, as it came from the tree; and out of our own.
    const image = imageBy(`${erofsUtils15().command('mkfs.erofs')} -zlz4 $OUT lib/modules >/dev/null`, root);
    expect((await bundle('create', '--from', image, ...SELECT, '-o', `${made}.image`)).status).toBe(0);
    expect(sum(`${made}.image`)).toBe(sum(made));
    expect((await bundle('create', '--from', kept, '-o', `${made}.image`)).stdout).toContain('those that were there, which are current');
    expect(sum(`${made}.image`)).toBe(sum(kept));
    for (const file of [image, `${made}.image`]) rmSync(file);
    rmSync(root, { recursive: true });
    expect((await bundle('extract', '-C', join(root, 'lib/modules'), made)).status).toBe(0);
    const ours = listingOfDirectory(root);
    expect(kmod.run('depmod', ['-b', root, '-C', join(scratch, 'none'), release]).status).toBe(0);
    expect(listingOfDirectory(root)).toEqual(ours);
    rmSync(root, { recursive: true });
  });

  it('makes images that the tools of their formats find whole and unpack as they are', () => {
    const expected = listingOfDirectory(unpacked);
    expect(Object.keys(expected).length).toBeGreaterThan(150);
    const fsck = erofsUtils15().command('fsck.erofs');
    expect(listingOfDirectory(imageBy(`${fsck} --extract=$OUT ${selected('erofs')}`, scratch))).toEqual(expected);
    const { [`lib`]: _, [`lib/modules`]: __, ...members } = listingOfDirectory(imageBy(`mkdir $OUT && cd $OUT && cpio -idm --quiet < ${selected('cpio')}`, scratch));
    // modules.bundle says the same of each; its place is another one.
    expect(Object.fromEntries(Object.entries(members).map(([path, what]) => [path.replace(/^lib\/modules\//, ''), what]))).toEqual(expected);
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/sbin:/usr/sbin` };
    expect(spawnSync('e2fsck', ['-fn', selected('ext4')], { env }).status).toBe(0);
    const dumped = join(scratch, 'dumped');
    mkdirSync(dumped);
    execFileSync('debugfs', ['-R', `rdump ${release} ${dumped}`, selected('ext4')], { env, stdio: 'pipe' });
    expect(listingOfDirectory(dumped)).toEqual(expected);
    if (findTool('unsquashfs') !== undefined) {
      expect(listingOfDirectory(imageBy(`unsquashfs -q -n -d $OUT ${selected('squashfs')} > unsquashfs.log`, scratch))).toEqual(expected);
    }
  });

  it.each(['erofs', 'cpio', 'ext4', 'squashfs'])('makes the same %s again, of a copy whose owners, modes, times and order are others', async (format) => {
    const copy = join(scratch, 'copy/lib/modules', release);
    if (!existsSync(copy)) mkdirSync(copy, { recursive: true });
    if (readdirSync(copy).length === 0) execFileSync('sh', ['-c', `cd ${current} && find . -type f | sort -r | cpio -pd --quiet ${copy} && chmod -R g+w ${copy} && find ${copy} -exec touch -d @1234567890 {} + && touch -d @1 ${copy}/modules.dep`]);
    const again = join(scratch, `again.${format}`);
    expect((await bundle('create', '--from', copy, ...SELECT, '--format', format, '-o', again)).status).toBe(0);
    expect(sum(again)).toBe(sum(selected(format)));
    expect(await bundle('verify', again)).toMatchObject({ status: 0, stderr: '' });
  });

  it('leaves the old file whole on a disk that is full, in every format', async (context) => {
    const cli = join(import.meta.dirname, '../../dist/tskmod.cjs');
    if (!existsSync(cli)) return context.skip('not built');
    const disk = join(scratch, 'disk');
    mkdirSync(disk);
    writeFileSync(join(scratch, 'old'), 'the old one');
    // A tmpfs of its own in a namespace of its own, into which neither the whole image nor half of it goes.
    const script = `mount -t tmpfs -o size=2m none ${disk} && cp ${scratch}/old ${disk}/bundle || exit 77
for format in erofs cpio ext4 squashfs; do
  ${process.execPath} ${cli} bundle create --from ${current} ${SELECT.map((word) => `'${word}'`).join(' ')} --format $format -o ${disk}/bundle 2>&1 >/dev/null | grep -c ENOSPC
  ls -A ${disk}; cat ${disk}/bundle; echo
done`;
    const { status, stdout } = spawnSync('unshare', ['-rm', 'sh', '-c', script], { encoding: 'utf8' });
    if (status === 77 || status === 1) return context.skip('no mount namespaces');
    expect(stdout).toBe('1\nbundle\nthe old one\n'.repeat(4));
  });

  it('is interrupted without a trace', async (context) => {
    const cli = join(import.meta.dirname, '../../dist/tskmod.cjs');
    if (!existsSync(cli)) return context.skip('not built');
    const place = join(scratch, 'interrupted');
    mkdirSync(place);
    writeFileSync(join(place, 'bundle'), 'the old one');
    // The signal comes when the new file is there.
    const script = `${process.execPath} ${cli} bundle create --from ${current} --format squashfs -o ${place}/bundle & pid=$!
until [ "$(ls -A ${place} | wc -l)" -gt 1 ] || ! kill -0 $pid 2>/dev/null; do :; done; kill -TERM $pid; wait $pid; echo "status $?"`;
    const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
    expect([stdout, stderr]).toEqual(['status 1\n', 'tskmod bundle: interrupted; nothing was replaced\n']);
    expect([readdirSync(place), readFileSync(join(place, 'bundle'), 'utf8')]).toEqual([['bundle'], 'the old one']);
  });
});
