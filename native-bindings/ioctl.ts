// ioctl(2), and the one of ethtool, whose argument holds a pointer.

import { errnoByName } from './errno.ts';
import { closeFd } from './files.ts';
import type { Libc } from './libc.ts';
import type { Errno } from './native.ts';

/** sys/socket.h. */
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** linux/sockios.h, linux/ethtool.h. */
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GDRVINFO = 3;

/*
 * struct ifreq (linux/if.h): 0 ifr_name (16)  16 ifr_data *  40 end
 * struct ethtool_drvinfo: 0 cmd (4)  4 driver (32)  36 version (32) …  196 end
 */
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;
const DRVINFO_SIZE = 196;
const DRIVER_AT = 4;
const DRIVER_SIZE = 32;

const EINVAL = errnoByName('EINVAL') ?? 22;
/** Stands in when a failed call left no errno, so that failure never reads as success. */
const EIO = errnoByName('EIO') ?? 5;

/** Runs on a thread: drivers may wait for their device. koffi holds on to `data` until the call has ended. */
export function ioctl(libc: Libc, fd: number, request: number, data: Uint8Array): Promise<{ result: number } | { errno: Errno }> {
  const fn = libc.function('ioctl', 'int', ['int', 'ulong', 'void *']);
  return new Promise((resolve, reject) => {
    fn.async(fd, request, data, (error: unknown, result: number) => {
      // koffi keeps the thread's errno with the call and restores it for this callback, until the next native call.
      const errno = libc.koffi.errno();
      if (error) reject(error);
      else resolve(result < 0 ? { errno: errno || EIO } : { result });
    });
  });
}

/**
 * Runs on a thread: where no interface has that name any more, the kernel asks for a module `netdev-NAME` first (dev_load), and may ask
 * the daemon that calls this.
 */
export async function ethtoolDriver(libc: Libc, ifname: string): Promise<{ driver: string } | { errno: Errno }> {
  if (ifname === '' || Buffer.byteLength(ifname) >= IFNAMSIZ || ifname.includes('\0')) return { errno: EINVAL };
  const socket = libc.call(libc.function('socket', 'int', ['int', 'int', 'int']), AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return { errno: -socket };
  try {
    // One block, so that what the pointer points at stays where it is.
    const block = Buffer.from(new ArrayBuffer(IFREQ_SIZE + DRVINFO_SIZE));
    block.write(ifname, 0, 'utf8');
    block.writeBigUInt64LE(BigInt(libc.koffi.address(block)) + BigInt(IFREQ_SIZE), IFNAMSIZ);
    block.writeUInt32LE(ETHTOOL_GDRVINFO, IFREQ_SIZE);
    const answer = await ioctl(libc, socket, SIOCETHTOOL, block);
    if ('errno' in answer) return answer;
    const driver = block.subarray(IFREQ_SIZE + DRIVER_AT, IFREQ_SIZE + DRIVER_AT + DRIVER_SIZE);
    const end = driver.indexOf(0);
    return { driver: driver.toString('utf8', 0, end < 0 ? driver.length : end) };
  } finally {
    closeFd(libc, socket);
  }
}
