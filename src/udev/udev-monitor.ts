// What udev says after its events, as libudev's programs hear it: a listener of group 2, and the sender.

import { FormatError, LimitError } from '../errors.ts';
import { errnoName, systemError, UEVENT_GROUP_UDEV } from '../system.ts';
import type { System, UeventDatagram } from '../system.ts';
import { formatBroadcast, parseBroadcast } from './broadcast.ts';
import type { Broadcast } from './broadcast.ts';
import type { Monitor } from './monitor.ts';

export type UdevMonitorOptions = {
  /** The properties of a message, in its order. */
  readonly onMessage: (properties: ReadonlyMap<string, string>) => void;
  /** Messages were lost. */
  readonly onLost: () => void;
  /** The socket is dead; no more calls follow. */
  readonly onError: (error: Error) => void;
  /** Bytes; the default of UeventSocketOptions when absent. */
  readonly receiveBuffer?: number;
};

/** Listens to udev's messages, those of root only. Throws SystemError when the socket cannot be had. */
export async function openUdevMonitor(system: System, options: UdevMonitorOptions): Promise<Monitor> {
  const native = await system.native();
  const opened = native.openUeventSocket({
    groups: UEVENT_GROUP_UDEV,
    ...(options.receiveBuffer === undefined ? {} : { receiveBuffer: options.receiveBuffer }),
    onDatagram: (datagram) => receive(system, datagram, options),
    onLost: options.onLost,
    onError: (errno) => options.onError(systemError('recvmsg', errno, 'NETLINK_KOBJECT_UEVENT')),
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno, 'NETLINK_KOBJECT_UEVENT');
  const { socket } = opened;
  return { receiveBuffer: socket.receiveBuffer, receive: () => socket.receive(), close: () => socket.close() };
}

/** Tells everyone who listens what an event came to. That nobody does is no failure; others are logged. */
export async function sendBroadcast(system: System, message: Broadcast): Promise<boolean> {
  const native = await system.native();
  let bytes: Uint8Array;
  try {
    bytes = formatBroadcast(message);
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
    system.log.warn({ code: 'broadcast-failed', message: error.message });
    return false;
  }
  const errno = native.sendUevent(bytes, UEVENT_GROUP_UDEV);
  if (errno !== 0) system.log.warn({ code: 'broadcast-failed', message: `cannot tell listeners of an event: ${errnoName(errno)}` });
  return errno === 0;
}

function receive(system: System, { groups, uid, truncated, data }: UeventDatagram, options: UdevMonitorOptions): void {
  // Anyone may send to a port; to the group only root, and the kernel says which was meant.
  if (groups !== UEVENT_GROUP_UDEV || uid !== 0) {
    system.log.debug({ code: 'udev-sender', message: `message not from udev dropped (groups ${groups}, uid ${uid ?? 'unknown'})` });
    return;
  }
  if (truncated) {
    system.log.warn({ code: 'udev-truncated', message: `message of udev longer than the receive buffer (${data.length} bytes came): dropped` });
    options.onLost();
    return;
  }
  let properties: ReadonlyMap<string, string>;
  try {
    properties = parseBroadcast(data);
  } catch (error) {
    if (!(error instanceof FormatError) && !(error instanceof LimitError)) throw error;
    system.log.debug({ code: 'udev-malformed', message: `message of udev dropped: ${error.message}` });
    return;
  }
  options.onMessage(properties);
}
