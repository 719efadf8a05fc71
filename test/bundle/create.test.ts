import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { depmodApplet } from '../../src/applets/depmod.ts';
import { formatManifest, parseManifest } from '../../src/bundle/manifest.ts';
import { replaceWhole } from '../../src/bundle/whole-file.ts';
import { FormatError } from '../../src/errors.ts';
import { cpioChunks, type CpioEntry, S_IFDIR, S_IFREG } from '../../src/image/cpio.ts';
import { walk } from '../../src/image/image-tree.ts';
import { openImageFile } from '../../src/kmod/image-source.ts';
import { openSystem } from '../../src/system.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { MODULES, RELEASE, TREE_FILES } from './bundle-tree.ts';

const INDEXES = [
  'modules.alias', 'modules.alias.bin', 'modules.builtin', 'modules.builtin.alias.bin', 'modules.builtin.bin', 'modules.builtin.modinfo', 'modules.dep', 'modules.dep.bin',
  'modules.devname', 'modules.order', 'modules.softdep', 'modules.symbols', 'modules.symbols.bin', 'modules.weakdep',
];
const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function create(root: string, ...args: readonly string[]) {
  return runApplet(bundleApplet, ['create', ...args], { root });
}

/** Path and sum of each file of an image. */
async function filesOf(path: string): Promise<Record<string, string>> {
  const image = await openImageFile(openSystem(), path);
  try {
    return Object.fromEntries([...walk(image.tree)].flatMap((entry) => (entry.kind === 'file' ? [[entry.path, sum(image.tree.read(entry))]] : [])));
  } finally {
    image.close();
  }
}

