// Unix sockets that keep message boundaries (SOCK_SEQPACKET), which Node cannot open: server and client.

import { errnoByName } from './errno.ts';
import { closeFd } from './files.ts';
import type { Libc } from './libc.ts';
import type {
  Errno, OpenFailure, PeerCredentials, SeqpacketConnection, SeqpacketHandlers, SeqpacketServer, SeqpacketServerOptions,
} from './native.ts';
import { openStepLoop } from './read-loop.ts';
import { watchReadable } from './readiness.ts';
import { AF_UNIX, openSocket, SOCK_CLOEXEC, SOCK_NONBLOCK, unixAddress } from './socket.ts';

/** sys/socket.h. */
const SOCK_SEQPACKET = 5;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
/** The kernel asks for at most fifty modules at one time (MAX_KMOD_CONCURRENT). */
const BACKLOG = 64;

const MESSAGE_SIZE = 4096;
/** Messages or connections between two turns of the event loop. */
const PER_TURN = 32;
/** struct ucred: pid, uid, gid. */
const UCRED_SIZE = 12;

const ECONNABORTED = errnoByName('ECONNABORTED');

/** Binds and listens. A socket of that name must be gone. */
export function openSeqpacketServer(libc: Libc, options: SeqpacketServerOptions): { readonly server: SeqpacketServer } | OpenFailure {
  const address = unixAddress(options.path);
  if (typeof address === 'number') return { errno: address, syscall: 'bind' };
  const fd = openSocket(libc, AF_UNIX, SOCK_SEQPACKET, 0);
  if (fd < 0) return { errno: -fd, syscall: 'socket' };
  const fail = (result: number, syscall: string): OpenFailure => {
    closeFd(libc, fd);
    return { errno: -result, syscall };
  };
  // The file is made by bind with the permissions that the umask leaves: never too wide, not even for a moment.
  const umask = libc.function('umask', 'uint', ['uint']);
  const before = Number(umask(~options.mode & 0o777));
  const bound = libc.call(libc.function('bind', 'int', ['int', 'void *', 'uint']), fd, address, address.length);
  umask(before);
  if (bound < 0) return fail(bound, 'bind');
  const listening = libc.call(libc.function('listen', 'int', ['int', 'int']), fd, BACKLOG);
  if (listening < 0) return fail(listening, 'listen');
  const readiness = watchReadable(libc, fd);
  if (typeof readiness === 'number') return fail(readiness, 'poll');

  const accept = libc.function('accept4', 'int', ['int', 'void *', 'void *', 'int']);
  const step = (): Errno => {
    const accepted = libc.call(accept, fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted >= 0) serve(libc, accepted, options.onConnection);
    else if (-accepted !== ECONNABORTED) return -accepted;
    return 0;
  };
  const loop = openStepLoop(libc, fd, readiness, { perTurn: PER_TURN, step, onEnd: options.onError });
  return { server: { close: loop.close } };
}

export function connectSeqpacket(
  libc: Libc, path: string, handlers: SeqpacketHandlers,
): { readonly connection: SeqpacketConnection } | OpenFailure {
  const address = unixAddress(path);
  if (typeof address === 'number') return { errno: address, syscall: 'connect' };
  const fd = openSocket(libc, AF_UNIX, SOCK_SEQPACKET, 0);
  if (fd < 0) return { errno: -fd, syscall: 'socket' };
  const connected = libc.call(libc.function('connect', 'int', ['int', 'void *', 'uint']), fd, address, address.length);
  if (connected < 0) {
    closeFd(libc, fd);
    return { errno: -connected, syscall: 'connect' };
  }
  const connection = openConnection(libc, fd, () => handlers);
  return typeof connection === 'number' ? { errno: connection, syscall: 'poll' } : { connection };
}

function serve(libc: Libc, fd: number, onConnection: SeqpacketServerOptions['onConnection']): void {
  openConnection(libc, fd, onConnection);
}

/** The connection on a descriptor, which it owns from now on; or the errno, and the descriptor is closed. */
function openConnection(
  libc: Libc, fd: number, accept: (connection: SeqpacketConnection) => SeqpacketHandlers | undefined,
): SeqpacketConnection | Errno {
  const readiness = watchReadable(libc, fd);
  if (typeof readiness === 'number') {
    closeFd(libc, fd);
    return -readiness;
  }
  const recvmsg = libc.function('recv', 'long', ['int', 'void *', 'ulong', 'int']);
  const send = libc.function('send', 'long', ['int', 'void *', 'ulong', 'int']);
  const buffer = Buffer.alloc(MESSAGE_SIZE);
  let handlers: SeqpacketHandlers | undefined;
  const step = (): Errno | 'end' => {
    // With MSG_TRUNC the result is the length that the message had.
    const length = libc.call(recvmsg, fd, buffer, buffer.length, MSG_TRUNC);
    if (length < 0) return -length;
    // An empty message cannot be told from the end, and nobody sends one.
    if (length === 0) return 'end';
    handlers?.onMessage(buffer.subarray(0, Math.min(length, buffer.length)), length > buffer.length);
    return 0;
  };
  const loop = openStepLoop(libc, fd, readiness, { perTurn: PER_TURN, step, onEnd: (errno) => handlers?.onEnd(errno) });
  const connection: SeqpacketConnection = {
    peer: peerCredentials(libc, fd),
    send: (data) => {
      if (loop.isClosed) return errnoByName('EPIPE') ?? 32;
      const result = libc.call(send, fd, data, data.length, MSG_NOSIGNAL);
      return result < 0 ? -result : 0;
    },
    close: loop.close,
  };
  handlers = accept(connection);
  if (!handlers) void loop.close();
  return connection;
}

/** Those of nobody where the kernel does not tell. */
function peerCredentials(libc: Libc, fd: number): PeerCredentials {
  const ucred = Buffer.alloc(UCRED_SIZE);
  const getsockopt = libc.function('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
  if (libc.call(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, ucred, Uint32Array.of(UCRED_SIZE)) < 0) ucred.fill(0xff);
  return { pid: ucred.readUInt32LE(0), uid: ucred.readUInt32LE(4), gid: ucred.readUInt32LE(8) };
}
