// Watching the configuration: what counts as a change.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
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

  it('does not watch what only holds a directory that is there', async () => {
    // The daemon writes to /run/udev with every event; /run has to be watched, as modprobe.d may come there.
    mkdirSync(join(root.path, 'run/udev/rules.d'), { recursive: true });
    const directories = ['run/modprobe.d', 'run/udev/rules.d'].map((directory) => join(root.path, directory));
    const watch = await watchConfig(testSystem(root.path, { clock: testClock() }), { directories, onChange: () => undefined });
    const watched = ['run', 'run/udev', 'run/udev/rules.d'].filter((directory) => isWatchedByUs(join(root.path, directory)));
    expect(watched).toEqual(['run', 'run/udev/rules.d']);
    await watch.close();
  });
});

/** By what the kernel says of this process's inotify descriptors. */
function isWatchedByUs(directory: string): boolean {
  const ino = ` ino:${statSync(directory).ino.toString(16)} `;
  // The descriptor by which the directory itself was read is gone.
  const infos = readdirSync('/proc/self/fdinfo').map((fd) => `/proc/self/fdinfo/${fd}`).filter((path) => existsSync(path));
  return infos.some((path) => readFileSync(path, 'utf8').split('\n').some((line) => line.startsWith('inotify ') && line.includes(ino)));
}
