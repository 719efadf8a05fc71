// Watching the configuration: what counts as a change.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { watchConfig } from '../../src/udev/watch.ts';
import { makeRoot, testClock, testSystem, type TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
  mkdirSync(join(root.path, 'etc/modprobe.d'), { recursive: true });
  mkdirSync(join(root.path, 'modules/kernel'), { recursive: true });
});
afterEach(() => root.remove());

/** `next` resolves with the base name of the next change. */
async function watching() {
  let report = (_path: string): void => undefined;
  const watch = await watchConfig(testSystem(root.path, { clock: testClock() }), {
    directories: [join(root.path, 'etc/modprobe.d'), join(root.path, 'run/modprobe.d')],
    indexDirectory: join(root.path, 'modules'),
    onChange: (path) => report(path.slice(root.path.length + 1)),
  });
  const next = () => new Promise<string>((resolve) => {
    report = resolve;
  });
  return { watch, next };
}

describe('watchConfig', () => {
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
