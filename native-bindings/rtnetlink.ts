// rtnetlink(7), as far as a network interface gets names and an address.

import { errnoByName } from './errno.ts';
import { closeFd } from './files.ts';
import type { Libc } from './libc.ts';
import type { Errno } from './native.ts';

/** sys/socket.h, linux/netlink.h, linux/rtnetlink.h, linux/if_link.h. */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLMSG_ERROR = 2;
const RTM_SETLINK = 19;
const RTM_NEWLINKPROP = 108;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_PROP_LIST = 52;
const IFLA_ALT_IFNAME = 53;
const NLA_F_NESTED = 1 << 15;
const MSG_DONTWAIT = 0x40;

/** linux/if.h: IFNAMSIZ with the NUL. */
const IFNAMSIZ = 16;
/** linux/if.h: ALTIFNAMSIZ with the NUL. */
const ALTIFNAMSIZ = 128;
/** linux/netdevice.h: MAX_ADDR_LEN. */
const MAX_ADDR_LEN = 32;
/*
 * nlmsghdr: 0 length (4)  4 type (2)  6 flags (2)  8 sequence (4)  12 port (4)
 * ifinfomsg: 16 family (1)  17 pad (1)  18 type (2)  20 index (4)  24 flags (4)  28 change (4)
 * rtattr: 32 length (2)  34 type (2)  36 the value, padded to 4
 * answer: nlmsghdr, then 16 error (4): 0, or the negative errno
 */
const ATTRIBUTE_OFFSET = 32;
const ATTRIBUTE_HEAD = 4;
const ERROR_OFFSET = 16;

const EINVAL = errnoByName('EINVAL') ?? 22;
const EIO = errnoByName('EIO') ?? 5;

export function renameInterface(libc: Libc, ifindex: number, name: string): Errno {
  return request(libc, renameMessage(ifindex, name));
}

export function setInterfaceAddress(libc: Libc, ifindex: number, address: Uint8Array): Errno {
  const isAddress = address.length > 0 && address.length <= MAX_ADDR_LEN;
  return request(libc, isAddress ? linkMessage(RTM_SETLINK, ifindex, attribute(IFLA_ADDRESS, address)) : undefined);
}

export function addInterfaceName(libc: Libc, ifindex: number, name: string): Errno {
  return request(libc, alternativeNameMessage(ifindex, name));
}

/** The request; undefined for what cannot be an interface or a name. */
export function renameMessage(ifindex: number, name: string): Uint8Array | undefined {
  const text = nameBytes(name, IFNAMSIZ);
  return text && linkMessage(RTM_SETLINK, ifindex, attribute(IFLA_IFNAME, text));
}

/** The request; undefined for what cannot be an interface or a name. */
export function alternativeNameMessage(ifindex: number, name: string): Uint8Array | undefined {
  const text = nameBytes(name, ALTIFNAMSIZ);
  return text && linkMessage(RTM_NEWLINKPROP, ifindex, attribute(IFLA_PROP_LIST | NLA_F_NESTED, attribute(IFLA_ALT_IFNAME, text)));
}

function nameBytes(name: string, size: number): Uint8Array | undefined {
  const text = Buffer.from(`${name}\0`);
  return name === '' || name.includes('\0') || text.length > size ? undefined : text;
}

function attribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(ATTRIBUTE_HEAD + Math.ceil(value.length / 4) * 4);
  bytes.writeUInt16LE(ATTRIBUTE_HEAD + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, ATTRIBUTE_HEAD);
  return bytes;
}

function linkMessage(type: number, ifindex: number, attributes: Uint8Array): Uint8Array | undefined {
  if (!Number.isInteger(ifindex) || ifindex <= 0 || ifindex > 0x7fffffff) return undefined;
  const message = Buffer.alloc(ATTRIBUTE_OFFSET + attributes.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6);
  message.writeUInt32LE(1, 8);
  message.writeInt32LE(ifindex, 20);
  message.set(attributes, ATTRIBUTE_OFFSET);
  return message;
}

function request(libc: Libc, message: Uint8Array | undefined): Errno {
  if (!message) return EINVAL;
  const socket = libc.function('socket', 'int', ['int', 'int', 'int']);
  const fd = libc.call(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -fd;
  try {
    const sent = libc.call(libc.function('send', 'long', ['int', 'void *', 'ulong', 'int']), fd, message, message.length, 0);
    if (sent < 0) return -sent;
    // rtnetlink works on the request within send(2): the answer is there.
    const answer = Buffer.alloc(512);
    const length = libc.call(libc.function('recv', 'long', ['int', 'void *', 'ulong', 'int']), fd, answer, answer.length, MSG_DONTWAIT);
    if (length < 0) return -length;
    if (length < ERROR_OFFSET + 4 || answer.readUInt16LE(4) !== NLMSG_ERROR) return EIO;
    return -answer.readInt32LE(ERROR_OFFSET);
  } finally {
    closeFd(libc, fd);
  }
}
