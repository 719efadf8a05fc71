// The native calls of this machine: the C library through koffi, with the errno of each call as its result.

import { messageOf } from '../src/errors.ts';
import { openBlkid } from './blkid.ts';
import { openCodecs } from './codecs.ts';
import { errnoByName } from './errno.ts';
import { flock, flockWait, mknod, rereadPartitionTable, setxattr } from './files.ts';
import { openInotify } from './inotify.ts';
import { ethtoolDriver, ioctl } from './ioctl.ts';
import { loadKoffi } from './koffi.ts';
import type { CFunction, Koffi } from './koffi.ts';
import type { Errno, Native, Utsname } from './native.ts';
import { MFD_CLOEXEC } from './native.ts';
import { openUeventSender, openUeventSocket, sendUnixDatagram } from './netlink.ts';
import { limitCapabilities, setCloseOnExec, trimHeap } from './process.ts';
import { addInterfaceName, renameInterface, setInterfaceAddress } from './rtnetlink.ts';
import { connectSeqpacket, openSeqpacketServer } from './seqpacket.ts';
import { syscallNumber } from './syscalls.ts';
import type { SyscallName } from './syscalls.ts';

/** A C function of the process. `call` gives its result, negative with the errno of that very call. */
export interface Libc {
  readonly koffi: Koffi;
  /** The function of libc, found once. Arguments and results as C declares them; integers are `long`. */
  function(name: string, result: string, parameters: readonly string[]): CFunction;
  /** Calls; a result below zero becomes the negative errno. */
  call(fn: CFunction, ...values: readonly unknown[]): number;
  /** Calls on a thread of the libuv pool: 0, or the positive errno. */
  callOnThread(fn: CFunction, ...values: readonly unknown[]): Promise<Errno>;
}

/** sys/utsname.h: struct utsname of Linux is six fields of 65 bytes, each ended by NUL; the sixth is domainname. */
const UTSNAME_FIELD = 65;
const UTSNAME_SIZE = 6 * UTSNAME_FIELD;

/** unistd.h. */
const SEEK_END = 2;

/**
 * Calls on threads that koffi holds at one time; the rest waits here. koffi throws beyond its max_async_calls (256) and
 * sets 256 KiB aside for each, while the pool runs only UV_THREADPOOL_SIZE of them.
 */
const MAX_THREADED_CALLS = 64;

/** A string with a NUL would reach C cut off; the kernel can know no such name or parameter. */
const EINVAL = errnoByName('EINVAL') ?? 22;
/** Stands in when a failed call left no errno, so that failure never reads as success. */
const EIO = errnoByName('EIO') ?? 5;

/** The native calls of this process. Loads koffi; throws UnsupportedError where that is impossible. */
export function openLibc(): Native {
  const libc = bindLibc(loadKoffi());
  const { koffi } = libc;
  const finit = moduleCall(libc, 'finit_module', ['int', 'str', 'int']);
  const codecs = openCodecs(koffi);
  const blkid = openBlkid(koffi);

  return {
    uname: () => uname(libc),
    finitModule: async (fd, params, flags) =>
      hasNul(params) ? EINVAL : libc.callOnThread(finit().fn, ...finit().leading, fd, params, flags),
    finitModuleSync: (fd, params, flags) =>
      hasNul(params) ? EINVAL : errnoOf(libc.call(finit().fn, ...finit().leading, fd, params, flags)),
    initModule: async (image, params) => (hasNul(params) ? EINVAL : initModule(libc, image, params)),
    deleteModule: (name, flags) => {
      if (hasNul(name)) return EINVAL;
      const { fn, leading } = moduleCall(libc, 'delete_module', ['str', 'int'])();
      return errnoOf(libc.call(fn, ...leading, name, flags));
    },
    memfdCreate: (name) => {
      if (hasNul(name)) return { errno: EINVAL };
      const { fn, leading } = moduleCall(libc, 'memfd_create', ['str', 'uint'])();
      const result = libc.call(fn, ...leading, name, MFD_CLOEXEC);
      return result < 0 ? { errno: -result } : { fd: result };
    },
    seekEnd: (fd) => errnoOf(libc.call(libc.function('lseek', 'long', ['int', 'long', 'int']), fd, 0, SEEK_END)),
    openUeventSocket: (options) => openUeventSocket(libc, options),
    sendUnixDatagram: (path, data) => sendUnixDatagram(libc, path, data),
    sendUevent: openUeventSender(libc),
    get xz() {
      return codecs.xz();
    },
    get zstd() {
      return codecs.zstd();
    },
    mknod: (path, mode, major, minor) => mknod(libc, path, mode, major, minor),
    flock: (fd, operation) => flock(libc, fd, operation),
    flockWait: (fd, operation) => flockWait(libc, fd, operation),
    setxattr: (path, name, value) => setxattr(libc, path, name, value),
    rereadPartitionTable: (fd) => rereadPartitionTable(libc, fd),
    setCloseOnExec: (fd) => setCloseOnExec(libc, fd),
    limitCapabilities: (keep) => limitCapabilities(libc, keep),
    trimHeap: () => trimHeap(libc),
    openInotify: (options) => openInotify(libc, options),
    openSeqpacketServer: (options) => openSeqpacketServer(libc, options),
    connectSeqpacket: (path, handlers) => connectSeqpacket(libc, path, handlers),
    renameInterface: (ifindex, name) => renameInterface(libc, ifindex, name),
    setInterfaceAddress: (ifindex, address) => setInterfaceAddress(libc, ifindex, address),
    addInterfaceName: (ifindex, name) => addInterfaceName(libc, ifindex, name),
    get blkid() {
      return blkid();
    },
    ioctl: (fd, request, data) => ioctl(libc, fd, request, data),
    ethtoolDriver: (ifname) => ethtoolDriver(libc, ifname),
  };
}

