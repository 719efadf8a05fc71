import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { errnoName } from '../../native-bindings/errno.ts';
import { inotifyEvents } from '../../native-bindings/inotify.ts';
import { openLibc } from '../../native-bindings/libc.ts';
import { IN_CLOSE_WRITE, IN_IGNORED, LOCK_EX, LOCK_NB, S_IFCHR } from '../../native-bindings/native.ts';
import { alternativeNameMessage, renameMessage } from '../../native-bindings/rtnetlink.ts';
import { fixtureRoot } from '../fixture-root.ts';

const native = openLibc();

describe('flock', () => {
  it('excludes another descriptor of the same file until that is closed', async () => {
    const path = join(fixtureRoot({ lock: '' }), 'lock');
    const first = openSync(path, 'r+');
    const second = openSync(path, 'r+');
    expect([native.flock(first, LOCK_EX | LOCK_NB), errnoName(native.flock(second, LOCK_EX | LOCK_NB))]).toEqual([0, 'EAGAIN']);
    const waiting = native.flockWait(second, LOCK_EX);
    closeSync(first);
    expect(await waiting).toBe(0);
    closeSync(second);
  });
});

describe('mknod', () => {
  it('refuses numbers and names that the kernel could not mean', () => {
    const path = join(fixtureRoot({}), 'node');
    const errnos = [[4096, 0], [0, 1 << 20], [-1, 0], [1.5, 0]].map(([major = 0, minor = 0]) => native.mknod(path, S_IFCHR, major, minor));
    expect([...errnos, native.mknod('a\0b', S_IFCHR, 1, 3)].map(errnoName)).toEqual(Array(5).fill('EINVAL'));
  });
});

describe('openInotify', () => {
  it('tells of a file that was closed after writing, and of the end of its watch', async () => {
    const path = join(fixtureRoot({ file: '' }), 'file');
    const events: unknown[] = [];
    let arrived = (): void => undefined;
    const opened = native.openInotify({
      onEvent: (event) => {
        events.push(event);
        arrived();
      },
      onLost: () => undefined,
      onError: () => undefined,
    });
    if (!('inotify' in opened)) throw new Error(opened.syscall);
    const { inotify } = opened;
    const next = () => new Promise<void>((resolve) => (arrived = resolve));
    const added = inotify.add(path, IN_CLOSE_WRITE);
    const watch = 'watch' in added ? added.watch : -1;
    const written = next();
    writeFileSync(path, 'x');
    await written;
    const ended = next();
    expect(inotify.remove(watch)).toBe(0);
    await ended;
    expect(events).toEqual([{ watch, mask: IN_CLOSE_WRITE, name: '' }, { watch, mask: IN_IGNORED, name: '' }]);
    expect([errnoName(inotify.remove(watch)), inotify.add('/nowhere', IN_CLOSE_WRITE)]).toEqual(['EINVAL', { errno: 2 }]);
    await inotify.close();
  });
});

describe('inotifyEvents', () => {
  it('reads events with and without names', () => {
    const bytes = Buffer.alloc(48);
    bytes.writeInt32LE(7, 0);
    bytes.writeUInt32LE(8, 4);
    bytes.writeInt32LE(9, 16);
    bytes.writeUInt32LE(0x200, 20);
    bytes.writeUInt32LE(16, 28);
    bytes.write('queue', 32);
    expect(inotifyEvents(bytes)).toEqual([{ watch: 7, mask: 8, name: '' }, { watch: 9, mask: 0x200, name: 'queue' }]);
    for (let length = 0; length < bytes.length; length++) inotifyEvents(bytes.subarray(0, length));
  });
});

describe('alternativeNameMessage', () => {
  it('is RTM_NEWLINKPROP with a name in a list', () => {
    expect(Buffer.from(alternativeNameMessage(5, 'lan0') ?? []).toString('hex')).toBe([
      '30000000', '6c00', '0500', '01000000', '00000000', '00', '00', '0000', '05000000', '00000000', '00000000', '1000', '3480', '0900', '3500', '6c616e3000', '000000',
    ].join(''));
    expect([alternativeNameMessage(1, 'x'.repeat(127))?.length, alternativeNameMessage(1, 'x'.repeat(128)), alternativeNameMessage(0, 'x')]).toEqual([168, undefined, undefined]);
  });
});

describe('renameMessage', () => {
  it('is RTM_SETLINK with the name as its only attribute', () => {
    expect(Buffer.from(renameMessage(5, 'lan0') ?? []).toString('hex')).toBe([
      '2c000000', '1300', '0500', '01000000', '00000000', '00000000', '05000000', '00000000', '00000000', '0900', '0300', Buffer.from('lan0\0\0\0\0').toString('hex'),
    ].join(''));
    expect([renameMessage(0, 'x'), renameMessage(1, ''), renameMessage(1, 'x'.repeat(16)), renameMessage(1, 'a\0')]).toEqual(Array(4).fill(undefined));
  });
});
