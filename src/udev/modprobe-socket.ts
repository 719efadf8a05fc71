// /run/udev/tsudevd.modprobe: where the kernel's helper asks for modules. docs/helper.md describes what goes over it.

import { dirname, join } from 'node:path';

import { messageOf } from '../errors.ts';
import type { ProbeResult } from '../kmod/probe.ts';
import { systemError } from '../system.ts';
import type { SeqpacketConnection, System } from '../system.ts';
import { makeDirectory, removeFile } from './atomic-file.ts';
import type { ModuleRequests } from './module-requests.ts';
import { printable } from './printable.ts';

/** The kernel has at most that many at a time (MAX_KMOD_CONCURRENT); whoever else asks runs the CLI. */
const REQUESTS_MAX = 50;
/** Longer than any name of the kernel (MODULE_NAME_LEN is 56 or 64); native-bindings/modprobe-helper.c has the same limit. */
const ALIAS_MAX = 255;
/** How often the helper hears that we are at it; it gives up after five. */
const BEAT_MS = 1000;
/** Messages that are no exit status: run the CLI; still at it. */
const DECLINES = Uint8Array.of(254);
const STILL_AT_IT = Uint8Array.of(255);

export interface ModprobeServer {
  /** Removes the socket and cuts off who waits: they run the CLI. */
  close(): Promise<void>;
}

export function modprobePath(system: System): string {
  return join(system.roots.run, 'udev/tsudevd.modprobe');
}

/** Listens, for root only. Throws SystemError. */
export async function openModprobeServer(system: System, requests: Pick<ModuleRequests, 'requestForKernel'>): Promise<ModprobeServer> {
  const path = modprobePath(system);
  const native = await system.native();
  makeDirectory(dirname(path));
  removeFile(path);
  const connections = new Set<SeqpacketConnection>();
  const working = new Set<SeqpacketConnection>();
  let beat: NodeJS.Timeout | undefined;

  const begin = (connection: SeqpacketConnection): void => {
    working.add(connection);
    // Only while somebody waits: an idle daemon has no timer.
    beat ??= setInterval(() => {
      for (const each of working) each.send(STILL_AT_IT);
    }, BEAT_MS);
  };
  const forget = (connection: SeqpacketConnection): void => {
    connections.delete(connection);
    working.delete(connection);
    if (working.size > 0 || beat === undefined) return;
    clearInterval(beat);
    beat = undefined;
  };
  const answer = async (connection: SeqpacketConnection, status: Uint8Array): Promise<void> => {
    if (connections.has(connection)) connection.send(status);
    forget(connection);
    await connection.close();
  };
  const serve = async (connection: SeqpacketConnection, data: Uint8Array): Promise<void> => {
    const request = parseHelperRequest(data);
    if (request === undefined) {
      system.log.warn({ code: 'modprobe-request', message: `request of process ${connection.peer.pid} refused: ${printable(Buffer.from(data).toString('latin1'))}` });
      return answer(connection, Uint8Array.of(1));
    }
    if (request.ping) return answer(connection, Uint8Array.of(0));
    if (working.size >= REQUESTS_MAX) return answer(connection, DECLINES);
    begin(connection);
    system.log.debug({ code: 'kernel-request', message: `the kernel asks for ${request.alias}` });
    let result: ProbeResult | undefined;
    try {
      result = await requests.requestForKernel(request.alias);
    } catch (error) {
      system.log.error({ code: 'modprobe-failed', message: `${printable(request.alias)}: ${messageOf(error)}` });
      return answer(connection, DECLINES);
    }
    const status = result === undefined ? 1 : statusOf(result);
    system.log.debug({ code: 'kernel-request', message: `the kernel has ${request.alias}: ${status}` });
    return answer(connection, Uint8Array.of(status));
  };

  const opened = native.openSeqpacketServer({
    path,
    mode: 0o600,
    onConnection: (connection) => {
      const { uid, pid } = connection.peer;
      if (uid !== 0) {
        system.log.warn({ code: 'modprobe-peer', message: `process ${pid} of user ${uid} may not ask for modules` });
        return undefined;
      }
      connections.add(connection);
      // Before it is read, which may take a busy loop another turn: the first answer is what a helper waits least for.
      connection.send(STILL_AT_IT);
      let isAsked = false;
      return {
        onMessage: (data) => {
          // One request a connection.
          if (isAsked) return;
          isAsked = true;
          serve(connection, data).catch((error: unknown) => system.log.error({ code: 'modprobe-failed', message: messageOf(error) }));
        },
        // Who goes away does not end a load: the kernel cannot be called back.
        onEnd: () => forget(connection),
      };
    },
    onError: (errno) => system.log.error({ code: 'modprobe-failed', message: messageOf(systemError('accept', errno, path)) }),
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno, path);
  return {
    close: async () => {
      await opened.server.close();
      removeFile(path);
      for (const connection of connections) {
        forget(connection);
        await connection.close();
      }
    },
  };
}

/**
 * What the helper sends: `-q`, `--` and the alias, or `--ping`, each word ended by NUL. Undefined for all else: the alias is one word
 * without blanks, no path and no option.
 */
export function parseHelperRequest(data: Uint8Array): { readonly ping: true } | { readonly ping: false; readonly alias: string } | undefined {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
  if (text === '--ping\0') return { ping: true };
  const alias = /^-q\0--\0([!-.0-~]+)\0$/.exec(text)?.[1];
  return alias === undefined || alias.length > ALIAS_MAX || alias.startsWith('-') ? undefined : { ping: false, alias };
}

/** As modprobe ends: 1 where nothing has that name or it could not be loaded. Of several modules the last one decides, as for kmod. */
function statusOf({ goals }: ProbeResult): number {
  const outcome = goals.at(-1)?.outcome;
  return outcome === undefined || outcome === 'failed' || outcome === 'denied' ? 1 : 0;
}
