// Opening sockets, and the addresses of unix sockets.

import { errnoByName } from './errno.ts';
import type { Libc } from './libc.ts';
import type { Errno } from './native.ts';

/** sys/socket.h and asm-generic/socket.h (the same on x86-64, arm64 and riscv64). */
export const AF_UNIX = 1;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;

/** linux/un.h: UNIX_PATH_MAX with the NUL that ends a path. */
const UNIX_PATH_MAX = 108;

const EINVAL = errnoByName('EINVAL') ?? 22;
const ENAMETOOLONG = errnoByName('ENAMETOOLONG') ?? 36;

/** A descriptor that never waits, or the negative errno. */
export function openSocket(libc: Libc, family: number, type: number, protocol: number): number {
  const socket = libc.function('socket', 'int', ['int', 'int', 'int']);
  return libc.call(socket, family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
}

/** struct sockaddr_un: family (2), then the path with its NUL, or a NUL and the abstract name without one (unix(7)). */
export function unixAddress(path: string): Uint8Array | Errno {
  if (path === '' || path.includes('\0')) return EINVAL;
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > UNIX_PATH_MAX) return ENAMETOOLONG;
  return Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
}
