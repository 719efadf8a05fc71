// The kernel's uevent socket: who may speak there, and what is handed on.

import { FormatError, LimitError } from '../errors.ts';
import { systemError, UEVENT_GROUP_KERNEL } from '../system.ts';
import type { System, UeventDatagram } from '../system.ts';
import { parseUeventMessage } from './uevent.ts';
import type { Uevent } from './uevent.ts';

export type MonitorOptions = {
  readonly onEvent: (event: Uevent) => void;
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

/** Listens to the kernel's uevents. Throws SystemError when the socket cannot be had. */
export async function openMonitor(system: System, options: MonitorOptions): Promise<Monitor> {
  const native = await system.native();
  const opened = native.openUeventSocket({
    groups: UEVENT_GROUP_KERNEL,
    ...(options.receiveBuffer === undefined ? {} : { receiveBuffer: options.receiveBuffer }),
    onDatagram: (datagram) => receive(system, datagram, options),
    onLost: options.onLost,
    onError: (errno) => options.onError(systemError('recvmsg', errno, 'NETLINK_KOBJECT_UEVENT')),
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno, 'NETLINK_KOBJECT_UEVENT');
  const { socket } = opened;
  return { receiveBuffer: socket.receiveBuffer, receive: () => socket.receive(), close: () => socket.close() };
}

function receive(system: System, datagram: UeventDatagram, options: MonitorOptions): void {
  const { pid, groups, uid, truncated, data } = datagram;
  // CVE-2009-1185: without these three, any process could pose as the kernel.
  if (pid !== 0 || groups !== UEVENT_GROUP_KERNEL || uid !== 0) {
    system.log.debug({ code: 'uevent-sender', message: `uevent not from the kernel dropped (port ${pid}, groups ${groups}, uid ${uid ?? 'unknown'})` });
    return;
  }
  if (truncated) {
    system.log.warn({ code: 'uevent-truncated', message: `uevent longer than the receive buffer (${data.length} bytes came): dropped` });
    options.onLost();
    return;
  }
  let event: Uevent;
  try {
    event = parseUeventMessage(data);
  } catch (error) {
    if (!(error instanceof FormatError) && !(error instanceof LimitError)) throw error;
    system.log.warn({ code: 'uevent-malformed', message: `uevent dropped: ${error.message}` });
    return;
  }
  options.onEvent(event);
}
