import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { LimitError, ParseError } from '../../src/errors.ts';
import { openAnonymiser } from '../../src/machine/anonymise.ts';
import { machineNeeds, openMachine } from '../../src/machine/open-machine.ts';
import { recordMachine } from '../../src/machine/record-machine.ts';
import { formatEvent, formatRecording, parseRecording } from '../../src/machine/recording.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { RECORDING } from './recording-text.ts';

const file = (text: string): string => join(fixtureRoot({ 'a.rec': text }), 'a.rec');

describe('a recording', () => {
  it('is read and written without a change', () => {
    expect(formatRecording(parseRecording(RECORDING, 'a'))).toBe(RECORDING);
  });

  it('tells files, links and events apart', () => {
    const { devices, files, links, events } = parseRecording(RECORDING, 'a');
    expect(devices.map(({ devpath }) => devpath.slice(devpath.lastIndexOf('/') + 1))).toEqual(['0000:00:14.0', 'enx001122aabbcc', 'usb1', 'sda']);
    expect([...files.keys()]).toEqual([
      'proc/cmdline', 'proc/modules', 'proc/sys/kernel/hostname', 'proc/sys/kernel/osrelease', 'sys/module/usb_storage/initstate', 'sys/module/usb_storage/refcnt', 'run/udev/data/b8:100',
    ]);
    expect([...links]).toEqual([['sys/bus/pci/drivers/xhci_hcd/module', '../../../../module/xhci_hcd']]);
    expect(events.map(({ ms, properties }) => [ms, properties.get('ACTION'), properties.get('SEQNUM')])).toEqual([[250, 'remove', '7'], [1000.001, 'add', '8']]);
    const odd = { ms: 12.5, properties: new Map([['A', 'b\\n=c'], ['D', '']]) };
    expect(parseRecording(`${RECORDING}${formatEvent(odd, 2)}`, 'a').events[2]).toEqual(odd);
  });

  it.each([
    ['', 'a:1: no device: tskmod record and umockdev-record write recordings'],
    ['P: /devices/x\nroot:x:0\n', 'a:2: not a line of a recording (P:, N:, S:, E:, A:, H:, L:): root:x:0'],
    ['P: /devices/tsmodprobe\nA: version=2\\n\n', 'a:1: a recording of version 2, and this program reads version 1'],
    ['P: /devices/tsmodprobe\nA: version=1\\n\nA: event/0=soon\\n\n', 'a:1: event/0: an event is its time in seconds and KEY=VALUE lines'],
    ['P: /devices/../etc\n', 'a:1: not a devpath: /devices/../etc'],
  ])('refuses %j', (text, message) => {
    expect(() => parseRecording(text, 'a')).toThrow(new ParseError({ file: 'a', line: Number(message.split(':')[1]), message: message.replace(/^a:\d+: /, '') }));
  });
});

describe('openMachine', () => {
  it('makes a System that records as what was recorded, and removes its directory', async () => {
    const machine = openMachine(file(RECORDING));
    const system = machine.openSystem();
    const recording = await recordMachine(system);
    expect({ ...recording, events: machine.recording.events }).toEqual(machine.recording);
    expect(system.release).toBe('6.12.0-otter');
    expect(readlinkSync(join(system.roots.dev, 'sda'))).toBe('../sys/devices/pci0000:00/0000:00:14.0/usb1/1-4/block/sda');
    machine.close();
    expect(existsSync(machine.root)).toBe(false);
  });

  it('makes the database of what umockdev-record knows', () => {
    const machine = openMachine(file(RECORDING.slice(0, RECORDING.indexOf('P: /devices/tsmodprobe'))));
    expect(readFileSync(join(machine.root, 'run/udev/data/b8:100'), 'utf8')).toContain('I:123456\nE:ID_FS_UUID=1234-ABCD\n');
    machine.close();
  });

  it('has less where modules are all that counts', () => {
    const machine = openMachine(file(RECORDING), { modulesOnly: true });
    expect(readFileSync(join(machine.root, 'sys/module/usb_storage/initstate'), 'utf8')).toBe('live\n');
    expect(existsSync(join(machine.root, 'sys/devices/pci0000:00/0000:00:14.0/vendor'))).toBe(false);
    machine.close();
  });

  it('writes nothing outside of it', () => {
    const root = fixtureRoot({ 'victim/file': 'kept' });
    const evil = String.raw`P: /devices/a
E: SUBSYSTEM=x
E: DEVNAME=/dev/../../victim/node
L: out=${root}/victim
A: out/file=overwritten\n

P: /devices/tsmodprobe
E: SUBSYSTEM=tsmodprobe
A: version=1\n
A: sys/devices/a/out/file=overwritten\n
L: run/up=${root}/victim
`;
    const machine = openMachine(file(evil));
    machine.close();
    expect(readFileSync(join(root, 'victim/file'), 'utf8')).toBe('kept');
    expect(existsSync(join(root, 'victim/node'))).toBe(false);
  });

  it('has a limit of files', () => {
    const attributes = Array.from({ length: 100_001 }, (_, i) => `A: a${i}=\n`).join('');
    const devices = Array.from({ length: 5 }, (_, i) => `P: /devices/d${i}\n${attributes}`).join('');
    expect(() => openMachine(file(devices))).toThrow(LimitError);
  });

  it('says what a selection of modules needs', () => {
    const path = file(RECORDING);
    expect(machineNeeds(path)).toEqual({ root: path, devices: [{ devpath: '/devices/pci0000:00/0000:00:14.0', modalias: 'pci:v00008086d0000A36Dsv00001849sd0000A36Dbc0Csc03i30' }] });
  });
});

