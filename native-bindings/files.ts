// Calls on files that Node does not offer: closing what C opened, device nodes, locks, extended attributes, partition tables.

import { errnoByName } from './errno.ts';
import type { Libc } from './libc.ts';
import type { Errno } from './native.ts';
import { syscallNumber } from './syscalls.ts';

/** fcntl.h. */
const AT_FDCWD = -100;
/** linux/kdev_t.h: the kernel's dev_t has 12 bits of major and 20 of minor. */
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xfffff;
/** linux/fs.h: _IO(0x12, 95). */
const BLKRRPART = 0x125f;

const EINVAL = errnoByName('EINVAL') ?? 22;

export function closeFd(libc: Libc, fd: number): void {
  libc.call(libc.function('close', 'int', ['int']), fd);
}

/** By syscall(2): glibc has the function since 2.33 only. */
export function mknod(libc: Libc, path: string, mode: number, major: number, minor: number): Errno {
  if (path.includes('\0') || !inRange(major, MAJOR_MAX) || !inRange(minor, MINOR_MAX)) return EINVAL;
  const syscall = libc.function('syscall', 'long', ['long', 'long', 'str', 'ulong', 'ulong']);
  return errnoOf(libc.call(syscall, syscallNumber('mknodat'), AT_FDCWD, path, mode, encodeDevice(major, minor)));
}

export function flock(libc: Libc, fd: number, operation: number): Errno {
  return errnoOf(libc.call(flockFunction(libc), fd, operation));
}

export function flockWait(libc: Libc, fd: number, operation: number): Promise<Errno> {
  return libc.callOnThread(flockFunction(libc), fd, operation);
}

export function setxattr(libc: Libc, path: string, name: string, value: Uint8Array): Errno {
  if (path.includes('\0') || name.includes('\0')) return EINVAL;
  const fn = libc.function('setxattr', 'int', ['str', 'str', 'void *', 'ulong', 'int']);
  return errnoOf(libc.call(fn, path, name, value, value.length, 0));
}

/** ioctl(2) is variadic, and glibc and musl disagree on the request's width; on the three architectures both are passed as here. */
export function rereadPartitionTable(libc: Libc, fd: number): Promise<Errno> {
  return libc.callOnThread(libc.function('ioctl', 'int', ['int', 'ulong', 'ulong']), fd, BLKRRPART, 0);
}

function flockFunction(libc: Libc): ReturnType<Libc['function']> {
  return libc.function('flock', 'int', ['int', 'int']);
}

/** include/linux/kdev_t.h, new_encode_dev(): minor 0-7, major 8-19, the rest of minor 20-31. */
function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

function inRange(value: number, maximum: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= maximum;
}

function errnoOf(result: number): Errno {
  return result < 0 ? -result : 0;
}
