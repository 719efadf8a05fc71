import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { openLibc } from '../../native-bindings/libc.ts';
import { openFakeNative } from '../../native-bindings/fake.ts';
import { openSystem } from '../../src/system.ts';
import type { Native } from '../../src/system.ts';
import { formatControlMessage } from '../../src/udev/control-message.ts';
import type { ControlMessage } from '../../src/udev/control-message.ts';
import { controlPath, openControlServer, sendControl } from '../../src/udev/control-socket.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { gate } from './fakes.ts';

function machine(native: Native) {
  const log = recordingLog();
  const system = openSystem({ root: fixtureRoot({}), log, native });
  const heard: ControlMessage[] = [];
  const serve = (onMessage: (message: ControlMessage) => void | Promise<void> = () => undefined) => openControlServer(system, {
    onMessage: (message) => {
      heard.push(message);
      return onMessage(message);
    },
    onError: (error) => heard.push({ type: 'env', value: error.message }),
  });
  return { system, log, heard, serve };
}

const isRoot = process.getuid?.() === 0;

describe.each([['the fake', () => openFakeNative()], ...(isRoot ? [['the C library', openLibc] as const] : [])] as const)('the control socket on %s', (_name, open) => {
  it('hands on messages in order and answers by closing', async () => {
    const { system, heard, serve } = machine(open());
    const server = await serve();
    const messages: ControlMessage[] = [{ type: 'env', value: 'A=b' }, { type: 'log-level', value: 7 }, { type: 'ping' }];
    expect(await sendControl(system, messages, { timeoutMs: 5000 })).toBe(true);
    expect(heard).toEqual(messages);
    await server.close();
    expect(existsSync(controlPath(system))).toBe(false);
  });

  it('keeps the client waiting until what it asked for is done', async () => {
    const { system, serve } = machine(open());
    const { opened, open: done } = gate();
    const server = await serve(({ type }) => (type === 'ping' ? opened : undefined));
    let answered = false;
    const waiting = sendControl(system, [{ type: 'ping' }], { timeoutMs: 5000 }).then((result) => (answered = result));
    expect(await sendControl(system, [{ type: 'reload' }], { timeoutMs: 5000 })).toBe(true);
    expect(answered).toBe(false);
    done();
    expect(await waiting).toBe(true);
    await server.close();
  });

  it('lets the client go when its time is over', async () => {
    const { system, serve } = machine(open());
    const server = await serve(() => new Promise(() => undefined));
    expect(await sendControl(system, [{ type: 'ping' }], { timeoutMs: 20 })).toBe(false);
    await server.close();
  });

  it('says that no daemon runs', async () => {
    const { system } = machine(open());
    await expect(sendControl(system, [{ type: 'ping' }], { timeoutMs: 20 })).rejects.toMatchObject({ code: 'ENOENT', syscall: 'connect' });
  });

  it('answers also when a handler fails, and says why', async () => {
    const { system, log, serve } = machine(open());
    const server = await serve(() => {
      throw new Error('no rules');
    });
    expect(await sendControl(system, [{ type: 'reload' }], { timeoutMs: 5000 })).toBe(true);
    expect(log.lines).toEqual(['error control-failed: reload: no rules']);
    await server.close();
  });

  it('takes over the socket that another daemon left', async () => {
    const { system, serve } = machine(open());
    await serve().then((server) => void server);
    const second = await serve();
    expect(await sendControl(system, [{ type: 'ping' }], { timeoutMs: 5000 })).toBe(true);
    await second.close();
  });
});

describe('openControlServer', () => {
  it('listens to root only', async () => {
    const native = openFakeNative();
    const { heard, log, serve } = machine(native);
    await serve();
    const connection = native.servers[0]?.connect({ onMessage: () => undefined, onEnd: () => undefined }, { uid: 1000, pid: 42 });
    connection?.send(formatControlMessage({ type: 'exit' }));
    await new Promise(setImmediate);
    expect(heard).toEqual([]);
    expect(log.lines).toEqual(['warn control-peer: process 42 of user 1000 may not control the daemon']);
    expect(native.calls[0]).toMatchObject({ call: 'openSeqpacketServer', mode: 0o600 });
  });

  it('ignores what is no message, and cuts off who sends too many', async () => {
    const native = openFakeNative();
    const { heard, log, serve } = machine(native);
    await serve();
    let isCutOff = false;
    const connection = native.servers[0]?.connect({ onMessage: () => undefined, onEnd: () => void (isCutOff = true) });
    connection?.send(Buffer.alloc(280));
    for (let count = 0; count < 64; count++) connection?.send(formatControlMessage({ type: 'ping' }));
    await new Promise(setImmediate);
    expect([heard.length, isCutOff]).toEqual([63, true]);
    expect(log.lines).toHaveLength(1);
  });
});

