// Telling the starter of the daemon how it fares: sd_notify(3) datagrams, and a newline on a descriptor (s6, and everyone).

import { closeSync, writeSync } from 'node:fs';
import { hrtime } from 'node:process';

import { messageOf } from '../errors.ts';
import { errnoName } from '../system.ts';
import type { System } from '../system.ts';

export type NotifyOptions = {
  /** $NOTIFY_SOCKET: an absolute path, or `@name` in the abstract namespace. */
  readonly socket?: string | undefined;
  /** Gets one newline, then is closed, at the first `ready`. */
  readonly readyFd?: number | undefined;
};

export interface Notifier {
  ready(status: string): Promise<void>;
  /** Until the next `ready` the starter takes the daemon as reloading. */
  reloading(): Promise<void>;
  stopping(): Promise<void>;
}

/** Failures are logged, never thrown: a daemon that cannot say that it is ready is ready all the same. */
export function openNotifier(system: System, { socket, readyFd }: NotifyOptions): Notifier {
  let fd = readyFd;
  const send = async (lines: readonly string[]): Promise<void> => {
    if (!socket) return;
    // vsock: is for managers outside of a virtual machine.
    if (!/^[/@]./.test(socket)) {
      system.log.warn({ code: 'notify-failed', message: `NOTIFY_SOCKET=${socket}: only paths and @names can be notified` });
      return;
    }
    const native = await system.native();
    const errno = native.sendUnixDatagram(socket, Buffer.from(lines.join('\n')));
    if (errno !== 0) system.log.warn({ code: 'notify-failed', message: `cannot notify ${socket}: ${errnoName(errno)}` });
  };
  return {
    async ready(status) {
      if (fd !== undefined) {
        signalDescriptor(system, fd);
        fd = undefined;
      }
      await send(['READY=1', `STATUS=${status}`]);
    },
    // MONOTONIC_USEC is CLOCK_MONOTONIC (sd_notify(3)), which is what hrtime reads.
    reloading: () => send(['RELOADING=1', `MONOTONIC_USEC=${hrtime.bigint() / 1000n}`]),
    stopping: () => send(['STOPPING=1']),
  };
}

function signalDescriptor(system: System, fd: number): void {
  try {
    writeSync(fd, '\n');
    closeSync(fd);
  } catch (error) {
    system.log.warn({ code: 'notify-failed', message: `cannot signal readiness on descriptor ${fd}: ${messageOf(error)}` });
  }
}
