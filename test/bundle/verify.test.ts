import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { FEATURE_COMPAT_SB_CHKSUM } from '../../src/image/erofs-volume.ts';
import { erofsChunks, type ErofsWriteEntry } from '../../src/image/erofs-write.ts';
import { walk } from '../../src/image/image-tree.ts';
import { openImageFile } from '../../src/kmod/image-source.ts';
import { openSystem } from '../../src/system.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { MODULES, RELEASE, TREE_FILES } from './bundle-tree.ts';

const run = (root: string, ...argv: readonly string[]) => runApplet(bundleApplet, argv, { root });

async function madeBundle(): Promise<{ readonly root: string; readonly file: string }> {
  const root = fixtureRoot(TREE_FILES);
  const file = join(root, 'bundle');
  expect((await run(root, 'create', '-o', file)).status).toBe(0);
  return { root, file };
}

/** The image again, with some files changed, and those left out that become undefined. */
async function rewritten(file: string, changes: Readonly<Record<string, Uint8Array | undefined>>, more: readonly ErofsWriteEntry[] = []): Promise<void> {
  const image = await openImageFile(openSystem(), file);
  const contents = new Map([...walk(image.tree)].flatMap((entry) => (entry.kind === 'file' ? [[entry.path, image.tree.read(entry)] as const] : [])));
  image.close();
  for (const [path, bytes] of Object.entries(changes)) if (bytes) contents.set(`${RELEASE}/${path}`, bytes); else contents.delete(`${RELEASE}/${path}`);
  const entries = [...contents].map(([path, bytes]): ErofsWriteEntry => ({ path, kind: 'file', size: bytes.length, read: (target, offset) => target.set(bytes.subarray(offset, offset + target.length)) }));
  writeFileSync(file, Buffer.concat(Array.from(erofsChunks([...entries, ...more]), (bytes) => Buffer.from(bytes))));
}

describe('tskmod bundle verify', () => {
  it('finds that a bundle agrees, and counts', async () => {
    const { root, file } = await madeBundle();
    const { status, stdout, stderr } = await run(root, 'verify', file);
    expect([status, stderr, stdout.replace(/[\d.]+ kB|[\d.]+ MB/, 'SIZE')]).toEqual([0, '', `${file}: 5 modules of ${RELEASE}, 20 files, SIZE: all agree\n`]);
  });

  it('names the file of which any byte was changed, wherever it is', async () => {
    const { root, file } = await madeBundle();
    const image = await openImageFile(openSystem(), file);
    const extents = [...walk(image.tree)].flatMap((entry) => (entry.kind === 'file' && entry.size > 0 ? [{ path: entry.path, offset: image.tree.extent(entry)?.offset ?? 0, size: entry.size }] : []));
    image.close();
    const whole = readFileSync(file);
    expect(extents.length).toBeGreaterThan(15);
    for (const { path, offset, size } of extents) {
      for (const at of [offset, offset + size - 1]) {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ 1;
        writeFileSync(file, bytes);
        const { status, stderr } = await run(root, 'verify', file);
        expect([path, status, stderr]).toEqual([path, 1, expect.stringContaining(path.endsWith('modules.bundle') ? '' : path.slice(RELEASE.length + 1))]);
      }
    }
    // The superblock has a sum of its own.
    const bytes = Buffer.from(whole);
    bytes[1024 + 40] = 7;
    writeFileSync(file, bytes);
    expect(await run(root, 'verify', file)).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/^tskmod bundle: .*bundle: at offset .*CRC-32C/) as string });
  });

  it('says of each file what is wrong with it', async () => {
    const { root, file } = await madeBundle();
    const problems = async () => (JSON.parse((await run(root, 'verify', '--json', file)).stdout) as { problems: { path: string; message: string }[] }).problems.map(({ path, message }) => `${path}: ${message}`);
    expect(await problems()).toEqual([]);
    await rewritten(file, { 'kernel/soft.ko': undefined, 'extra/new.ko': MODULES['kernel/base.ko'] });
    expect(await problems()).toEqual([
      'extra/new.ko: is not in modules.bundle', 'kernel/soft.ko: is missing: modules.bundle has it', 'extra/new.ko: modules.dep does not name it',
    ]);
    // Somebody else's image, without sums: only what modules say counts.
    await rewritten(file, { 'modules.bundle': undefined, 'extra/new.ko': undefined, 'kernel/soft.ko': MODULES['kernel/drivers/top.ko'] });
    expect(await problems()).toEqual(['dep', 'dep.bin', 'alias', 'alias.bin', 'softdep'].map((name) => `modules.${name}: does not agree with the modules: it was made of others`));
    await rewritten(file, { 'kernel/soft.ko': Buffer.from('no module, and longer than six bytes'), 'modules.alias': undefined });
    expect(await problems()).toEqual([expect.stringMatching(/^kernel\/soft\.ko: .*not an ELF file$/)]);
    await rewritten(file, { 'kernel/soft.ko': MODULES['kernel/soft.ko'] });
    expect(await problems()).toEqual(['modules.alias: is missing']);
  });
});

