// Calls on the process itself that Node does not offer: what its children inherit, and what it may do.

import type { Libc } from './libc.ts';
import type { Errno } from './native.ts';

/** fcntl.h. */
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** linux/capability.h. */
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
/** struct __user_cap_header_struct: version (4), pid (4). Two of struct __user_cap_data_struct: effective, permitted, inheritable (4 each). */
const CAP_HEADER_SIZE = 8;
const CAP_DATA_SIZE = 12;

/** fcntl(2) is variadic; on the three architectures its argument is passed as here. */
export function setCloseOnExec(libc: Libc, fd: number): Errno {
  return errnoOf(libc.call(libc.function('fcntl', 'int', ['int', 'int', 'long']), fd, F_SETFD, FD_CLOEXEC));
}

/** Of the calling thread, and of threads that it makes from then on (capabilities(7)). */
export function limitCapabilities(libc: Libc, keep: bigint): Errno {
  const header = Buffer.alloc(CAP_HEADER_SIZE);
  header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0);
  const data = Buffer.alloc(2 * CAP_DATA_SIZE);
  const got = libc.call(libc.function('capget', 'int', ['void *', 'void *']), header, data);
  if (got < 0) return -got;
  for (let offset = 0; offset < data.length; offset += 4) {
    const mask = Number((keep >> (offset < CAP_DATA_SIZE ? 0n : 32n)) & 0xffffffffn);
    data.writeUInt32LE((data.readUInt32LE(offset) & mask) >>> 0, offset);
  }
  return errnoOf(libc.call(libc.function('capset', 'int', ['void *', 'void *']), header, data));
}

/** glibc keeps what was freed; musl has no such function, and nothing to give back. */
export function trimHeap(libc: Libc): void {
  try {
    libc.call(libc.function('malloc_trim', 'int', ['ulong']), 0);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('Cannot find function'))) throw error;
  }
}

function errnoOf(result: number): Errno {
  return result < 0 ? -result : 0;
}
