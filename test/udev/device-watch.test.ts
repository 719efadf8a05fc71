import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeScript } from '../../native-bindings/fake.ts';
import { openSystem } from '../../src/system.ts';
import { openDeviceWatch } from '../../src/udev/device-watch.ts';
import type { WatchedDevice } from '../../src/udev/device-watch.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';

const IN_CLOSE_WRITE = 8;
const SDA = 'sys/devices/sda';

async function machine({ files = {}, script = {} }: { files?: Readonly<Record<string, string>>; script?: FakeScript } = {}) {
  const root = fixtureRoot({ 'dev/sda': '', 'dev/dm-0': '', [`${SDA}/uevent`]: '', 'sys/devices/dm-0/uevent': '', 'run/udev/data/b8:0': '', ...files });
  const log = recordingLog();
  const native = openFakeNative(script);
  const device = (sysname: string, minor: number): WatchedDevice => ({
    devnum: { type: 'block', major: 8, minor }, devname: sysname, devtype: 'disk', ifindex: undefined, subsystem: 'block', sysname,
    syspath: join(root, 'sys/devices', sysname), devpath: `/devices/${sysname}`,
  });
  const system = openSystem({ root, log, native });
  const sda = device('sda', 0);
  const open = () => openDeviceWatch(system, { deviceOf: (id) => (id === 'b8:0' ? sda : undefined) });
  const watch = await open();
  const inotify = () => native.inotifies.at(-1);
  const write = (name: string) => inotify()?.inject(join(root, 'dev', name), IN_CLOSE_WRITE);
  const uevent = (syspath: string) => readFileSync(join(root, syspath, 'uevent'), 'utf8');
  const links = () => {
    const directory = join(root, 'run/udev/watch');
    return Object.fromEntries((existsSync(directory) ? readdirSync(directory) : []).sort().map((name) => [name, readlinkSync(join(directory, name))]));
  };
  return { root, log, native, system, sda, dm: device('dm-0', 16), watch, inotify, write, uevent, links, open };
}

describe('openDeviceWatch', () => {
  it('watches a device between its events, and tells other udevs', async () => {
    const { watch, sda, links, inotify, root } = await machine();
    watch.end(sda);
    watch.end(sda);
    expect([...inotify()?.watches ?? []]).toEqual([[1, join(root, 'dev/sda')]]);
    expect(links()).toEqual({ 1: 'b8:0', 'b8:0': '1' });
    watch.begin(sda);
    watch.begin(sda);
    expect([inotify()?.watches.size, links()]).toEqual([0, {}]);
  });

  it('makes up a change of a disk without partitions after reading its table again', async () => {
    const { watch, sda, write, uevent, native } = await machine();
    watch.end(sda);
    write('sda');
    await vi.waitFor(() => expect(uevent(SDA)).toBe('change'));
    expect(native.calls.map(({ call }) => call)).toEqual(['openInotify', 'inotifyAdd', 'flock', 'rereadPartitionTable']);
  });

  it('leaves a disk with partitions to the kernel, which tells of them all', async () => {
    const { watch, sda, write, uevent, native } = await machine({ files: { [`${SDA}/sda1/uevent`]: '', [`${SDA}/sda1/partition`]: '1\n' } });
    watch.end(sda);
    write('sda');
    await vi.waitFor(() => expect(native.calls.at(-1)).toEqual({ call: 'rereadPartitionTable' }));
    await new Promise(setImmediate);
    expect([uevent(SDA), uevent(`${SDA}/sda1`)]).toEqual(['', '']);
  });

  it('makes up changes of the disk and its partitions where the table cannot be read', async () => {
    const { watch, sda, write, uevent } = await machine({
      files: { [`${SDA}/sda1/uevent`]: '', [`${SDA}/sda1/partition`]: '1\n', [`${SDA}/sdax/uevent`]: '' }, script: { answers: [{ call: 'rereadPartitionTable', errno: 16 }] },
    });
    watch.end(sda);
    write('sda');
    await vi.waitFor(() => expect([uevent(SDA), uevent(`${SDA}/sda1`), uevent(`${SDA}/sdax`)]).toEqual(['change', 'change', '']));
  });

  it('reads no table of a disk that somebody has locked, nor of a mapped device', async () => {
    const { watch, sda, dm, write, uevent, native } = await machine({ script: { answers: [{ call: 'flock', errno: 11 }] } });
    watch.end(sda);
    watch.end(dm);
    write('sda');
    write('dm-0');
    await vi.waitFor(() => expect([uevent(SDA), uevent('sys/devices/dm-0')]).toEqual(['change', 'change']));
    expect(native.calls.some(({ call }) => call === 'rereadPartitionTable')).toBe(false);
  });

  it('sets up after a restart what the last daemon watched', async () => {
    const { links, open, watch, sda, inotify, root } = await machine();
    watch.end(sda);
    await watch.close();
    expect(links()).toEqual({ 1: 'b8:0', 'b8:0': '1' });
    await open();
    expect([...inotify()?.watches ?? []]).toEqual([[1, join(root, 'dev/sda')]]);
    expect(links()).toEqual({ 1: 'b8:0', 'b8:0': '1' });
  });

  it('minds neither foreign files in /run/udev/watch nor devices that are gone', async () => {
    const { links, log } = await machine({ files: { 'run/udev/watch/7': 'text', 'run/udev/watch/b9:9': '', 'run/udev/watch/x': '' } });
    expect([links(), log.lines]).toEqual([{}, []]);
  });

  it('looks at all devices again when events were lost', async () => {
    const { watch, sda, inotify, uevent, log } = await machine();
    watch.end(sda);
    inotify()?.lose();
    await vi.waitFor(() => expect(uevent(SDA)).toBe('change'));
    expect(log.lines).toEqual(['warn watch-lost: changes of watched devices were lost: looking at all of them again']);
  });

  it('makes no file for a device that vanished', async () => {
    const { watch, dm, write, root, log } = await machine();
    watch.end({ ...dm, syspath: join(root, 'sys/devices/gone') });
    write('dm-0');
    await new Promise(setImmediate);
    expect(existsSync(join(root, 'sys/devices/gone'))).toBe(false);
    expect(log.lines).toEqual([expect.stringMatching(/^debug change-failed: .*gone: ENOENT/)]);
  });

  it('logs what cannot be watched', async () => {
    const { watch, sda, log, links } = await machine({ script: { answers: [{ call: 'inotifyAdd', errno: 28 }] } });
    watch.end(sda);
    expect(log.lines).toEqual([expect.stringMatching(/^warn watch-failed: cannot watch .*dev\/sda: ENOSPC$/)]);
    expect(links()).toEqual({});
  });
});
