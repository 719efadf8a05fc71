import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { udevadmTrigger } from '../../src/applets/udevadm-trigger.ts';
import { openSystem } from '../../src/system.ts';
import { formatBroadcast } from '../../src/udev/broadcast.ts';
import { openControlServer } from '../../src/udev/control-socket.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { writeSysfs } from '../udev/captured-sysfs.ts';
import { runApplet } from './run-applet.ts';

const SYSFS = `P: /devices/pci0000:00
E: X=1

P: /devices/pci0000:00/0000:00:02.0
E: SUBSYSTEM=pci
A: vendor=0x8086

P: /devices/pci0000:00/0000:00:02.0/net/eth0
E: SUBSYSTEM=net
E: IFINDEX=2

P: /devices/virtual/block/dm-0
E: SUBSYSTEM=block
E: DEVTYPE=disk

P: /devices/virtual/net/lo
E: SUBSYSTEM=net
E: IFINDEX=1
`;

const machine = () => {
  const root = fixtureRoot({ 'run/udev/data/n1': 'E:A=b\nG:t\nV:1\n' });
  writeSysfs(join(root, 'sys'), SYSFS);
  const run = (...argv: readonly string[]) => runApplet(udevadmTrigger, argv, { root });
  return { root, run, list: async (...argv: readonly string[]) => (await run('-nv', ...argv)).stdout.replaceAll(`${root}/sys/devices/`, '').split('\n').slice(0, -1) };
};

describe('udevadm trigger', () => {
  it('lists the devices that have a subsystem, those that are made of others last', async () => {
    expect(await machine().list()).toEqual(['pci0000:00/0000:00:02.0', 'pci0000:00/0000:00:02.0/net/eth0', 'virtual/net/lo', 'virtual/block/dm-0']);
  });

  it('puts a subsystem first, with the devices above', async () => {
    expect(await machine().list('--prioritized-subsystem=block,net')).toEqual([
      'virtual/block/dm-0', 'pci0000:00/0000:00:02.0', 'pci0000:00/0000:00:02.0/net/eth0', 'virtual/net/lo',
    ]);
  });

  it.each([
    [['-s', 'n*'], ['pci0000:00/0000:00:02.0/net/eth0', 'virtual/net/lo']],
    [['-s', 'net', '--include-parents'], ['pci0000:00/0000:00:02.0', 'pci0000:00/0000:00:02.0/net/eth0', 'virtual/net/lo']],
    [['-S', 'net', '-a', 'vendor=0x*'], ['pci0000:00/0000:00:02.0']],
    [['-g', 't'], ['virtual/net/lo']],
    [['-p', 'A=b'], ['virtual/net/lo']],
    [['-s', 'net', '--initialized-nomatch'], ['pci0000:00/0000:00:02.0/net/eth0']],
    [['-b', '/class/net/eth0', '--include-parents'], ['pci0000:00/0000:00:02.0', 'pci0000:00/0000:00:02.0/net/eth0']],
  ])('%j', async (argv, expected) => {
    expect(await machine().list(...argv)).toEqual(expected);
  });

  it('writes the action, and with --uuid what it prints', async () => {
    const { root, run } = machine();
    const file = join(root, 'sys/devices/virtual/net/lo/uevent');
    const write = async (...argv: readonly string[]) => {
      writeFileSync(file, '');
      const { stdout } = await run('-y', 'lo', '-c', 'add', ...argv);
      return { stdout, written: readFileSync(file, 'utf8') };
    };
    expect(await write('-v')).toEqual({ stdout: `${root}/sys/devices/virtual/net/lo\n`, written: 'add' });
    const { stdout, written } = await write('--uuid');
    expect(stdout).toMatch(/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\n$/);
    expect(written).toBe(`add ${stdout.trimEnd()}`);
  });

  it('says what never came with --settle, where no daemon works', async () => {
    const { root, run } = machine();
    const syspath = `${root}/sys/devices/virtual/net/lo`;
    expect(await run('-y', 'lo', '--settle', '-v')).toEqual({
      status: 1, stdout: `${syspath}\n`,
      stderr: `trigger: udev never answered for ${syspath}\ntrigger: udev has nothing left to do: their events were lost, or no udev works on ${root}/run/udev\n`,
    });
  });

  it('asks again for what was lost with --settle, and gives up on what never comes', async () => {
    const { root } = machine();
    const native = openFakeNative();
    const file = join(root, 'sys/devices/virtual/net/lo/uevent');
    const asked = new Set<string>();
    let answerTo = 2;
    const server = await openControlServer(openSystem({ root, native, log: recordingLog() }), {
      onError: () => undefined,
      // The daemon has read all: it answers the request with this number, and has lost the others.
      onMessage: () => {
        const [, uuid = ''] = readFileSync(file, 'utf8').split(' ');
        asked.add(uuid);
        if (asked.size !== answerTo) return;
        const properties = new Map([['ACTION', 'change'], ['DEVPATH', '/devices/virtual/net/lo'], ['SUBSYSTEM', 'net'], ['SYNTH_UUID', uuid], ['SEQNUM', '1']]);
        native.sockets.at(-1)?.inject(formatBroadcast({ subsystem: 'net', devtype: undefined, tags: [], properties }), { groups: 2, pid: 1234 });
      },
    });
    const run = () => runApplet(udevadmTrigger, ['-y', 'lo', '--settle'], { root, native });
    const again = 'trigger: 1 events were lost: asking for them again\n';
    expect([await run(), asked.size]).toEqual([{ status: 0, stdout: '', stderr: again }, 2]);
    asked.clear();
    answerTo = Infinity;
    const { status, stderr } = await run();
    expect([status, asked.size, stderr.startsWith(`${again.repeat(3)}trigger: udev never answered for`)]).toEqual([1, 4, true]);
    await server.close();
  });
});
