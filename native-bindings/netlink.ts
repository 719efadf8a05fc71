// The sockets that Node cannot open: the kernel's uevent netlink socket, and datagrams to unix sockets.

import { UnsupportedError } from '../src/errors.ts';
import { errnoByName } from './errno.ts';
import { closeFd } from './files.ts';
import type { Libc } from './libc.ts';
import type { Errno, UeventSocket, UeventSocketOptions } from './native.ts';
import { NETLINK_KOBJECT_UEVENT, UEVENT_GROUP_KERNEL } from './native.ts';
import { openReadLoop } from './read-loop.ts';
import { watchReadable } from './readiness.ts';
import type { Readiness } from './readiness.ts';
import { openMessageBatch } from './recvmmsg.ts';
import { AF_UNIX, openSocket, unixAddress } from './socket.ts';

/** sys/socket.h and asm-generic/socket.h (the same on x86-64, arm64 and riscv64). */
const AF_NETLINK = 16;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_PASSCRED = 16;
const SO_RCVBUFFORCE = 33;
const MSG_NOSIGNAL = 0x4000;

/** linux/netlink.h: struct sockaddr_nl is family (2), padding (2), pid (4), groups (4). */
const SOCKADDR_NL_SIZE = 12;

/** The kernel's queue is the only queue there is: about 2,500 events a MiB, touched only when they come. */
const RECEIVE_BUFFER = 128 * 1024 * 1024;
/** The kernel doubles the value, in an int. */
const RECEIVE_BUFFER_MAX = 0x3fffffff;

/** Datagrams between two turns of the event loop, so that a flood of events starves nobody. */
const DATAGRAMS_PER_TURN = 512;

const EINTR = errnoByName('EINTR');
const EAGAIN = errnoByName('EAGAIN');
const ENOBUFS = errnoByName('ENOBUFS');
const ECONNREFUSED = errnoByName('ECONNREFUSED');

type Failure = { readonly errno: Errno; readonly syscall: string };

/** Opens, binds and starts to read. `watch` is how readiness is learnt; the best way there is when absent. */
export function openUeventSocket(
  libc: Libc,
  options: UeventSocketOptions,
  watch: (libc: Libc, fd: number) => Readiness | number = watchReadable,
): { readonly socket: UeventSocket } | Failure {
  // terminate() runs no 'exit' listener: a thread in poll(2) would hang there, and koffi's poll handle crashes.
  if (!isMainThread()) throw new UnsupportedError('a uevent socket can only be opened in the main thread of Node');
  const fd = openSocket(libc, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) return { errno: -fd, syscall: 'socket' };
  const failure = configure(libc, fd, options);
  if (failure) {
    closeFd(libc, fd);
    return failure;
  }
  const readiness = watch(libc, fd);
  if (typeof readiness === 'number') {
    closeFd(libc, fd);
    return { errno: -readiness, syscall: 'poll' };
  }
  return { socket: receive(libc, fd, readiness, options) };
}

/**
 * Multicasts messages to groups of NETLINK_KOBJECT_UEVENT. That nobody listens is no error. The socket is opened for the first and kept:
 * opening one for each would cost as much again.
 */
