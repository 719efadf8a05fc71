import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { openSystem } from '../../src/system.ts';
import { formatBroadcast } from '../../src/udev/broadcast.ts';
import { openUdevMonitor, sendBroadcast } from '../../src/udev/udev-monitor.ts';
import { recordingLog } from '../fixture-root.ts';

const MESSAGE = { subsystem: 'mem', devtype: undefined, tags: [], properties: new Map([['ACTION', 'add'], ['SUBSYSTEM', 'mem']]) };

async function listener() {
  const native = openFakeNative();
  const log = recordingLog();
  const heard: (readonly (readonly [string, string])[])[] = [];
  let lost = 0;
  await openUdevMonitor(openSystem({ native, log }), {
    onMessage: (properties) => heard.push([...properties]), onLost: () => lost++, onError: () => undefined,
  });
  const socket = native.sockets[0];
  if (!socket) throw new Error('no socket was opened');
  return { native, log, heard, socket, lost: () => lost };
}

describe('openUdevMonitor', () => {
  it('listens to group 2 and hands on the properties', async () => {
    const { native, heard, socket } = await listener();
    socket.inject(formatBroadcast(MESSAGE), { groups: 2, pid: 1234 });
    expect(heard).toEqual([[['ACTION', 'add'], ['SUBSYSTEM', 'mem']]]);
    expect(native.calls[0]).toMatchObject({ call: 'openUeventSocket', groups: 2 });
  });

  it('drops what is not from root, was not sent to the group, or is no message', async () => {
    const { heard, log, socket } = await listener();
    const bytes = formatBroadcast(MESSAGE);
    socket.inject(bytes, { groups: 2, uid: 1000 });
    socket.inject(bytes, { groups: 0 });
    socket.inject(bytes, { groups: 1 });
    socket.inject('add@/devices/x\0ACTION=add\0', { groups: 2 });
    expect(heard).toEqual([]);
    expect(log.lines.map((line) => line.split(':', 1)[0])).toEqual([...Array(3).fill('debug udev-sender'), 'debug udev-malformed']);
  });

  it('takes a message that was cut for a loss', async () => {
    const { heard, socket, lost } = await listener();
    socket.inject(formatBroadcast(MESSAGE), { groups: 2, truncated: true });
    expect([heard, lost()]).toEqual([[], 1]);
  });
});

describe('sendBroadcast', () => {
  it('sends to group 2', async () => {
    const native = openFakeNative();
    expect(await sendBroadcast(openSystem({ native }), MESSAGE)).toBe(true);
    expect(native.calls).toEqual([{ call: 'sendUevent', groups: 2, text: Buffer.from(formatBroadcast(MESSAGE)).toString('latin1') }]);
  });

  it('logs what it could not send', async () => {
    const log = recordingLog();
    const system = openSystem({ log, native: openFakeNative({ answers: [{ call: 'sendUevent', errno: 1 }] }) });
    expect(await sendBroadcast(system, MESSAGE)).toBe(false);
    expect(await sendBroadcast(system, { ...MESSAGE, properties: new Map([['A', 'x'.repeat(1 << 16)]]) })).toBe(false);
    expect(log.lines).toEqual(['warn broadcast-failed: cannot tell listeners of an event: EPERM', expect.stringMatching(/^warn broadcast-failed: broadcast: \d+ exceeds BROADCAST_MAX/)]);
  });
});
