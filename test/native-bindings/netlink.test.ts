import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { errnoName } from '../../native-bindings/errno.ts';
import { findKoffi } from '../../native-bindings/koffi.ts';
import { bindLibc } from '../../native-bindings/libc.ts';
import type { Libc } from '../../native-bindings/libc.ts';
import type { UeventDatagram, UeventSocket, UeventSocketOptions } from '../../native-bindings/native.ts';
import { openUeventSender, openUeventSocket, sendUnixDatagram } from '../../native-bindings/netlink.ts';
import { watchReadable, watchWithLoop, watchWithThread } from '../../native-bindings/readiness.ts';

const UEVENT_FILE = '/sys/devices/virtual/mem/null/uevent';
/** Opens a socket as its arguments say, and ends in one of the ways in which processes end. */
const PROGRAM = `
  import { Worker, isMainThread, parentPort } from 'node:worker_threads';
  import { findKoffi } from './koffi.ts';
  import { bindLibc } from './libc.ts';
  import { openUeventSocket } from './netlink.ts';
  import * as readiness from './readiness.ts';

  const [, program, koffiFrom, watch, end] = process.argv;
  const open = () => openUeventSocket(bindLibc(findKoffi(koffiFrom)), { onDatagram() {}, onLost() {}, onError() {} }, readiness[watch]);
  const ends = {
    exit: () => process.exit(7),
    throw: () => { throw new Error('of the test'); },
    reject: () => { Promise.reject(new Error('of the test')); },
    'throw-in-exit': () => { process.on('exit', () => { throw new Error('of the test'); }); process.exit(7); },
    term: () => process.kill(process.pid, 'SIGTERM'),
    close: (socket) => socket.close(),
  };
  if (!isMainThread) {
    try { open(); } catch (error) { parentPort.postMessage(error.name); }
  } else if (end === 'worker') {
    const worker = new Worker(program, { argv: process.argv.slice(2) });
    worker.on('message', (name) => process.exit(name === 'UnsupportedError' ? 0 : 1));
  } else {
    const { socket } = open();
    setTimeout(() => ends[end](socket), 50);
  }
`;

const libc = bindLibc(findKoffi(import.meta.url));
const sendUevent = openUeventSender(libc);

/** Open sockets of the running test. */
const open: UeventSocket[] = [];
afterEach(async () => {
  for (const socket of open.splice(0)) await socket.close();
});