/** The C functions of this process: libc's, whichever libc Node runs on. */
export function bindLibc(koffi: Koffi): Libc {
  const process = koffi.load(null);
  const functions = new Map<string, CFunction>();
  const waiting: (() => void)[] = [];
  let running = 0;

  return {
    koffi,
    function: (name, result, parameters) => {
      const key = `${name}/${parameters.join()}`;
      const known = functions.get(key);
      if (known) return known;
      const fn = process.func(name, result, [...parameters]);
      functions.set(key, fn);
      return fn;
    },
    call: (fn, ...values) => {
      const result = Number(fn(...values));
      return result < 0 ? -(koffi.errno() || EIO) : result;
    },
    callOnThread: async (fn, ...values) => {
      if (running >= MAX_THREADED_CALLS) await new Promise<void>((resolve) => waiting.push(resolve));
      else running++;
      try {
        return await onThread(koffi, fn, values);
      } finally {
        // The place goes straight to the next in line, which does not count itself again.
        const next = waiting.shift();
        if (next) next();
        else running--;
      }
    },
  };
}

function onThread(koffi: Koffi, fn: CFunction, values: readonly unknown[]): Promise<Errno> {
  return new Promise((resolve, reject) => {
    fn.async(...values, (error: unknown, result: number | bigint) => {
      // koffi keeps the thread's errno with the call and restores it for this callback, until the next native call.
      const errno = koffi.errno();
      if (error) reject(error);
      else resolve(result < 0 ? errno || EIO : 0);
    });
  });
}

type BoundCall = { readonly fn: CFunction; readonly leading: readonly number[] };

/** A call that not every libc has a function for: libc's own where it is, else syscall(2) with the number before the arguments. */
function moduleCall(libc: Libc, name: SyscallName, parameters: readonly string[]): () => BoundCall {
  let bound: BoundCall | undefined;
  return () => (bound ??= bindCall(libc, name, parameters));
}

function bindCall(libc: Libc, name: SyscallName, parameters: readonly string[]): BoundCall {
  if (name !== 'finit_module') {
    try {
      return { fn: libc.function(name, 'int', parameters), leading: [] };
    } catch (error) {
      // koffi says by an exception of its own, without a code, that this libc lacks the function.
      if (!messageOf(error).startsWith('Cannot find function')) throw error;
    }
  }
  // syscall(2) takes its arguments as `long` from a variadic list; on the three architectures those are passed as here.
  const widened = parameters.map((type) => (type === 'int' || type === 'uint' ? 'long' : type));
  return { fn: libc.function('syscall', 'long', ['long', ...widened]), leading: [syscallNumber(name)] };
}

async function initModule(libc: Libc, image: Uint8Array, params: string): Promise<Errno> {
  const { koffi } = libc;
  const { fn, leading } = moduleCall(libc, 'init_module', ['void *', 'ulong', 'str'])();
  // Memory of our own: the thread reads it while JavaScript runs on, may change the image, or collect it.
  const memory: unknown = koffi.alloc('uint8_t', Math.max(image.length, 1));
  try {
    new Uint8Array(koffi.view(memory, image.length)).set(image);
    return await libc.callOnThread(fn, ...leading, memory, image.length, params);
  } finally {
    koffi.free(memory);
  }
}

function uname(libc: Libc): Utsname {
  const buffer = Buffer.alloc(UTSNAME_SIZE);
  const result = libc.call(libc.function('uname', 'int', ['void *']), buffer);
  // EFAULT is its only error, and the buffer is ours.
  if (result < 0) throw new Error(`uname failed with errno ${-result}`);
  const field = (index: number): string => {
    const bytes = buffer.subarray(index * UTSNAME_FIELD, (index + 1) * UTSNAME_FIELD);
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
  };
  return { sysname: field(0), nodename: field(1), release: field(2), version: field(3), machine: field(4) };
}

function errnoOf(result: number): Errno {
  return result < 0 ? -result : 0;
}

function hasNul(text: string): boolean {
  return text.includes('\0');
}
