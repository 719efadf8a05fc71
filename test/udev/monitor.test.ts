// Who may speak on the uevent socket, and what becomes of the rest.

import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { openMonitor } from '../../src/udev/monitor.ts';
import type { FakeScript } from '../../native-bindings/fake.ts';
import { recordingLog } from '../fixture-root.ts';
import { eventBytes, testSystem } from './fakes.ts';

async function start(script: FakeScript = {}) {
  const native = openFakeNative(script);
  const log = recordingLog();
  const lines = log.records;
  const seen: string[] = [];
  const monitor = await openMonitor(testSystem('/nowhere', { native, log }), {
    onEvent: ({ action, devpath, properties }) => void seen.push(`${action} ${devpath} ${properties.get('MODALIAS')}`),
    onLost: () => void seen.push('lost'),
    onError: (error) => void seen.push(error.message),
  });
  const [socket] = native.sockets;
  if (!socket) throw new Error('no socket was opened');
  return { native, monitor, socket, seen, lines };
}

const ADD = eventBytes('/devices/a', 'x:a');

describe('openMonitor', () => {
  it('listens to the group of the kernel and hands on its events', async () => {
    const { native, socket, seen, lines, monitor } = await start();
    socket.inject(ADD);
    expect(seen).toEqual(['add /devices/a x:a']);
    expect(lines).toEqual([]);
    await monitor.close();
    socket.inject(ADD);
    expect(seen).toHaveLength(1);
    expect(native.calls.map(({ call }) => call)).toEqual(['openUeventSocket', 'closeUeventSocket']);
    expect(native.calls[0]).toMatchObject({ groups: 1 });
  });

  it.each([
    ['another process', { pid: 4711 }],
    ['a unicast sender', { groups: 0 }],
    ['the group of udev', { groups: 2 }],
    ['several groups at once', { groups: 3 }],
    ['a user', { uid: 1000 }],
    ['nobody known', { uid: undefined }],
  ])('drops messages of %s', async (_, sender) => {
    const { socket, seen, lines } = await start();
    socket.inject(ADD, sender);
    expect(seen).toEqual([]);
    expect(lines.map(({ level, code }) => `${level} ${code}`)).toEqual(['debug uevent-sender']);
  });

  it('warns of malformed messages, drops them, and goes on', async () => {
    const { socket, seen, lines } = await start();
    socket.inject('libudev\0');
    socket.inject(new Uint8Array(10_000));
    socket.inject(ADD);
    expect(seen).toEqual(['add /devices/a x:a']);
    expect(lines.map(({ level, code }) => `${level} ${code}`)).toEqual(['warn uevent-malformed', 'warn uevent-malformed']);
  });

  it('takes a message that was cut as a loss', async () => {
    const { socket, seen } = await start();
    socket.inject(ADD, { truncated: true });
    socket.lose();
    expect(seen).toEqual(['lost', 'lost']);
  });

  it('hands on the death of the socket', async () => {
    const { socket, seen } = await start();
    socket.fail(9);
    expect(seen).toEqual(['recvmsg NETLINK_KOBJECT_UEVENT: Bad file descriptor (EBADF)']);
  });

  it('throws when the socket cannot be had', async () => {
    await expect(start({ answers: [{ call: 'openUeventSocket', errno: 1 }] })).rejects.toMatchObject({ name: 'SystemError', code: 'EPERM', syscall: 'bind' });
  });
});