describe.each([
  { name: 'libuv poll', watch: watchWithLoop },
  { name: 'poll on a thread', watch: watchWithThread },
])('openUeventSocket with $name', ({ watch }) => {
  beforeEach((context) => {
    if (process.getuid?.() !== 0) context.skip('only root may write uevent files and force the receive buffer');
    if (!existsSync(UEVENT_FILE)) context.skip(`${UEVENT_FILE} is not there`);
  });

  it('delivers an event of the kernel with pid 0, group 1 and uid 0', async () => {
    const uuid = randomUUID();
    const datagram = await new Promise<UeventDatagram & { text: string }>((resolve) => {
      listen(watch, { uuid, onText: (text, datagram) => resolve({ ...datagram, text }) });
      emit(uuid, 1);
    });
    const { text, pid, groups, uid, truncated } = datagram;
    expect({ pid, groups, uid, truncated }).toEqual({ pid: 0, groups: 1, uid: 0, truncated: false });
    expect(text.startsWith('change@/devices/virtual/mem/null\0ACTION=change\0DEVPATH=/devices/virtual/mem/null\0')).toBe(true);
  });

  it('forces the receive buffer beyond the limit of unprivileged processes', () => {
    const socket = listen(watch, { receiveBuffer: 128 * 1024 * 1024 });
    expect(socket.receiveBuffer).toBe(256 * 1024 * 1024);
  });

  it('tells a root process that sends to the group of the kernel from the kernel', async () => {
    const uuid = randomUUID();
    const { pid, groups, uid } = await new Promise<UeventDatagram>((resolve) => {
      listen(watch, { uuid, onText: (_, datagram) => resolve(datagram) });
      expect(sendUevent(Buffer.from(`add@/devices/spoof\0SYNTH_UUID=${uuid}\0`), 1)).toBe(0);
    });
    expect(pid).not.toBe(0);
    expect({ groups, uid }).toEqual({ groups: 1, uid: process.getuid?.() });
  });

  it('cuts a message that is longer than its buffer and says so', async () => {
    const uuid = randomUUID();
    const length = await new Promise<number>((resolve) => {
      listen(watch, { uuid, groups: 4, onText: (_, datagram) => resolve(datagram.truncated ? datagram.data.length : -1) });
      expect(sendUevent(Buffer.alloc(40_000, `SYNTH_UUID=${uuid}\0`), 4)).toBe(0);
    });
    expect(length).toBe(16 * 1024);
  });

  it('hears the groups it was opened for', async () => {
    const uuid = randomUUID();
    const heard = await new Promise<string>((resolve) => {
      listen(watch, { uuid, groups: 8, onText: resolve });
      emit(uuid, 1);
      expect(sendUevent(Buffer.from(`group 8\0SYNTH_UUID=${uuid}\0`), 8)).toBe(0);
    });
    expect(heard).toBe(`group 8\0SYNTH_UUID=${uuid}\0`);
  });

  it('loses none of 20000 events, in order', async () => {
    const uuid = randomUUID();
    const numbers: number[] = [];
    const lost: string[] = [];
    await new Promise<void>((resolve) => {
      listen(watch, {
        uuid,
        onText: (text) => {
          numbers.push(Number(/SYNTH_ARG_N=(\d+)/.exec(text)?.[1]));
          if (numbers.length === 20_000) resolve();
        },
        onLost: () => lost.push('lost'),
      });
      emit(uuid, 20_000);
    });
    expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, index) => index));
    expect(lost).toEqual([]);
  });

  it('reports messages that the kernel dropped, and reads on', async () => {
    const dropped = randomUUID();
    const after = randomUUID();
    let lost = 0;
    let received = 0;
    let again: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      listen(watch, {
        receiveBuffer: 4096,
        onDatagram: ({ data }) => {
          const text = Buffer.from(data).toString('latin1');
          if (text.includes(dropped)) received++;
          if (text.includes(after)) resolve();
        },
        onLost: () => {
          lost++;
          // Others' events may overflow the small buffer again.
          again ??= setInterval(() => emit(after, 1), 5);
        },
      });
      emit(dropped, 500);
    });
    clearInterval(again);
    expect(lost).toBeGreaterThanOrEqual(1);
    expect(received).toBeGreaterThanOrEqual(1);
    expect(received).toBeLessThan(500);
  });

  it('keeps what a throwing callback left of a batch', async () => {
    const uuid = randomUUID();
    const seen: number[] = [];
    const thrown: unknown[] = [];
    const previous = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => thrown.push(error));
    try {
      await new Promise<void>((resolve) => {
        listen(watch, {
          uuid,
          onText: (text) => {
            seen.push(Number(/SYNTH_ARG_N=(\d+)/.exec(text)?.[1]));
            if (seen.length === 10) resolve();
            if (seen.length === 3) throw new Error('of the test');
          },
        });
        emit(uuid, 10);
      });
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of previous) process.on('uncaughtException', listener);
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(thrown).toEqual([new Error('of the test')]);
  });

  it('calls onError once for an errno that is not a passing one, and closes itself', async () => {
    const recvmmsg = libc.function('recvmmsg', 'int', ['int', 'void *', 'uint', 'int', 'void *']);
    const broken: Libc = { ...libc, call: (fn, ...values) => (fn === recvmmsg ? -9 : libc.call(fn, ...values)) };
    const before = process.listenerCount('exit');
    const errors: number[] = [];
    await new Promise<void>((resolve) => {
      const onError = (errno: number): void => {
        errors.push(errno);
        resolve();
      };
      listen((_, fd) => watch(libc, fd), { onError }, broken);
      emit(randomUUID(), 3);
    });
    await open[0]?.close();
    expect(errors).toEqual([9]);
    expect(process.listenerCount('exit')).toBe(before);
  });

  it('delivers nothing after close, which takes its exit listener along', async () => {
    const before = process.listenerCount('exit');
    const uuid = randomUUID();
    let received = 0;
    let socket: ReturnType<typeof listen> | undefined;
    // Which of two sockets is read first is the kernel's choice: the other one listens when this one has begun.
    await new Promise<void>((resolve) => {
      socket = listen(watch, {
        uuid,
        onText: () => {
          received++;
          void socket?.close();
          resolve();
        },
      });
      emit(uuid, 100);
    });
    await new Promise<void>((resolve) => {
      const other = listen(watch, { uuid, onText: (text) => text.includes('SYNTH_ARG_N=99\0') && resolve(other.close()) });
      emit(uuid, 100);
    });
    await socket?.close();
    expect(received).toBe(1);
    expect(process.listenerCount('exit')).toBe(before);
  });
});

describe('watchReadable', () => {
  it('takes the poll of libuv where koffi has it, and a thread where it has not', async () => {
    const eventfd = libc.call(libc.function('eventfd', 'int', ['uint', 'int']), 1, 0);
    const before = process.listenerCount('exit');
    const old: Libc = { ...libc, koffi: { ...libc.koffi, node: undefined as never } };
    const counts: number[] = [];
    for (const each of [libc, old]) {
      const readiness = watchReadable(each, eventfd);
      if (typeof readiness === 'number') throw new Error(`errno ${-readiness}`);
      counts.push(process.listenerCount('exit') - before);
      await new Promise<void>((resolve) => readiness.wait(resolve));
      await readiness.stop();
    }
    closeSync(eventfd);
    expect(counts).toEqual([0, 1]);
  });
});

