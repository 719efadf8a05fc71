// The journal of handled devices, across restarts.

import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openJournal } from '../../src/udev/journal.ts';
import type { Uevent } from '../../src/udev/uevent.ts';
import { recordingLog } from '../fixture-root.ts';
import { makeRoot, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

const event = (action: string, devpath: string, properties: Readonly<Record<string, string>> = {}): Uevent => (
  { action, devpath, subsystem: 'x', seqnum: 1, properties: new Map(Object.entries({ ACTION: action, ...properties, SEQNUM: '1' })) }
);

describe('openJournal', () => {
  let root: TemporaryRoot;
  let path: string;
  beforeEach(() => {
    root = makeRoot();
    path = join(root.path, 'run/udev/tsudevd.devices');
  });
  afterEach(() => root.remove());

  it('knows after a restart what was there', () => {
    const journal = openJournal(testSystem(root.path));
    for (const next of [
      event('add', '/devices/a', { X: '1' }), event('add', '/devices/b'), event('change', '/devices/a', { X: '2' }), event('remove', '/devices/b'),
      event('add', '/devices/eth0'), event('move', '/devices/lan0', { DEVPATH_OLD: '/devices/eth0' }),
    ]) journal.note(next);
    journal.flush();
    const devices = new Map([
      ['/devices/a', { devpath: '/devices/a', subsystem: 'x', properties: new Map([['X', '2']]) }],
      ['/devices/lan0', { devpath: '/devices/lan0', subsystem: 'x', properties: new Map() }],
    ]);
    expect(journal.devices).toEqual(devices);
    expect(openJournal(testSystem(root.path)).devices).toEqual(devices);
  });

  it('writes nothing for an event that changed nothing, and drops what is stale before it grows', () => {
    const journal = openJournal(testSystem(root.path));
    journal.note(event('add', '/devices/a'));
    journal.flush();
    const before = readFileSync(path, 'utf8');
    journal.note(event('change', '/devices/a'));
    journal.flush();
    expect(readFileSync(path, 'utf8')).toBe(before);
    for (let i = 0; i < 6000; i++) {
      journal.note(event('change', '/devices/a', { X: String(i) }));
      if (i % 100 === 0) journal.flush();
    }
    journal.flush();
    expect(readFileSync(path, 'utf8').split('\n').length).toBeLessThan(5000);
    expect(openJournal(testSystem(root.path)).devices.get('/devices/a')?.properties).toEqual(new Map([['X', '5999']]));
  });

  it('ignores lines that are no devices, and says where they are; the torn last line of a killed daemon too', () => {
    mkdirSync(join(root.path, 'run/udev'), { recursive: true });
    writeFileSync(path, ['null', '{', '{"devpath":"/../x"}', '{"devpath":"/a"}', '{"devpath":"/a","properties":3}', ''].join('\n'));
    appendFileSync(path, '{"devpath":"/devices/b","subsystem":"x","properties":{"K":"v","n":1}}\n{"devpath":"/dev');
    const log = recordingLog();
    expect(openJournal(testSystem(root.path, { log })).devices).toEqual(new Map([['/devices/b', { devpath: '/devices/b', subsystem: 'x', properties: new Map([['K', 'v']]) }]]));
    expect(log.records.map(({ level, message }) => `${level} ${message.slice(root.path.length)}`)).toEqual([1, 2, 3, 5].map((line) => `warn /run/udev/tsudevd.devices:${line}: not a device: ignored`));
  });

  it('says once that it cannot write, and goes on', () => {
    rmSync(join(root.path, 'run'), { recursive: true, force: true });
    writeFileSync(join(root.path, 'run'), '');
    const log = recordingLog();
    const journal = openJournal(testSystem(root.path, { log }));
    for (const devpath of ['/devices/a', '/devices/b']) {
      journal.note(event('add', devpath));
      journal.flush();
    }
    expect([...journal.devices.keys()]).toEqual(['/devices/a', '/devices/b']);
    expect(log.records.filter(({ level, message }) => level === 'error' && message.includes('a restart will treat')).length).toBe(1);
  });
});
