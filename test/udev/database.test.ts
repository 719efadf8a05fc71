import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { openSystem } from '../../src/system.ts';
import {
  deleteRecord, initialisedUsec, isDeviceId, isInitialised, isPersistent, listRecords, readRecord, setPersistent, writeRecord,
} from '../../src/udev/database.ts';
import { EMPTY_RECORD } from '../../src/udev/record-file.ts';
import { taggedDevices, updateTags } from '../../src/udev/tags.ts';
import { setQueueFile } from '../../src/udev/queue-file.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';

const RECORD = { ...EMPTY_RECORD, initialisedUsec: 7, properties: new Map([['A', 'b']]) };

function machine(files: Readonly<Record<string, string>> = {}) {
  const root = fixtureRoot(files);
  const log = recordingLog();
  const system = openSystem({ root, log, native: openFakeNative(), clock: { now: () => 12.5, sleep: async () => undefined } });
  return { root, log, system, data: join(root, 'run/udev/data') };
}

describe('writeRecord', () => {
  it('makes the directory, and a file that everyone reads', () => {
    const { system, data } = machine();
    expect(writeRecord(system, 'c1:3', RECORD)).toBe(true);
    expect(readdirSync(data)).toEqual(['c1:3']);
    expect(readFileSync(join(data, 'c1:3'), 'utf8')).toBe('I:7\nE:A=b\nV:1\n');
    expect(statSync(join(data, 'c1:3')).mode & 0o7777).toBe(0o644);
    expect(readRecord(system, 'c1:3')).toEqual(RECORD);
  });

  it('leaves an empty file for a device with a number that has nothing to say, and none for others', () => {
    const { system, data } = machine({ 'run/udev/data/+pci:0000:00:01.0': 'E:A=b\nV:1\n' });
    for (const id of ['b8:0', 'n2', '+pci:0000:00:01.0']) writeRecord(system, id, EMPTY_RECORD);
    expect(readdirSync(data).sort()).toEqual(['b8:0', 'n2']);
    expect(readRecord(system, 'b8:0')).toEqual(EMPTY_RECORD);
    expect([isInitialised(system, 'n2'), isInitialised(system, 'n3')]).toEqual([true, false]);
  });

  it('marks what shall outlive a clean-up with the sticky bit', () => {
    const { system } = machine();
    writeRecord(system, 'c1:3', RECORD, { persist: true });
    expect(isPersistent(system, 'c1:3')).toBe(true);
    setPersistent(system, 'c1:3', false);
    expect(isPersistent(system, 'c1:3')).toBe(false);
    setPersistent(system, 'c1:9', true);
  });

  it('refuses an id that is no file name of its own', () => {
    const { system, root, log } = machine();
    for (const id of ['', '.', '..', '../x', 'b8', 'b8:0/x', '+pci:', '+p/q:x', '+a:b/c', 'x'.repeat(300)]) {
      expect(isDeviceId(id)).toBe(false);
      expect(writeRecord(system, id, RECORD)).toBe(false);
    }
    expect(existsSync(join(root, 'run'))).toBe(false);
    expect(log.lines[0]).toBe('warn bad-device-id: "" is no id of a device: not stored');
  });

  it('says what went wrong where it cannot write, keeps the old record and leaves nothing half-written', () => {
    const { system, root, log, data } = machine({ 'run/udev/data/c1:3/taken': '' });
    expect(writeRecord(system, 'c1:3', RECORD)).toBe(false);
    expect(readdirSync(data)).toEqual(['c1:3']);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatch(/^warn record-unwritable: cannot write .*c1:3: E/);
    const full = openSystem({ roots: { run: join(root, 'run/udev/data/c1:3/taken') }, log, native: openFakeNative() });
    expect(writeRecord(full, 'c1:4', RECORD)).toBe(false);
  });
});

describe('readRecord', () => {
  it('knows nothing of a device without a file, and of one whose file is not to be read', () => {
    const { system, log } = machine({ 'run/udev/data/b8:0/x': '', 'run/udev/data/b8:1': 'x'.repeat((1 << 20) + 1) });
    expect([readRecord(system, 'c9:9'), readRecord(system, 'b8:0'), readRecord(system, 'b8:1'), readRecord(system, '../x')]).toEqual(Array(4).fill(undefined));
    expect(log.lines).toHaveLength(2);
  });
});

describe('listRecords', () => {
  it('passes over temporary files and what is no id', () => {
    const { system } = machine({ 'run/udev/data/n1': '', 'run/udev/data/.#b8:0': '', 'run/udev/data/+usb:1-1': '', 'run/udev/data/README': '' });
    expect(listRecords(system)).toEqual(['+usb:1-1', 'n1']);
    expect(listRecords(machine().system)).toEqual([]);
  });
});

describe('deleteRecord', () => {
  it('removes the file, and minds none that is not there', () => {
    const { system, data } = machine({ 'run/udev/data/n1': '' });
    expect([deleteRecord(system, 'n1'), deleteRecord(system, 'n1'), deleteRecord(system, '../x')]).toEqual([true, true, false]);
    expect(readdirSync(data)).toEqual([]);
  });
});

describe('initialisedUsec', () => {
  it('keeps the first time, and takes that of now where there is none', () => {
    const { system } = machine();
    expect([initialisedUsec(system, RECORD), initialisedUsec(system, EMPTY_RECORD), initialisedUsec(system, undefined)]).toEqual([7, 12500, 12500]);
  });
});

describe('updateTags', () => {
  it('puts the device into the index, and takes it from tags that it lost', () => {
    const { system, root } = machine();
    updateTags(system, 'c1:3', ['a', 'b'], []);
    updateTags(system, 'n1', ['a'], []);
    updateTags(system, 'c1:3', ['b'], ['a', 'b', 'never']);
    expect([taggedDevices(system, 'a'), taggedDevices(system, 'b'), taggedDevices(system, 'c')]).toEqual([['n1'], ['c1:3'], []]);
    expect(statSync(join(root, 'run/udev/tags/b/c1:3')).mode & 0o777).toBe(0o444);
  });

  it('makes no file for a tag or id that is no name', () => {
    const { system, root } = machine();
    updateTags(system, 'c1:3', ['../x', '', 'a/b', '.hidden'], ['..']);
    updateTags(system, '../../x', ['a'], []);
    expect(existsSync(join(root, 'run'))).toBe(false);
    expect(taggedDevices(system, '../data')).toEqual([]);
  });

  it('says what it could not do', () => {
    const { system, log } = machine({ 'run/udev/tags': '' });
    updateTags(system, 'c1:3', ['a'], ['b']);
    expect(log.lines).toHaveLength(1);
  });
});

describe('setQueueFile', () => {
  it('makes the file while the daemon is busy', () => {
    const { system, root } = machine();
    const path = join(root, 'run/udev/queue');
    setQueueFile(system, true);
    setQueueFile(system, true);
    expect(existsSync(path)).toBe(true);
    setQueueFile(system, false);
    setQueueFile(system, false);
    expect(existsSync(path)).toBe(false);
  });

  it('logs where /run takes no file', () => {
    const { system, log, root } = machine();
    mkdirSync(join(root, 'run'));
    writeFileSync(join(root, 'run/udev'), '');
    chmodSync(join(root, 'run/udev'), 0o444);
    setQueueFile(system, true);
    expect(log.lines).toEqual([expect.stringMatching(/^warn queue-file: .*run\/udev\/queue: ENOTDIR/)]);
  });
});