describe('a process with an open socket', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-test-'));
  const program = join(directory, 'listen.mjs');
  beforeAll(() => {
    buildSync({
      stdin: { contents: PROGRAM, resolveDir: fileURLToPath(new URL('../../native-bindings', import.meta.url)) },
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
    });
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  describe.each(['watchWithLoop', 'watchWithThread'])('(%s)', (watch) => {
    it.each([
      { end: 'exit', text: 'calls process.exit()', result: [7, null] },
      { end: 'throw', text: 'throws an uncaught exception', result: [1, null] },
      { end: 'reject', text: 'leaves a rejection unhandled', result: [1, null] },
      { end: 'throw-in-exit', text: 'throws while it exits', result: [7, null] },
      { end: 'term', text: 'gets SIGTERM', result: [null, 'SIGTERM'] },
      { end: 'close', text: 'closes it and has nothing else to do', result: [0, null] },
      { end: 'worker', text: 'is refused one in a worker', result: [0, null] },
    ])('ends when it $text ', async ({ end, result }) => {
      const child = spawn(process.execPath, [program, import.meta.url, watch, end], { stdio: 'ignore' });
      const killer = setTimeout(() => child.kill('SIGKILL'), 20_000);
      const ended: unknown = await once(child, 'exit');
      clearTimeout(killer);
      expect(ended).toEqual(result);
    }, 30_000);
  });
});

describe('watchWithLoop', () => {
  it('hears of a readable descriptor while every thread of the pool is busy', async () => {
    const eventfd = libc.call(libc.function('eventfd', 'int', ['uint', 'int']), 1, 0);
    const usleep = libc.function('usleep', 'int', ['uint']);
    const order: string[] = [];
    const busy = Array.from({ length: 16 }, () => libc.callOnThread(usleep, 100_000).then(() => order.push('slept')));
    const readiness = watchWithLoop(libc, eventfd);
    await new Promise<void>((resolve) => readiness.wait(resolve));
    order.push('ready');
    await Promise.all(busy);
    await readiness.stop();
    closeSync(eventfd);
    expect(order[0]).toBe('ready');
  });
});

describe('sendUnixDatagram', () => {
  const send = (path: string): number => sendUnixDatagram(libc, path, Buffer.from('READY=1\nMAINPID=7'));

  it.each([
    { kind: 'a path', name: (): string => join(tmpdir(), `tsmodprobe-${randomUUID()}`) },
    { kind: 'an abstract name', name: (): string => `@tsmodprobe-${randomUUID()}` },
  ])('sends one datagram to $kind', ({ name }) => {
    const path = name();
    const fd = bindUnix(path);
    const buffer = Buffer.alloc(100);
    const errno = send(path);
    const length = libc.call(libc.function('read', 'long', ['int', 'void *', 'ulong']), fd, buffer, buffer.length);
    closeSync(fd);
    rmSync(path, { force: true });
    expect({ errno, text: buffer.toString('utf8', 0, length) }).toEqual({ errno: 0, text: 'READY=1\nMAINPID=7' });
    expect(send(path)).not.toBe(0);
  });

  it('refuses names that no socket can have, and says that nobody listens', () => {
    const names = ['', 'a\0b', `@${'x'.repeat(200)}`, '/nowhere/socket', `@${randomUUID()}`];
    expect(names.map(send).map(errnoName)).toEqual(['EINVAL', 'EINVAL', 'ENAMETOOLONG', 'ENOENT', 'ECONNREFUSED']);
  });
});

/** A datagram socket that does not wait, which Node itself cannot open. */
function bindUnix(path: string): number {
  const [AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK] = [1, 2, 0o4000];
  const fd = libc.call(libc.function('socket', 'int', ['int', 'int', 'int']), AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  const address = Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
  expect(libc.call(libc.function('bind', 'int', ['int', 'void *', 'uint']), fd, address, address.length)).toBe(0);
  return fd;
}

type Listening = Partial<UeventSocketOptions> & { uuid?: string; onText?: (text: string, datagram: UeventDatagram) => void };

function listen(watch: typeof watchWithThread | typeof watchWithLoop, listening: Listening, through: Libc = libc): UeventSocket {
  const { uuid = '-', onText, ...options } = listening;
  const opened = openUeventSocket(
    through,
    {
      onDatagram: (datagram) => {
        const text = Buffer.from(datagram.data).toString('latin1');
        if (text.includes(`SYNTH_UUID=${uuid}\0`)) onText?.(text, datagram);
      },
      onLost: () => undefined,
      onError: (errno) => {
        throw new Error(`errno ${errno}`);
      },
      ...options,
    },
    watch,
  );
  if ('errno' in opened) throw new Error(`${opened.syscall}: errno ${opened.errno}`);
  open.push(opened.socket);
  return opened.socket;
}

/** Writes synthetic events, which the kernel sends before the write returns (sysfs-uevent). */
function emit(uuid: string, count: number): void {
  const fd = openSync(UEVENT_FILE, 'w');
  for (let index = 0; index < count; index++) writeSync(fd, `change ${uuid} N=${index}`);
  closeSync(fd);
}