export function openUeventSender(libc: Libc): (data: Uint8Array, groups: number) => Errno {
  let fd = -1;
  return (data, groups) => {
    if (fd < 0) fd = openSocket(libc, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
    if (fd < 0) return -fd;
    const errno = sendTo(libc, fd, data, netlinkAddress(groups));
    return errno === ECONNREFUSED ? 0 : errno;
  };
}

/** Sends one datagram to a unix socket and does not wait: EAGAIN when the receiver's queue is full. */
export function sendUnixDatagram(libc: Libc, path: string, data: Uint8Array): Errno {
  const address = unixAddress(path);
  if (typeof address === 'number') return address;
  const fd = openSocket(libc, AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) return -fd;
  const errno = sendTo(libc, fd, data, address);
  closeFd(libc, fd);
  return errno;
}

function configure(libc: Libc, fd: number, options: UeventSocketOptions): Failure | undefined {
  const receiveBuffer = Math.min(options.receiveBuffer ?? RECEIVE_BUFFER, RECEIVE_BUFFER_MAX);
  // Without CAP_NET_ADMIN only net.core.rmem_max can be had, which is still worth asking for.
  if (setOption(libc, fd, SO_RCVBUFFORCE, receiveBuffer) < 0) {
    const result = setOption(libc, fd, SO_RCVBUF, receiveBuffer);
    if (result < 0) return { errno: -result, syscall: 'setsockopt SO_RCVBUF' };
  }
  const passcred = setOption(libc, fd, SO_PASSCRED, 1);
  if (passcred < 0) return { errno: -passcred, syscall: 'setsockopt SO_PASSCRED' };
  const address = netlinkAddress(options.groups ?? UEVENT_GROUP_KERNEL);
  const bound = libc.call(libc.function('bind', 'int', ['int', 'void *', 'uint']), fd, address, address.length);
  return bound < 0 ? { errno: -bound, syscall: 'bind' } : undefined;
}

function receive(libc: Libc, fd: number, readiness: Readiness, options: UeventSocketOptions): UeventSocket {
  const { onDatagram, onLost, onError } = options;
  const batch = openMessageBatch(libc);
  const receiveBuffer = getOption(libc, fd, SO_RCVBUF);
  /** Datagrams of the batch that wait for their callback: those from `next` to `count`. */
  let next = 0;
  let count = 0;

  /** When a callback throws, the rest of the batch is kept. */
  const deliver = (): void => {
    while (next < count && !loop.isClosed) onDatagram(batch.message(next++));
  };

  /** True when the socket is empty, false when there may be more or it is closed. */
  const drain = (): boolean => {
    let left = DATAGRAMS_PER_TURN;
    deliver();
    while (!loop.isClosed && left > 0) {
      const received = batch.receive(fd);
      if (received >= 0) {
        next = 0;
        count = received;
        left -= Math.max(received, 1);
        deliver();
      } else if (-received === ENOBUFS) {
        left--;
        onLost();
      } else if (-received === EAGAIN) {
        return true;
      } else if (-received !== EINTR) {
        void loop.close();
        onError(-received);
      }
    }
    return false;
  };

  const loop = openReadLoop(libc, fd, readiness, drain);
  const takeAll = (): void => {
    while (!loop.isClosed && !drain());
  };
  return { receiveBuffer, receive: takeAll, close: loop.close };
}

/** Not by an import, which would cost every loading of the FFI most of a millisecond. */
function isMainThread(): boolean {
  return process.getBuiltinModule('node:worker_threads').isMainThread;
}

function setOption(libc: Libc, fd: number, name: number, value: number): number {
  const setsockopt = libc.function('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint']);
  return libc.call(setsockopt, fd, SOL_SOCKET, name, Int32Array.of(value), 4);
}

/** An int option; 0 where the kernel does not tell. */
function getOption(libc: Libc, fd: number, name: number): number {
  const getsockopt = libc.function('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
  const value = new Int32Array(1);
  libc.call(getsockopt, fd, SOL_SOCKET, name, value, Uint32Array.of(4));
  return value[0] ?? 0;
}

function sendTo(libc: Libc, fd: number, data: Uint8Array, address: Uint8Array): Errno {
  const sendto = libc.function('sendto', 'long', ['int', 'void *', 'ulong', 'int', 'void *', 'uint']);
  const result = libc.call(sendto, fd, data, data.length, MSG_NOSIGNAL, address, address.length);
  return result < 0 ? -result : 0;
}

function netlinkAddress(groups: number): Uint8Array {
  const address = Buffer.alloc(SOCKADDR_NL_SIZE);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups >>> 0, 8);
  return address;
}