describe('the anonymiser', () => {
  const anonymous = openAnonymiser()(RECORDING);

  it('replaces the same by the same, and nothing else', () => {
    const changed = RECORDING.split('\n').flatMap((line, index) => {
      const now = anonymous.split('\n')[index] ?? '';
      return now === line ? [] : [now];
    });
    expect(changed).toEqual([
      'P: /devices/pci0000:00/0000:00:14.0/net/enx020000000001',
      'E: INTERFACE=enx020000000001',
      'A: address=02:00:00:00:00:01',
      'S: disk/by-id/usb-SERIAL0001-0:0',
      'S: disk/by-uuid/0000-0001',
      'E: ID_FS_UUID=0000-0001',
      'E: ID_FS_UUID_ENC=0000-0001',
      'E: ID_SERIAL=SERIAL0001',
      'E: ID_SERIAL_SHORT=SERIAL0002',
      'E: ID_PART_TABLE_UUID=00000000-0000-4000-8000-000000000001',
      'A: device/serial=SERIAL0003',
      'A: proc/cmdline=root=UUID=00000000-0000-4000-8000-000000000001 hostname=host1 quiet\\n',
      'A: proc/sys/kernel/hostname=host1\\n',
      'A: run/udev/data/b8:100=S:disk/by-id/usb-SERIAL0001-0:0\\nS:disk/by-uuid/0000-0001\\nI:123456\\nE:ID_FS_UUID=0000-0001\\nE:ID_FS_UUID_ENC=0000-0001\\nE:ID_SERIAL=SERIAL0001\\nE:ID_SERIAL_SHORT=SERIAL0002\\nE:ID_PART_TABLE_UUID=00000000-0000-4000-8000-000000000001\\nG:systemd\\nQ:systemd\\nV:1\\n',
      'A: event/000001=1.000001\\nACTION=add\\nDEVPATH=/devices/pci0000:00/0000:00:14.0/net/enx020000000001\\nSUBSYSTEM=net\\nSEQNUM=8\\n',
    ]);
  });

  it('knows in lines that are appended what it replaced before', () => {
    const clean = openAnonymiser();
    clean(RECORDING);
    expect(clean('A: event/000002=2.000000\\nDEVLINKS=/dev/disk/by-uuid/1234-ABCD\\nID_SERIAL_SHORT=AA04012700007\\n\n'))
      .toBe('A: event/000002=2.000000\\nDEVLINKS=/dev/disk/by-uuid/0000-0001\\nID_SERIAL_SHORT=SERIAL0002\\n\n');
  });

  it('leaves a host that is called as a word of the field alone but in its own place', () => {
    const clean = openAnonymiser()('P: /devices/a\nE: SUBSYSTEM=block\nE: DEVTYPE=partition\nA: proc/sys/kernel/hostname=partition\\n\n');
    expect(clean).toBe('P: /devices/a\nE: SUBSYSTEM=block\nE: DEVTYPE=partition\nA: proc/sys/kernel/hostname=host1\\n\n');
  });
});
