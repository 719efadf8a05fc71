import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { bundleApplet } from '../../src/applets/bundle.ts';
import { formatCpio, S_IFREG } from '../../src/image/cpio.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { MODULES, RELEASE, TREE_FILES } from './bundle-tree.ts';

const TREE = `lib/modules/${RELEASE}`;
const NEWER = buildModule({ modinfo: ['alias=of:newer', `vermagic=${RELEASE} SMP`], needs: [{ name: 'base_call' }] });
const OTHER = buildModule({ modinfo: ['vermagic=5.0 SMP'], exports: [{ name: 'other', crc: 2 }] });
const run = (root: string, ...argv: readonly string[]) => runApplet(bundleApplet, argv, { root });

describe('tskmod bundle add', () => {
  it.each(['erofs', 'cpio'])('makes of an %s the bundle that a tree with these modules would give, but for the time', async (format) => {
    const root = fixtureRoot({ ...TREE_FILES, 'new/soft.ko': NEWER, 'new/other.ko': OTHER, 'lib/firmware/top/blob.bin': 'blob' });
    const [file, wanted] = [join(root, 'bundle'), join(root, 'wanted')];
    expect((await run(root, 'create', '--firmware', '--format', format, '-o', file)).status).toBe(0);
    const { status, stdout, stderr } = await run(root, 'add', file, join(root, 'new/soft.ko'), join(root, 'new/other.ko'));
    expect([status, stderr]).toEqual([0, `tskmod bundle: warning: ${root}/new/other.ko: was built for 5.0, and the bundle is of ${RELEASE}\n`]);
    expect(stdout.split('\n').slice(0, 2)).toEqual(['replaced  kernel/soft.ko', 'added  extra/other.ko']);
    expect(await run(root, 'verify', file)).toMatchObject({ status: 0, stderr: '' });

    writeFileSync(join(root, TREE, 'kernel/soft.ko'), NEWER);
    mkdirSync(join(root, TREE, 'extra'));
    writeFileSync(join(root, TREE, 'extra/other.ko'), OTHER);
    expect((await run(root, 'create', '--firmware', '--format', format, '-o', wanted)).status).toBe(0);
    expect(Buffer.compare(readFileSync(file), readFileSync(wanted))).toBe(0);
    expect(readdirSync(root).sort()).toEqual(['bundle', 'lib', 'new', 'wanted']);
  });

  it('refuses what is no module, what is there twice, and what it would lose; the bundle stays', async () => {
    const root = fixtureRoot({ ...TREE_FILES, 'a/x.ko': OTHER, 'b/x.ko': OTHER, 'x.txt': '', 'bad.ko': 'no module' });
    const file = join(root, 'bundle');
    await run(root, 'create', '-o', file);
    const before = readFileSync(file);
    const said = async (...names: readonly string[]) => {
      const { status, stderr } = await run(root, 'add', file, ...names.map((name) => join(root, name)));
      return [status, stderr.replaceAll(`${root}/`, '')];
    };
    expect(await said('x.txt')).toEqual([1, 'tskmod bundle: add x.txt: a module is a file whose name ends in .ko, .ko.gz, .ko.xz or .ko.zst\n']);
    expect(await said('a/x.ko', 'b/x.ko')).toEqual([1, 'tskmod bundle: add b/x.ko: two files of the module x\n']);
    expect(await said('bad.ko')).toEqual([1, 'tskmod bundle: bad.ko: not an ELF file: a bundle holds modules that can be loaded\n']);
    expect(await said('nosuch.ko')).toEqual([1, expect.stringContaining('ENOENT')]);
    expect(await said()).toEqual([1, 'tskmod bundle: add: which modules?\n']);
    expect(Buffer.compare(readFileSync(file), before)).toBe(0);

    const modules = Object.entries(MODULES).map(([path, data]) => ({ path: `${TREE}/${path}`, mode: S_IFREG | 0o644, data }));
    writeFileSync(file, formatCpio([...modules, { path: 'init', mode: S_IFREG | 0o755, data: Buffer.from('#!') }]));
    expect(await said('a/x.ko')).toEqual([1, 'tskmod bundle: bundle: it is no bundle of ours: it has init, which would be lost\n']);
    expect(dirname(file)).toBe(root);
  });
});
