// A thread of depmod: takes module files off a shared list and sends their records, then formats outputs.

import { isMainThread, type MessagePort, parentPort } from 'node:worker_threads';

import { openSystem, type System } from '../system.ts';
import { dataOf, type FormatJob, formatShare } from './depmod-format.ts';
import { FactsReader, type ReadOutcome } from './facts-reader.ts';

/** What the thread is to read: each worker takes the next file that nobody has taken. */
export type ReadJob = {
  readonly kind: 'read';
  readonly paths: readonly string[];
  /** One Int32: how many of the paths have been taken. */
  readonly taken: SharedArrayBuffer;
};

/** What it read: of each file its record, in shared memory, or why there is none. */
export type ReadAnswer = { readonly indexes: readonly number[]; readonly outcomes: readonly ReadOutcome[] };

/** Takes files of a job off the list, and gives their outcomes. */
export async function readShare(job: ReadJob, system: Pick<System, 'native'>, take: (index: number, outcome: ReadOutcome) => void): Promise<void> {
  const reader = new FactsReader(system);
  const taken = new Int32Array(job.taken);
  for (let index = Atomics.add(taken, 0, 1); index < job.paths.length; index = Atomics.add(taken, 0, 1)) {
    take(index, await reader.read(job.paths[index] ?? ''));
  }
  reader.close();
}

/** Does its share of each job that comes as a message, and answers with one: ReadAnswer, or FormattedFiles. Resolves when the port is closed. */
export async function serveDepmod(port: MessagePort): Promise<void> {
  const system = openSystem();
  port.on('message', (job: ReadJob | FormatJob) => {
    // A rejection that nobody handles ends the thread, and that is what its owner hears of.
    void (job.kind === 'read' ? readAnswer(job, system) : Promise.resolve(formatShare(job, dataOf(job)))).then((answer) => port.postMessage(answer));
  });
  await new Promise<void>((resolve) => {
    port.once('close', resolve);
  });
}

async function readAnswer(job: ReadJob, system: System): Promise<ReadAnswer> {
  const indexes: number[] = [];
  const outcomes: ReadOutcome[] = [];
  await readShare(job, system, (index, outcome) => {
    indexes.push(index);
    outcomes.push(outcome);
  });
  return { indexes, outcomes };
}

// As a file of its own this is the whole program of a thread; in the one-file CLI the applet depmod-worker calls.
if (!isMainThread && parentPort && import.meta.url.endsWith('/depmod-worker.js')) void serveDepmod(parentPort);
