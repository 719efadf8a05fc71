import { existsSync, lstatSync, lutimesSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeScript } from '../../native-bindings/fake.ts';
import { openSystem } from '../../src/system.ts';
import { removeLinks, updateLinks } from '../../src/udev/links.ts';
import type { LinkOwner } from '../../src/udev/links.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';

function machine(files: Readonly<Record<string, string>> = {}, script: FakeScript = {}) {
  const root = fixtureRoot({ 'dev/.keep': '', ...files });
  const log = recordingLog();
  const native = openFakeNative(script);
  const system = openSystem({ root, log, native });
  const set = (device: LinkOwner, links: readonly string[], { priority = 0, previous = [] as readonly string[] } = {}) => updateLinks(system, device, { links, priority, previous });
  return { root, log, native, system, set, dev: join(root, 'dev'), target: (link: string) => readlinkSync(join(root, 'dev', link)) };
}

const disk = (letter: string, minor: number): LinkOwner => ({
  devnum: { type: 'block', major: 8, minor }, devname: `sd${letter}`, ifindex: undefined, subsystem: 'block', sysname: `sd${letter}`, devpath: `/devices/sd${letter}`,
});
const A = disk('a', 0);
const B = disk('b', 16);

describe('updateLinks', () => {
  it('makes relative links, the one by number, and a claim that other udevs read', async () => {
    const { set, root, target } = machine();
    await set(A, ['disk/by-id/x', 'root'], { priority: -3 });
    expect([target('disk/by-id/x'), target('root'), target('block/8:0')]).toEqual(['../../sda', 'sda', '../sda']);
    const stack = join(root, 'run/udev/links/disk\\x2fby-id\\x2fx');
    expect(readdirSync(stack).sort()).toEqual(['.lock', 'b8:0']);
    expect(readlinkSync(join(stack, 'b8:0'))).toBe(`-3:${root}/dev/sda`);
    expect(statSync(join(stack, '.lock')).mode & 0o777).toBe(0o600);
  });

  it('gives a link to the highest priority, and among equals to the latest', async () => {
    const { set, target } = machine();
    await set(A, ['l'], { priority: 5 });
    await set(B, ['l']);
    expect(target('l')).toBe('sda');
    await set(B, ['l'], { priority: 5 });
    expect(target('l')).toBe('sdb');
  });

  it('gives the links of the previous event that are no longer wanted to the next claimant, or removes them', async () => {
    const { set, target, dev } = machine();
    await set(A, ['l', 'only/a/b', 'kept']);
    await set(B, ['l']);
    expect(target('l')).toBe('sdb');
    await set(B, [], { previous: ['l'] });
    expect(target('l')).toBe('sda');
    await set(A, ['kept'], { previous: ['l', 'only/a/b', 'kept'] });
    expect(readdirSync(dev).sort()).toEqual(['.keep', 'block', 'kept']);
  });

  it('leaves nothing of a link that nobody claims any more', async () => {
    const { set, root, system } = machine();
    await set(A, ['disk/by-id/x', 'shared']);
    await set(B, ['shared']);
    await set(A, ['disk/by-id/y', 'shared'], { previous: ['disk/by-id/x', 'shared'] });
    expect(readdirSync(join(root, 'run/udev/links')).sort()).toEqual(['disk\\x2fby-id\\x2fy', 'shared']);
    await removeLinks(system, A, ['disk/by-id/y', 'shared', 'never/had']);
    expect(readdirSync(join(root, 'run/udev/links/shared')).sort()).toEqual(['.lock', 'b8:16']);
    await removeLinks(system, B, ['shared']);
    expect(readdirSync(join(root, 'run/udev/links'))).toEqual([]);
  });

  it('takes a new lock where the one that it waited for was removed with the last claim', async () => {
    const { root, log, native, target } = machine({}, { answers: [{ call: 'flock', errno: 11, times: 1 }] });
    // Another process gives the link back while we wait.
    const flockWait = (fd: number, operation: number) => {
      rmSync(join(root, 'run/udev/links/l'), { recursive: true });
      return native.flockWait(fd, operation);
    };
    await updateLinks(openSystem({ root, log, native: { ...native, flockWait } }), A, { links: ['l'], priority: 0, previous: [] });
    expect(native.calls.map(({ call }) => call)).toEqual(['flock', 'flockWait', 'flock']);
    expect([target('l'), readdirSync(join(root, 'run/udev/links/l')).sort()]).toEqual(['sda', ['.lock', 'b8:0']]);
  });

  it('lets the latest of several equal claims follow when the best one goes', async () => {
    const { set, target, root } = machine();
    await set(A, ['l']);
    await set(B, ['l']);
    lutimesSync(join(root, 'run/udev/links/l/b8:0'), 1000, 1000);
    await set(disk('c', 32), ['l'], { priority: 9 });
    await set(disk('c', 32), [], { priority: 9, previous: ['l'] });
    expect(target('l')).toBe('sdb');
  });

  it('never replaces what is no link', async () => {
    const { set, log, dev } = machine({ 'dev/null': 'a node', 'dev/dir/x': '' });
    await set(A, ['null', 'dir', 'null/below']);
    expect([lstatSync(join(dev, 'null')).isFile(), lstatSync(join(dev, 'dir')).isDirectory()]).toEqual([true, true]);
    expect(log.lines).toEqual([
      `warn link-conflict: ${dev}/null is there and no link: the link to sda is not made`,
      `warn link-conflict: ${dev}/dir is there and no link: the link to sda is not made`,
      expect.stringMatching(/^warn link-failed: .*null\/below: /),
    ]);
    await set(A, [], { previous: ['null', 'dir', 'null/below'] });
    expect([existsSync(join(dev, 'null')), existsSync(join(dev, 'dir/x'))]).toEqual([true, true]);
  });

  it('refuses links that lead out of /dev', async () => {
    const { set, log, root } = machine();
    await set(A, ['../out', 'a/../../out', '']);
    expect(existsSync(join(root, 'run'))).toBe(false);
    expect(log.lines).toHaveLength(3);
  });

  it('keeps no claims on links by the sequence number of the disk', async () => {
    const { set, root, target, dev } = machine();
    await set(A, ['disk/by-diskseq/7']);
    expect(target('disk/by-diskseq/7')).toBe('../../sda');
    expect(existsSync(join(root, 'run/udev/links'))).toBe(false);
    await set(A, ['disk/by-diskseq/8'], { previous: ['disk/by-diskseq/7'] });
    expect(readdirSync(join(dev, 'disk/by-diskseq'))).toEqual(['8']);
  });

  it('waits on a thread while another process has the lock', async () => {
    const { set, native, target } = machine({}, { answers: [{ call: 'flock', errno: 11, times: 1 }] });
    await set(A, ['l']);
    expect(native.calls).toEqual([{ call: 'flock', operation: 6 }, { call: 'flockWait', operation: 2 }]);
    expect(target('l')).toBe('sda');
  });

  it('goes on where /run takes nothing, and says so', async () => {
    const { set, log, target } = machine({ run: '' });
    await set(A, ['l']);
    await set(B, ['l']);
    expect([target('block/8:0'), target('l')]).toEqual(['../sda', 'sda']);
    expect(log.lines).toEqual(Array(2).fill(expect.stringMatching(/^warn link-failed: .*dev\/l: E/)));
  });

  it('does nothing for a device without a node', async () => {
    const { set, root } = machine();
    await set({ ...A, devnum: undefined }, ['l']);
    await set({ ...A, devname: '../x' }, ['l']);
    expect(readdirSync(join(root, 'dev'))).toEqual(['.keep']);
  });
});

describe('removeLinks', () => {
  it('leaves nothing of the device, nor directories that are empty now', async () => {
    const { set, system, dev, target } = machine();
    await set(B, ['shared']);
    await set(A, ['disk/by-id/a', 'disk/by-diskseq/7', 'shared']);
    await removeLinks(system, A, ['disk/by-id/a', 'disk/by-diskseq/7', 'shared', 'never/was']);
    expect(readdirSync(dev).sort()).toEqual(['.keep', 'block', 'shared']);
    expect([readdirSync(join(dev, 'block')), target('shared')]).toEqual([['8:16'], 'sdb']);
  });

  it('leaves links that lead elsewhere by now', async () => {
    const { set, system, root } = machine();
    mkdirSync(join(root, 'dev/block'));
    writeFileSync(join(root, 'dev/block/8:0'), 'not a link');
    await set(B, ['disk/by-diskseq/7']);
    await removeLinks(system, A, ['disk/by-diskseq/7']);
    expect([existsSync(join(root, 'dev/block/8:0')), lstatSync(join(root, 'dev/disk/by-diskseq/7')).isSymbolicLink()]).toEqual([true, true]);
  });
});