describe('tskmod bundle create', () => {
  it.each([['erofs', `${RELEASE}/`], ['cpio', `lib/modules/${RELEASE}/`]])('makes an %s with modules and the indexes that depmod makes', async (format, top) => {
    const root = fixtureRoot(TREE_FILES);
    const file = join(root, 'bundle');
    expect(await create(root, '--format', format, '-o', file, '--json')).toMatchObject({ status: 0, stderr: '' });
    const tree = join(root, 'lib/modules', RELEASE);
    expect((await runApplet(depmodApplet, ['-C', join(root, 'none'), RELEASE], { root })).status).toBe(0);
    const paths = [...Object.keys(MODULES), ...INDEXES];
    const { [`${top}modules.bundle`]: manifest, ...rest } = await filesOf(file);
    expect(rest).toEqual(Object.fromEntries(paths.map((path) => [top + path, sum(readFileSync(join(tree, path)))])));
    expect(manifest).toBeDefined();
  });

  it('makes the same bytes of a copy of the tree, whatever its times, and keeps indexes that are current', async () => {
    const [first, second] = [fixtureRoot(TREE_FILES), fixtureRoot({})];
    cpSync(join(first, 'lib'), join(second, 'lib'), { recursive: true });
    expect((await create(first, '-o', join(first, 'bundle'))).stdout).toContain('made anew');
    expect((await runApplet(depmodApplet, ['-C', join(first, 'none'), RELEASE], { root: second })).status).toBe(0);
    expect((await create(second, '-o', join(second, 'bundle'))).stdout).toContain('those that were there, which are current');
    expect(sum(readFileSync(join(second, 'bundle')))).toBe(sum(readFileSync(join(first, 'bundle'))));
    expect(readdirSync(second).sort()).toEqual(['bundle', 'lib']);
  });

  it('does not keep indexes that a module is newer than, or that name others', async () => {
    const root = fixtureRoot(TREE_FILES);
    const tree = join(root, 'lib/modules', RELEASE);
    const kept = async () => /current/.test((await create(root, '-o', join(root, 'bundle'))).stdout);
    const depmod = () => runApplet(depmodApplet, ['-C', join(root, 'none'), RELEASE], { root });
    await depmod();
    expect(await kept()).toBe(true);
    // An old file that comes in has an old mtime: its ctime tells.
    writeFileSync(join(tree, 'kernel/soft.ko'), MODULES['kernel/base.ko']);
    utimesSync(join(tree, 'kernel/soft.ko'), 1, 1);
    expect(await kept()).toBe(false);
    await depmod();
    expect(await kept()).toBe(true);
    mkdirSync(join(tree, 'extra'));
    writeFileSync(join(tree, 'extra/more.ko'), MODULES['kernel/soft.ko']);
    expect(await kept()).toBe(false);
  });

  it('keeps the indexes of an image that are current: by the sums of a bundle, by the times of another one', async () => {
    const root = fixtureRoot({ ...TREE_FILES, 'more.ko': MODULES['kernel/soft.ko'] });
    const [first, second] = [join(root, 'first'), join(root, 'second')];
    const remade = async (from: string, ...args: readonly string[]) => {
      const { status, stdout, stderr } = await create(root, '--from', from, '-o', second, ...args);
      expect([status, stderr]).toEqual([0, '']);
      return /made anew|current/.exec(stdout)?.[0];
    };
    await create(root, '-o', first);
    expect([await remade(first), sum(readFileSync(second))]).toEqual(['current', sum(readFileSync(first))]);
    expect(await remade(first, '--select', '**')).toBe('made anew');
    expect(await remade(first, '--modules', join(root, 'more.ko', '..'))).toBe('made anew');

    // Of somebody else: without modules.bundle, and with times.
    const image = await openImageFile(openSystem(), first);
    const files = [...walk(image.tree)].flatMap((entry) => (entry.kind === 'file' && !entry.path.endsWith('modules.bundle') ? [{ path: entry.path, mode: S_IFREG | 0o644, data: Buffer.from(image.tree.read(entry)) }] : []));
    const manifest = image.tree.entry(`${RELEASE}/modules.bundle`);
    const listed = manifest && { path: manifest.path, mode: S_IFREG | 0o644, data: Buffer.from(image.tree.read(manifest)) };
    image.close();
    const [other, base, drivers] = [join(root, 'other'), `${RELEASE}/kernel/base.ko`, `${RELEASE}/kernel/drivers`];
    /** Later archives put files into the place of those before. */
    const written = (entries: readonly CpioEntry[], later: readonly CpioEntry[] = [], mtime = 100) => {
      const chunks = [...cpioChunks<never>(entries, 100), ...(later.length === 0 ? [] : cpioChunks<never>(later, mtime))];
      writeFileSync(other, Buffer.concat(chunks.map((chunk) => Buffer.from(chunk as Uint8Array))));
    };
    written(files);
    expect([await remade(other), sum(readFileSync(second))]).toEqual(['current', sum(readFileSync(first))]);
    for (const [path, mtime] of [[base, 101], [`${RELEASE}/modules.dep`, 99]] as const) {
      written(files, files.filter((entry) => entry.path === path), mtime);
      expect([path, await remade(other)]).toEqual([path, 'made anew']);
    }
    written(files, [{ path: drivers, mode: S_IFDIR | 0o755 }], 101);
    expect(await remade(other)).toBe('made anew');
    written([...files, { path: `${RELEASE}/extra/more.ko`, mode: S_IFREG | 0o644, data: MODULES['kernel/soft.ko'] }]);
    expect(await remade(other)).toBe('made anew');
    written(files.filter(({ path }) => path !== base));
    expect(await create(root, '--from', other, '-o', second)).toMatchObject({ status: 1, stderr: expect.stringContaining('kernel/base.ko') as string });
    // A module in the place of another, and the list of before.
    written([...files.map((entry) => (entry.path === base ? { ...entry, data: Buffer.from(MODULES['kernel/soft.ko']) } : entry)), ...(listed ? [listed] : [])]);
    expect(await remade(other)).toBe('made anew');
    written([...files, ...(listed ? [{ ...listed, data: Buffer.from('something else') }] : [])]);
    expect(await remade(other)).toBe('made anew');
  });

  it('takes a selection with what it needs and its firmware, from a stale tree too', async () => {
    const root = fixtureRoot({ ...TREE_FILES, 'lib/firmware/top/blob.bin': 'blob', [`lib/modules/${RELEASE}/modules.dep`]: '' });
    const file = join(root, 'bundle');
    expect((await create(root, '--select', 'of:top', '--firmware', '-o', file)).status).toBe(0);
    const modules = ['kernel/base.ko', 'kernel/drivers/top.ko', 'kernel/soft.ko'].map((path) => `${RELEASE}/${path}`);
    expect(Object.keys(await filesOf(file)).filter((path) => !path.includes('/modules.'))).toEqual([...modules, 'firmware/top/blob.bin']);
    const { stdout } = await runApplet(bundleApplet, ['list', file], { root });
    expect(stdout.split('\n').map((line) => line.trim().split(/ +/).at(-1)).filter((path) => path?.endsWith('.ko'))).toEqual(['kernel/base.ko', 'kernel/drivers/top.ko', 'kernel/soft.ko']);
    const info = JSON.parse((await runApplet(bundleApplet, ['info', '--json', file], { root })).stdout) as object;
    expect(info).toMatchObject({ kind: 'bundle', format: 'erofs', release: RELEASE, module: { files: 3 }, firmware: { files: 1, bytes: 4 }, selected: ['--select=of:top', '--firmware'], checksums: 18 });
  });

  it('explains why each file is there, what it costs and what goes with it, without writing anything', async () => {
    const root = fixtureRoot(TREE_FILES);
    const bytes = (path: keyof typeof MODULES) => MODULES[path].length;
    expect((await create(root, '--explain', '--select', 'of:top', '--select', 'updates/*')).stdout.split('\n').map((line) => line.replaceAll(/ {2,}/g, '|'))).toEqual([
      ...[['kernel/base.ko', 'needed by vendor, top', 3], ['kernel/drivers/top.ko', 'asked for as of:top', 2], ['updates/vendor.ko', 'asked for as updates/*', 1], ['kernel/soft.ko', 'softdep of top', 1]]
        .map(([path, why, goes]) => ({ path: path as keyof typeof MODULES, why, goes }))
        .sort((a, b) => bytes(b.path) - bytes(a.path))
        .map(({ path, why, goes }) => expect.stringMatching(new RegExp(`^${path}\\|${bytes(path)} B\\|${String(why).replace('*', '\\*')}${goes === 1 ? '$' : `; without it go ${goes === 3 ? 4 : goes} files, `}`)) as string),
      '',
    ]);
    const lines = (await create(root, '--explain', '--json', '--select', 'of:top', '-o', join(root, 'bundle'))).stdout.trim().split('\n').map((line) => JSON.parse(line) as { kind: string; path: string });
    expect(lines.find(({ path }) => path === 'kernel/soft.ko')).toEqual({
      schema: 1, kind: 'bundle-file', type: 'module', path: 'kernel/soft.ko', bytes: bytes('kernel/soft.ko'), reasons: [{ kind: 'softdep', from: 'top' }],
      goesWith: { bytes: bytes('kernel/soft.ko'), paths: ['kernel/soft.ko'] },
    });
    expect(lines.map(({ kind }) => kind)).toEqual(['bundle-file', 'bundle-file', 'bundle-file', 'bundle']);
    expect(readdirSync(root).sort()).toEqual(['bundle', 'lib']);
  });

  it('lays directories and images over each other', async () => {
    const root = fixtureRoot({ ...TREE_FILES, 'vendor/soft.ko': MODULES['kernel/base.ko'] });
    const [base, file] = [join(root, 'base'), join(root, 'bundle')];
    await create(root, '-o', base);
    expect((await create(root, '--from', base, '--modules', join(root, 'vendor'), '-o', file)).status).toBe(0);
    const paths = Object.keys(await filesOf(file)).filter((path) => path.endsWith('.ko'));
    expect(paths).toEqual([`${RELEASE}/kernel/base.ko`, `${RELEASE}/kernel/drivers/big.ko`, `${RELEASE}/kernel/drivers/top.ko`, `${RELEASE}/soft.ko`, `${RELEASE}/updates/vendor.ko`]);
  });

  it.each([
    [['-o', 'x', '--format', 'tar'], '--format tar: there are erofs, squashfs, ext4, cpio'],
    [[], 'where to? Name a file with -o'],
    [['x'], 'create x: the file is named with -o, the modules with --from'],
    [['-o', 'x', '--select', 'nosuch'], expect.stringMatching(/--select nosuch: .* has no such module/)],
    [['-o', 'x', '-S', '1.2'], expect.stringMatching(/no modules of 1\.2 in .*: name them with --from, or the release with --release/)],
  ])('refuses %j', async (args, message) => {
    const { status, stderr } = await create(fixtureRoot(TREE_FILES), ...args);
    expect([status, stderr.replace(/^tskmod bundle: (.*)\n$/, '$1')]).toEqual([1, message]);
  });

  it('names the package of a tool that is not here, before anything is read', async () => {
    const root = fixtureRoot({ ...TREE_FILES, [`lib/modules/${RELEASE}/kernel/bad.ko`]: 'no module at all' });
    vi.stubEnv('PATH', join(root, 'nothing'));
    try {
      expect(await create(root, '--format', 'squashfs', '-o', join(root, 'x'))).toEqual({ status: 1, stdout: '', stderr: 'tskmod bundle: mksquashfs is not installed: run apt-get install squashfs-tools\n' });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('names a module that cannot be read, and leaves what was there', async () => {
    const root = fixtureRoot({ ...TREE_FILES, [`lib/modules/${RELEASE}/kernel/bad.ko`]: 'no module at all', bundle: 'old' });
    const { status, stderr } = await create(root, '-o', join(root, 'bundle'));
    expect([status, stderr]).toEqual([1, expect.stringMatching(/kernel\/bad\.ko: not an ELF file: a bundle holds modules that can be loaded/)]);
    expect([readFileSync(join(root, 'bundle'), 'utf8'), readdirSync(root).sort()]).toEqual(['old', ['bundle', 'lib']]);
  });

  it('hears signals while it reads, as the other commands do, and leaves what was there', async () => {
    const root = fixtureRoot({ ...TREE_FILES, 'new.ko': MODULES['kernel/soft.ko'] });
    const file = join(root, 'bundle');
    await create(root, '-o', file);
    const before = [sum(readFileSync(file)), readdirSync(root).sort()];
    for (const args of [['create', '-o', file], ['create', '--select', 'top', '-o', file], ['create', '--from', file, '-o', join(root, 'x')], ['add', file, join(root, 'new.ko')], ['verify', file]]) {
      const ran = await runApplet(bundleApplet, args, { root, interrupted: true });
      expect([args, ran]).toEqual([args, { status: 1, stdout: '', stderr: 'tskmod bundle: interrupted; nothing was replaced\n' }]);
      expect([sum(readFileSync(file)), readdirSync(root).sort()]).toEqual(before);
    }
  });

  it('refuses a SOURCE_DATE_EPOCH that is none, and writes one that is', async () => {
    const root = fixtureRoot(TREE_FILES);
    const at = (epoch: string) => runApplet(bundleApplet, ['create', '-o', join(root, 'bundle')], { root, env: { SOURCE_DATE_EPOCH: epoch } });
    expect((await at('yesterday')).stderr).toContain('SOURCE_DATE_EPOCH=yesterday: not seconds since 1970');
    expect((await at('1600000000')).status).toBe(0);
    expect((await runApplet(bundleApplet, ['info', join(root, 'bundle')], { root })).stdout).toContain('2020-09-13T12:26:40Z');
  });
});

describe('replaceWhole', () => {
  it('leaves the old file and nothing else where the writer fails or is told to stop', async () => {
    const root = fixtureRoot({ file: 'old' });
    const path = join(root, 'file');
    const controller = new AbortController();
    const halfWritten = (temporary: string) => {
      expect(dirname(temporary)).toBe(root);
      writeFileSync(temporary, 'half');
    };
    await expect(replaceWhole(path, undefined, async (temporary) => {
      halfWritten(temporary);
      throw new Error('disk full');
    })).rejects.toThrow('disk full');
    await expect(replaceWhole(path, controller.signal, async (temporary) => {
      halfWritten(temporary);
      controller.abort();
    })).rejects.toThrow('aborted');
    expect([readFileSync(path, 'utf8'), readdirSync(root)]).toEqual(['old', ['file']]);
    await replaceWhole(path, undefined, async (temporary) => halfWritten(temporary));
    expect([readFileSync(path, 'utf8'), existsSync(path), readdirSync(root)]).toEqual(['half', true, ['file']]);
  });
});

describe('modules.bundle', () => {
  it('is read as it was written, and otherwise refused with its place', () => {
    const manifest = { builder: 'tsmodprobe 1', release: 'r', selected: ['--select=a b'], files: [{ path: 'a b.ko', size: 12, crc32: 0xabc }, { path: 'z', size: 0, crc32: 0 }] };
    const bytes = formatManifest(manifest);
    expect(parseManifest(bytes, 'file')).toEqual(manifest);
    expect(bytes.length).toBe(formatManifest({ ...manifest, files: manifest.files.map((file) => ({ ...file, crc32: 0xffff_ffff })) }).length);
    expect(() => parseManifest(Buffer.from('something'), 'file')).toThrow(FormatError);
    expect(() => parseManifest(Buffer.concat([bytes, Buffer.from('0x1 2\n')]), 'file')).toThrow(`file: at offset ${bytes.length}: expected a sum, a size and a path, found "0x1 2"`);
  });
});
