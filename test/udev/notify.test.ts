// Readiness: datagrams as sd_notify(3) says, and a newline on a descriptor.

import { fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { openNotifier } from '../../src/udev/notify.ts';
import { recordingLog } from '../fixture-root.ts';
import { makeRoot, testSystem, type TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

describe('openNotifier', () => {
  it('tells the socket what sd_notify(3) defines', async () => {
    const native = openFakeNative();
    const notifier = openNotifier(testSystem(root.path, { native }), { socket: '@manager' });
    await notifier.ready('3 modules loaded');
    await notifier.reloading();
    await notifier.stopping();
    expect(native.calls.map((call) => ('text' in call && 'path' in call ? [call.path, call.text.replace(/=\d{6,}$/, '=MONOTONIC')] : call))).toEqual([
      ['@manager', 'READY=1\nSTATUS=3 modules loaded'],
      ['@manager', 'RELOADING=1\nMONOTONIC_USEC=MONOTONIC'],
      ['@manager', 'STOPPING=1'],
    ]);
  });

  it('writes one newline to the descriptor, closes it, and never touches the native calls for that', async () => {
    const path = join(root.path, 'ready');
    const fd = openSync(path, 'w');
    const native = openFakeNative();
    const notifier = openNotifier(testSystem(root.path, { native }), { readyFd: fd });
    await notifier.ready('once');
    await notifier.ready('twice');
    expect(readFileSync(path, 'utf8')).toBe('\n');
    expect(() => fstatSync(fd)).toThrow('EBADF');
    expect(native.calls).toEqual([]);
  });

  it('logs what fails', async () => {
    const log = recordingLog();
    const lines = log.records;
    const native = openFakeNative({ answers: [{ call: 'sendUnixDatagram', errno: 111 }] });
    const system = testSystem(root.path, { native, log });
    await openNotifier(system, { socket: '/run/notify' }).stopping();
    await openNotifier(system, { socket: 'vsock:2:1234' }).stopping();
    await openNotifier(system, { readyFd: 1 << 20 }).ready('');
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      'warn: cannot notify /run/notify: ECONNREFUSED',
      'warn: NOTIFY_SOCKET=vsock:2:1234: only paths and @names can be notified',
      'warn: cannot signal readiness on descriptor 1048576: EBADF: bad file descriptor, write',
    ]);
  });
});
