// The selection of modules beside what modprobe -D and modinfo -F firmware of Debian's kmod say.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

import { readMachine, readSelection } from '../../src/kmod/select-reader.ts';
import { openTreeDirectory } from '../../src/kmod/tree-source.ts';
import { openSystem } from '../../src/system.ts';
import { debianTree, kmod30 } from './oracle.ts';

const tree = await debianTree('6.12-cloud');
const reason = typeof tree === 'string' ? tree : kmod30.reason;
const config = mkdtempSync(join(tmpdir(), 'tsmodprobe-select-'));
afterAll(() => rmSync(config, { recursive: true, force: true }));

describe.skipIf(reason !== undefined)(`readSelection${reason === undefined ? '' : ` (${reason})`}`, () => {
  if (typeof tree === 'string') return;
  const { release, root, directory } = tree;
  // Nothing is loaded there, so that modprobe -D leaves nothing out, and no command line has parameters.
  const system = openSystem({ release, roots: { proc: join(config, 'proc'), sys: join(config, 'sys') } });
  const source = openTreeDirectory(directory, release);
  /** The paths that Debian's modprobe would insert for each of these. */
  const inserted = (names: readonly string[]): string[] => {
    const { stdout } = kmod30.run('modprobe', ['-d', root, '-C', config, '-S', release, '-a', '-D', ...names]);
    return [...new Set(stdout.split('\n').filter((line) => line.startsWith('insmod ')).map((line) => line.split(' ')[1]?.slice(directory.length + 1) ?? ''))].sort();
  };
  const selected = async (options: Parameters<typeof readSelection>[2]) => readSelection(system, source, options);
  const dep = () => readFileSync(join(directory, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => line.slice(0, line.indexOf(':')));

  it('has for every module of the tree the files that modprobe -D lists', async () => {
    const paths = dep();
    expect((await selected({ globs: ['**'] })).files.map(({ path }) => path)).toEqual(inserted(paths.map((path) => path.replace(/^.*\/|\.ko.*$/g, ''))));
    for (const name of ['xfs', 'nvme', 'virtio_net', 'libceph']) {
      expect([name, (await selected({ names: [name] })).files.map(({ path }) => path)]).toEqual([name, inserted([name])]);
    }
  });

  it('takes all softdep lines of a module, of which kmod takes the first', async () => {
    const lines = readFileSync(join(directory, 'modules.softdep'), 'latin1').split('\n').filter((line) => line.startsWith('softdep btrfs pre: '));
    expect(lines.length).toBeGreaterThan(1);
    const softdeps = lines.map((line) => line.slice('softdep btrfs pre: '.length));
    expect((await selected({ names: ['btrfs'] })).files.map(({ path }) => path)).toEqual(inserted(['btrfs', ...softdeps]));
  });

  it('has for a captured machine what modprobe -D lists for its modaliases', async () => {
    const q35 = readMachine(join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'examples/q35'));
    expect(q35.devices.length).toBeGreaterThan(20);
    const { files } = await selected({ machines: [q35] });
    expect(files.length).toBeGreaterThan(5);
    expect(files.map(({ path }) => path)).toEqual(inserted(q35.devices.map(({ modalias }) => modalias)));
  });

  it('names the firmware that modinfo names', async () => {
    const { files, missing } = await selected({ globs: ['kernel/drivers/**'], firmware: true, firmwareRoots: [join(config, 'none')] });
    const listed = kmod30.run('modinfo', ['-F', 'firmware', ...files.map(({ path }) => join(directory, path))]).stdout.split('\n').filter(Boolean);
    expect(existsSync(join(config, 'none'))).toBe(false);
    expect(missing.map(({ name }) => name)).toEqual([...new Set(listed)].sort());
  });
});
