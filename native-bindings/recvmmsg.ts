// The memory layout of recvmmsg(2): many netlink datagrams with sender address and credentials in one call.

import type { Libc } from './libc.ts';
import type { UeventDatagram } from './native.ts';

/** Buffers for one recvmmsg call, used again and again. */
export interface MessageBatch {
  /** Reads what is there without waiting: the number of datagrams, or the negative errno. */
  receive(fd: number): number;
  /** A datagram of the last receive(). Its data is valid until the next. */
  message(index: number): UeventDatagram;
}

/** Datagrams in one call. More gains nothing: a call costs about as much as one datagram. */
const BATCH = 64;

/**
 * Bytes for one datagram. The kernel's are at most UEVENT_BUFFER_SIZE (2048, linux/kobject.h) and a header of
 * `ACTION@DEVPATH`, whose path is also in those 2048. udev's (group 2) carry all properties of its database: 8 KiB is
 * not rare. What is longer arrives cut and says so. Memory that no datagram reaches is never touched.
 */
const DATA_SIZE = 16 * 1024;
/** struct sockaddr_nl. */
const ADDRESS_SIZE = 12;
/** CMSG_SPACE(sizeof(struct ucred)) is 32; the rest is room for a control message that some option adds. */
const CONTROL_SIZE = 64;

/*
 * struct mmsghdr on 64-bit Linux; musl pads its int and socklen_t to the same places.
 *   0 msg_name *   8 msg_namelen (4)  16 msg_iov *  24 msg_iovlen (8)  32 msg_control *  40 msg_controllen (8)
 *  48 msg_flags (4)  56 msg_len (4)  64 end
 * struct iovec: 0 iov_base *  8 iov_len  16 end
 */
const HEADER_SIZE = 64;
const IOVEC_SIZE = 16;

/*
 * struct cmsghdr with a struct ucred (socket(7), unix(7)):
 *   0 cmsg_len (8)  8 cmsg_level (4)  12 cmsg_type (4)  16 pid (4)  20 uid (4)  24 gid (4)
 */
const CREDENTIALS_LENGTH = 28;
const SOL_SOCKET = 1;
const SCM_CREDENTIALS = 2;

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

/** Allocates the buffers. They are JavaScript's: only the calling thread uses them, so the collector may free them. */
export function openMessageBatch(libc: Libc): MessageBatch {
  const recvmmsg = libc.function('recvmmsg', 'int', ['int', 'void *', 'uint', 'int', 'void *']);
  // One block that the headers' buffer keeps alive, as the kernel follows pointers that the collector cannot see.
  const arena = new ArrayBuffer(BATCH * (HEADER_SIZE + IOVEC_SIZE + ADDRESS_SIZE + CONTROL_SIZE + DATA_SIZE));
  let allocated = 0;
  const allocate = (size: number): Buffer => {
    allocated += BATCH * size;
    return Buffer.from(arena, allocated - BATCH * size, BATCH * size);
  };
  const headers = allocate(HEADER_SIZE);
  const iovecs = allocate(IOVEC_SIZE);
  const controls = allocate(CONTROL_SIZE);
  const addresses = allocate(ADDRESS_SIZE);
  const data = allocate(DATA_SIZE);
  const start: bigint = libc.koffi.address(headers);
  const addressOf = (buffer: Buffer, offset: number): bigint => start + BigInt(buffer.byteOffset + offset);

  for (let index = 0; index < BATCH; index++) {
    const header = index * HEADER_SIZE;
    headers.writeBigUInt64LE(addressOf(addresses, index * ADDRESS_SIZE), header);
    headers.writeBigUInt64LE(addressOf(iovecs, index * IOVEC_SIZE), header + 16);
    headers.writeBigUInt64LE(1n, header + 24);
    headers.writeBigUInt64LE(addressOf(controls, index * CONTROL_SIZE), header + 32);
    iovecs.writeBigUInt64LE(addressOf(data, index * DATA_SIZE), index * IOVEC_SIZE);
    iovecs.writeBigUInt64LE(BigInt(DATA_SIZE), index * IOVEC_SIZE + 8);
    resetLengths(headers, header);
  }

  let used = 0;
  return {
    receive: (fd) => {
      // The kernel wrote the real lengths over the room there is.
      for (let index = 0; index < used; index++) resetLengths(headers, index * HEADER_SIZE);
      const received = libc.call(recvmmsg, fd, headers, BATCH, MSG_DONTWAIT, null);
      used = Math.max(received, 0);
      return received;
    },
    message: (index) => {
      const header = index * HEADER_SIZE;
      const hasAddress = headers.readUInt32LE(header + 8) >= ADDRESS_SIZE;
      const length = Math.min(headers.readUInt32LE(header + 56), DATA_SIZE);
      const control = controls.subarray(index * CONTROL_SIZE, (index + 1) * CONTROL_SIZE);
      return {
        data: data.subarray(index * DATA_SIZE, index * DATA_SIZE + length),
        // A sender without address is nobody's: no pid and no group that is accepted.
        pid: hasAddress ? addresses.readUInt32LE(index * ADDRESS_SIZE + 4) : 0xffffffff,
        groups: hasAddress ? addresses.readUInt32LE(index * ADDRESS_SIZE + 8) : 0,
        uid: credentialsUid(control, headers.readUInt32LE(header + 40)),
        truncated: (headers.readUInt32LE(header + 48) & MSG_TRUNC) !== 0,
      };
    },
  };
}

function resetLengths(headers: Buffer, header: number): void {
  headers.writeUInt32LE(ADDRESS_SIZE, header + 8);
  headers.writeUInt32LE(CONTROL_SIZE, header + 40);
  headers.writeUInt32LE(0, header + 48);
}

/** The uid of the first control message, if that is SCM_CREDENTIALS, as it is when only SO_PASSCRED is set. */
function credentialsUid(control: Buffer, length: number): number | undefined {
  if (length < CREDENTIALS_LENGTH || control.readUInt32LE(0) < CREDENTIALS_LENGTH) return undefined;
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_CREDENTIALS) return undefined;
  return control.readUInt32LE(20);
}
