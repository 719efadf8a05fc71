// What udev says after its events, as libudev's programs hear it: a listener of group 2, and the sender.

import { FormatError, LimitError } from '../errors.ts';
import { errnoName, UEVENT_GROUP_UDEV } from '../system.ts';
import type { System, UeventDatagram } from '../system.ts';
import { formatBroadcast, parseBroadcast } from './broadcast.ts';
import type { Broadcast } from './broadcast.ts';
import { listenToGroup } from './uevent-socket.ts';
import type { ListenOptions, Monitor } from './uevent-socket.ts';

export type UdevMonitorOptions = ListenOptions & {
  /** The properties of a message, in its order. */
  readonly onMessage: (properties: ReadonlyMap<string, string>) => void;
};

/** Listens to udev's messages, those of root only. Throws SystemError when the socket cannot be had. */
export function openUdevMonitor(system: System, options: UdevMonitorOptions): Promise<Monitor> {
  return listenToGroup(system, UEVENT_GROUP_UDEV, options, (datagram) => receive(system, datagram, options));
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
