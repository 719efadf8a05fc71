// Watching the configuration: what counts as a change.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { watchConfig } from '../../src/udev/watch.ts';
import { makeRoot, testClock, testSystem, type TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
  mkdirSync(join(root.path, 'etc/modprobe.d'), { recursive: true });
  mkdirSync(join(root.path, 'modules/kernel'), { recursive: true });
  mkdirSync(join(root.path, 'boot'), { recursive: true });
  writeFileSync(join(root.path, 'boot/modules.img'), 'old');
});
afterEach(() => root.remove());

/** `next` resolves with the base name of the next change. */
async function watching() {
  let report = (_path: string): void => undefined;
  const watch = await watchConfig(testSystem(root.path, { clock: testClock() }), {
    directories: [join(root.path, 'etc/modprobe.d'), join(root.path, 'run/modprobe.d')],
    indexDirectories: [join(root.path, 'modules')],
    files: [join(root.path, 'boot/modules.img')],
    onChange: (path) => report(path.slice(root.path.length + 1)),
  });
  const next = () => new Promise<string>((resolve) => {
    report = resolve;
  });
  return { watch, next };
}

describe('watchConfig', () => {
  it('reports an image that was replaced, twice, and none of its neighbours', async () => {
    const { watch, next } = await watching();
    for (const content of ['new', 'newer']) {
      const replaced = next();
      writeFileSync(join(root.path, 'boot/vmlinuz'), content);
      writeFileSync(join(root.path, 'boot/.modules.tmp'), content);
      renameSync(join(root.path, 'boot/.modules.tmp'), join(root.path, 'boot/modules.img'));
      expect(await replaced).toBe('boot/modules.img');
    }
    await watch.close();
  });

  it('reports changes of the configuration and of the indexes, not of the modules', async () => {
    const { watch, next } = await watching();
    const config = next();
    writeFileSync(join(root.path, 'etc/modprobe.d/local.conf'), 'blacklist pcspkr\n');
    expect(await config).toBe('etc/modprobe.d/local.conf');
    const index = next();
    // Neither of these two is reported: the third is what comes next.
    writeFileSync(join(root.path, 'modules/kernel/a.ko'), '');
    writeFileSync(join(root.path, 'modules/build'), '');
    writeFileSync(join(root.path, 'modules/modules.alias'), '');
    expect(await index).toBe('modules/modules.alias');
    await watch.close();
  });

  it('notices a directory that comes later', async () => {
    const { watch, next } = await watching();
    let change = next();
    mkdirSync(join(root.path, 'run/modprobe.d'), { recursive: true });
    writeFileSync(join(root.path, 'run/modprobe.d/late.conf'), '');
    while (await change !== 'run/modprobe.d/late.conf') change = next();
    await watch.close();
  });
});
