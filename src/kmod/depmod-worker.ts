// A thread that reads modules for depmod: takes files off a shared list, and sends their records.

import { isMainThread, type MessagePort, parentPort } from 'node:worker_threads';

import { openSystem, type System } from '../system.ts';
import { FactsReader, type ReadOutcome } from './facts-reader.ts';

/** What the thread is to read: each worker takes the next file that nobody has taken. */
export type ReadJob = {
  readonly paths: readonly string[];
  /** One Int32: how many of the paths have been taken. */
  readonly taken: SharedArrayBuffer;
};

/** Records of some files. */
export type ReadBatch = {
  readonly indexes: readonly number[];
  /** Of each file its record, or why there is none. */
  readonly outcomes: readonly ReadOutcome[];
  /** The worker is through. */
  readonly last: boolean;
};

/** Takes files of a job off the list, and gives their outcomes. */
export async function readShare(job: ReadJob, system: Pick<System, 'native'>, take: (index: number, outcome: ReadOutcome) => void): Promise<void> {
  const reader = new FactsReader(system);
  const taken = new Int32Array(job.taken);
  for (let index = Atomics.add(taken, 0, 1); index < job.paths.length; index = Atomics.add(taken, 0, 1)) {
    take(index, await reader.read(job.paths[index] ?? ''));
  }
}

/** Does a share of the job that comes in a message. Resolves when the last batch is sent. */
export async function serveReadJob(port: MessagePort): Promise<void> {
  const job = await new Promise<ReadJob>((resolve) => {
    port.once('message', resolve);
  });
  let indexes: number[] = [];
  let outcomes: ReadOutcome[] = [];
  let buffer: ArrayBufferLike | undefined;
  const send = (last: boolean) => {
    const batch: ReadBatch = { indexes, outcomes, last };
    port.postMessage(batch, buffer instanceof ArrayBuffer ? [buffer] : []);
    indexes = [];
    outcomes = [];
  };
  await readShare(job, openSystem(), (index, outcome) => {
    if ('record' in outcome) {
      // A buffer goes to the other thread when the reader has begun with the next.
      if (buffer && outcome.record.buffer !== buffer) send(false);
      buffer = outcome.record.buffer;
    }
    indexes.push(index);
    outcomes.push(outcome);
  });
  send(true);
}

// As a file of its own this is the whole program of a thread; in the one-file CLI the applet depmod-worker calls.
if (!isMainThread && parentPort && import.meta.url.endsWith('/depmod-worker.js')) void serveReadJob(parentPort);