describe('a file that claims more bytes than there are', () => {
  /** In the first inode of this size, where these four bytes are it. */
  const lying = (image: Buffer, size: number): void => {
    const at = image.indexOf(Buffer.from(Uint32Array.of(size).buffer));
    expect(at).toBeGreaterThan(0);
    image.writeUInt32LE(0xffff_fff0, at);
    // Without the sum of the superblock, whose block has inodes too.
    image.writeUInt32LE(image.readUInt32LE(1024 + 8) & ~FEATURE_COMPAT_SB_CHKSUM, 1024 + 8);
  };

  it('is named at once by every command that reads files', async () => {
    const { root, file } = await madeBundle();
    const size = MODULES['kernel/drivers/big.ko'].length;
    const image = readFileSync(file);
    lying(image, size);
    writeFileSync(file, image);
    const limit = /: 4294967280 exceeds MAX_IMAGE_READ \(536870912\)\n/;
    expect((await run(root, 'list', file)).stdout).toContain('4294967280  kernel/drivers/big.ko');
    expect((await run(root, 'verify', file)).stderr).toMatch(/kernel\/drivers\/big\.ko: .*4294967280 exceeds MAX_IMAGE_READ/);
    expect(await run(root, 'extract', '-C', join(root, 'to'), file)).toMatchObject({ status: 1, stderr: expect.stringMatching(limit) as string });
    for (const args of [['create', '--from', file, '-o', join(root, 'new')], ['create', '--from', file, '--select', 'big', '-o', join(root, 'new')], ['add', file, join(root, 'lib/modules', RELEASE, 'kernel/soft.ko')]]) {
      expect(await run(root, ...args)).toMatchObject({ status: 1, stderr: expect.stringContaining('MAX_IMAGE_READ') as string });
    }
    expect(readFileSync(file).equals(image)).toBe(true);
  });

  it('and what is no file is named, a fifo too', async () => {
    const root = fixtureRoot(TREE_FILES);
    execFileSync('mkfifo', [join(root, 'fifo')]);
    for (const [name, what] of [['fifo', 'a device, a fifo or a socket'], ['lib', 'a directory']] as const) {
      expect(await run(root, 'info', join(root, name))).toEqual({ status: 1, stdout: '', stderr: `tskmod bundle: ${root}/${name}: it is ${what}, and not a file\n` });
    }
  });
});

describe('tskmod bundle extract', () => {
  it('unpacks what matches, with permissions and times, and says what matches nothing', async () => {
    const { root, file } = await madeBundle();
    const to = join(root, 'to');
    expect(await run(root, 'extract', '-C', to, file, 'kernel/**', 'updates/vendor')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readdirSync(to, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ko')).sort()).toEqual(Object.keys(MODULES).map((path) => `${RELEASE}/${path}`).sort());
    for (const [path, bytes] of Object.entries(MODULES)) expect(Buffer.compare(readFileSync(join(to, RELEASE, path)), bytes)).toBe(0);
    expect((await run(root, 'extract', '-C', to, file, 'no/such')).stderr).toBe(`tskmod bundle: extract no/such: ${file} has no such file\n`);
    // Again over what is there.
    expect((await run(root, 'extract', '-C', to, file)).status).toBe(0);
  });

  it('lets nothing out of the directory: neither links of the image, nor those that stand there', async () => {
    const { root, file } = await madeBundle();
    await rewritten(file, {}, [
      { path: 'out', kind: 'symlink', target: '../outside' }, { path: 'absolute', kind: 'symlink', target: '/etc' }, { path: `${RELEASE}/inside`, kind: 'symlink', target: '../x' },
      { path: `${RELEASE}/up`, kind: 'symlink', target: 'a/../../..' },
    ]);
    const to = join(root, 'to');
    const { status, stderr } = await run(root, 'extract', '-C', to, file);
    expect([status, stderr.match(/: (\S+): left out/g)]).toEqual([0, [`: ${RELEASE}/up: left out`, ': absolute: left out', ': out: left out']]);
    expect([readlinkSync(join(to, RELEASE, 'inside')), existsSync(join(to, 'out'))]).toEqual(['../x', false]);
    const [trap, elsewhere] = [join(root, 'trap'), join(root, 'elsewhere')];
    mkdirSync(trap);
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, join(trap, RELEASE));
    expect(await run(root, 'extract', '-C', trap, file)).toMatchObject({ status: 1, stderr: `tskmod bundle: ${trap}/${RELEASE}: it is in the way: no directory\n` });
    expect(readdirSync(elsewhere)).toEqual([]);
    // A link in the place of a file is replaced, and not written through.
    mkdirSync(join(root, 'again', RELEASE), { recursive: true });
    symlinkSync(join(elsewhere, 'dep'), join(root, 'again', RELEASE, 'modules.dep'));
    expect((await run(root, 'extract', '-C', join(root, 'again'), file)).status).toBe(0);
    expect(readdirSync(elsewhere)).toEqual([]);
  });
});
