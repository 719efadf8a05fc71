// /run/udev/control: where root tells the daemon what to do, and waits until it is done.

import { dirname, join } from 'node:path';

import { FormatError, messageOf } from '../errors.ts';
import { errnoByName, errnoName, systemError } from '../system.ts';
import type { SeqpacketConnection, System } from '../system.ts';
import { makeDirectory, removeFile } from './atomic-file.ts';
import { formatControlMessage, parseControlMessage } from './control-message.ts';
import type { ControlMessage } from './control-message.ts';

/** More messages than any `udevadm control` has options for; who sends more is cut off. */
const MESSAGES_MAX = 64;

export type ControlServerOptions = {
  /**
   * One message of root. The connection closes, which is the answer, when all promises of its messages have settled: that of `ping`
   * when the daemon has done what came before.
   */
  readonly onMessage: (message: Exclude<ControlMessage, { type: 'end' }>) => void | Promise<void>;
  readonly onError: (error: Error) => void;
};

export interface ControlServer {
  /** Removes the socket and cuts off who waits. */
  close(): Promise<void>;
}

export function controlPath(system: System): string {
  return join(system.roots.run, 'udev/control');
}

/** Listens. A socket that is there is another daemon's and is taken over, or left by one that died. Throws SystemError. */
export async function openControlServer(system: System, options: ControlServerOptions): Promise<ControlServer> {
  const path = controlPath(system);
  const native = await system.native();
  makeDirectory(dirname(path));
  removeFile(path);
  const connections = new Set<SeqpacketConnection>();
  const opened = native.openSeqpacketServer({
    path,
    mode: 0o600,
    onConnection: (connection) => {
      const { uid, pid } = connection.peer;
      if (uid !== 0) {
        system.log.warn({ code: 'control-peer', message: `process ${pid} of user ${uid} may not control the daemon` });
        return undefined;
      }
      connections.add(connection);
      return serve(system, connection, options, () => connections.delete(connection));
    },
    onError: (errno) => options.onError(systemError('accept', errno, path)),
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno, path);
  return {
    close: async () => {
      await opened.server.close();
      removeFile(path);
      await Promise.all([...connections].map((connection) => connection.close()));
    },
  };
}

/**
 * Sends messages to the daemon and, unless `wait` is false, waits until it has closed the connection, which says that it has done what
 * they ask. False when that takes longer than `timeoutMs`. Throws SystemError: ENOENT or ECONNREFUSED where no daemon runs.
 */
export async function sendControl(
  system: System, messages: readonly ControlMessage[], { timeoutMs, wait = true }: { readonly timeoutMs: number; readonly wait?: boolean },
): Promise<boolean> {
  const native = await system.native();
  const path = controlPath(system);
  const timer = new AbortController();
  let ended = (): void => undefined;
  let failed = (_error: unknown): void => undefined;
  const closed = new Promise<boolean>((resolve, reject) => {
    ended = () => resolve(true);
    failed = reject;
  });
  const opened = native.connectSeqpacket(path, {
    onMessage: () => undefined,
    onEnd: (errno) => {
      // A daemon that exits drops the connection as it is.
      if (errno === 0 || errno === errnoByName('ECONNRESET')) ended();
      else failed(systemError('recv', errno, path));
    },
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno, path);
  try {
    for (const message of messages) {
      const errno = opened.connection.send(formatControlMessage(message));
      if (errno !== 0) throw systemError('send', errno, path);
    }
    if (!wait) return true;
    const errno = opened.connection.send(formatControlMessage({ type: 'end' }));
    if (errno !== 0 && errno !== errnoByName('EPIPE')) throw systemError('send', errno, path);
    const timeout = system.clock.sleep(timeoutMs, timer.signal).then(() => false, (error: unknown) => {
      if (!timer.signal.aborted) throw error;
      return false;
    });
    return await Promise.race([closed, timeout]);
  } finally {
    timer.abort();
    await opened.connection.close();
  }
}

function serve(system: System, connection: SeqpacketConnection, { onMessage }: ControlServerOptions, forget: () => void) {
  const pending: Promise<void>[] = [];
  let count = 0;
  const finish = async (): Promise<void> => {
    await Promise.allSettled(pending);
    forget();
    await connection.close();
  };
  return {
    onMessage: (data: Uint8Array, truncated: boolean): void => {
      if (++count > MESSAGES_MAX || truncated) return void finish();
      let message: ControlMessage;
      try {
        message = parseControlMessage(data);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        system.log.warn({ code: 'control-message', message: `message of process ${connection.peer.pid} ignored: ${error.message}` });
        return;
      }
      if (message.type === 'end') return void finish();
      const { type } = message;
      pending.push((async () => onMessage(message))().catch((error: unknown) => {
        system.log.error({ code: 'control-failed', message: `${type}: ${messageOf(error)}` });
      }));
    },
    onEnd: (errno: number): void => {
      if (errno !== 0) system.log.debug({ code: 'control-connection', message: `connection of process ${connection.peer.pid}: ${errnoName(errno)}` });
      forget();
    },
  };
}
