// The kernel's uevent socket: who may speak there, and what is handed on.

import { FormatError, LimitError } from '../errors.ts';
import { UEVENT_GROUP_KERNEL } from '../system.ts';
import type { System, UeventDatagram } from '../system.ts';
import { parseUeventMessage } from './uevent.ts';
import type { Uevent } from './uevent.ts';
import { listenToGroup } from './uevent-socket.ts';
import type { ListenOptions, Monitor } from './uevent-socket.ts';

export type MonitorOptions = ListenOptions & {
  readonly onEvent: (event: Uevent) => void;
};

/** Listens to the kernel's uevents. Throws SystemError when the socket cannot be had. */
export function openMonitor(system: System, options: MonitorOptions): Promise<Monitor> {
  return listenToGroup(system, UEVENT_GROUP_KERNEL, options, (datagram) => receive(system, datagram, options));
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
