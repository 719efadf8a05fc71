// The socket of uevents, whichever group is listened to.

import { systemError } from '../system.ts';
import type { System, UeventDatagram } from '../system.ts';

export type ListenOptions = {
  /** Messages were lost: what the machine looks like must be read from /sys again. */
  readonly onLost: () => void;
  /** The socket is dead; no more calls follow. */
  readonly onError: (error: Error) => void;
  /** Bytes; the default of UeventSocketOptions when absent. */
  readonly receiveBuffer?: number;
};

export interface Monitor {
  /** What the kernel granted, in bytes. */
  readonly receiveBuffer: number;
  /** Takes what is in the socket now, without waiting for the event loop. */
  receive(): void;
  close(): Promise<void>;
}

/** Listens to a group of NETLINK_KOBJECT_UEVENT; who sent a datagram is not looked at. Throws SystemError when the socket cannot be had. */
export async function listenToGroup(
  system: System, groups: number, { onLost, onError, receiveBuffer }: ListenOptions, onDatagram: (datagram: UeventDatagram) => void,
): Promise<Monitor> {
  const native = await system.native();
  const opened = native.openUeventSocket({
    groups, onDatagram, onLost, ...(receiveBuffer === undefined ? {} : { receiveBuffer }),
    onError: (errno) => onError(systemError('recvmsg', errno, 'NETLINK_KOBJECT_UEVENT')),
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno, 'NETLINK_KOBJECT_UEVENT');
  const { socket } = opened;
  return { receiveBuffer: socket.receiveBuffer, receive: () => socket.receive(), close: () => socket.close() };
}
