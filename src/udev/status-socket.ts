// The daemon's answer to "what are you doing": a unix socket that gives one JSON object and closes.

import { chmodSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';

import { FormatError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { makeDirectory } from './atomic-file.ts';
import type { MetricsReport } from './metrics.ts';
import type { Activity } from './queue.ts';

export const STATUS_SCHEMA = 1;
/** With a full queue; settle shows a few. */
const PENDING_MAX = 1000;
const ANSWER_MAX = 8 * 1024 * 1024;

export type PendingReport = {
  readonly action: string;
  readonly devpath: string;
  readonly seqnum: number;
  readonly state: 'waiting' | 'running';
  /** How long it has been in this state. */
  readonly ms: number;
  readonly activity?: Activity;
  /** The devpath of the event that it waits for. */
  readonly waitsFor?: string;
};

export type DaemonStatus = MetricsReport & {
  readonly schema: typeof STATUS_SCHEMA;
  readonly pid: number;
  /** Oldest first, at most PENDING_MAX; `events` has the true number. */
  readonly pending: readonly PendingReport[];
  /** What is being loaded, by the names that were asked for. */
  readonly loading: readonly string[];
};

export interface StatusServer {
  close(): Promise<void>;
}

export function statusPath(system: System): string {
  return join(system.roots.run, 'udev/tsudevd.status');
}

/** Listens, for root only. Throws Node's error where the socket cannot be made. */
export async function openStatusServer(system: System, status: () => DaemonStatus): Promise<StatusServer> {
  const path = statusPath(system);
  makeDirectory(join(system.roots.run, 'udev'));
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on('error', (error) => system.log.debug({ code: 'status-failed', message: messageOf(error) }));
    const answer = status();
    socket.end(`${JSON.stringify({ ...answer, pending: answer.pending.slice(0, PENDING_MAX) })}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  return {
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
    }),
  };
}

/** Asks the daemon. Undefined where none runs. Throws Node's error where it may not be asked, FormatError for an answer that is none. */
export async function readStatus(system: System): Promise<DaemonStatus | undefined> {
  const path = statusPath(system);
  const text = await new Promise<string | undefined>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const socket = connect(path);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > ANSWER_MAX) socket.destroy(new FormatError({ file: path, offset: ANSWER_MAX, expected: 'a status', actual: 'more than ANSWER_MAX bytes' }));
    });
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? resolve(undefined) : reject(error)));
  });
  if (text === undefined) return undefined;
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch (error) {
    throw new FormatError({ file: path, offset: 0, expected: 'a JSON object', actual: messageOf(error) });
  }
  if (typeof status !== 'object' || status === null || !('schema' in status) || status.schema !== STATUS_SCHEMA) {
    throw new FormatError({ file: path, offset: 0, expected: `schema ${STATUS_SCHEMA}`, actual: text.slice(0, 80) });
  }
  return status as DaemonStatus;
}
