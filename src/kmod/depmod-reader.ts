// Reads many modules on all cores, and formats outputs there.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

import type { System } from '../system.ts';
import { type FormatJob, formatShare, type FormattedFiles } from './depmod-format.ts';
import { type ReadAnswer, type ReadJob, readShare } from './depmod-worker.ts';
import type { DepmodData, DepmodFile, FormattedFile } from './depmod-write.ts';
import type { ReadOutcome } from './facts-reader.ts';
import { factsOf, type ModuleFacts } from './module-facts.ts';

export type ModuleRequest = { readonly path: string; /** Of the file, in bytes, where that is known. */ readonly size: number | undefined };
export type ModuleOutcome = { readonly facts: ModuleFacts } | { readonly failure: string; readonly detail: string };

/** What a thread is worth: below that it would take longer to start. Compressed bytes take a second for 30 MB, and most of that is not ours. */
const COMPRESSED_A_THREAD = 640 * 1024;
/**
 * Plain modules are read so fast that V8 takes longer to compile what reads them, in each thread anew, and so with what formats the indexes:
 * over Debian's four thousand, two threads were slower than one.
 */
const PLAIN_A_THREAD = 6000;
/** What stands for a size that is not known: modules are of this size on the whole. */
const USUAL_SIZE = 100 * 1024;

/** A reader with threads that may be started before it is known what they shall read. */
export class DepmodReader {
  readonly #system: System;
  readonly #jobs: number;
  #workers: Worker[] = [];
  /** Settles when no thread formats any more. */
  #unfinished: Promise<unknown> | undefined;

  /** @param jobs threads; as many as there are cores when absent */
  constructor(system: System, jobs: number = availableParallelism()) {
    this.#system = system;
    this.#jobs = jobs;
  }

  /** Starts the threads but one, which is ours; that takes them as long as a scan of the tree takes us. */
  warmUp(): void {
    const file = this.#jobs > 1 ? workerFile() : undefined;
    if (file === undefined) return;
    while (this.#workers.length < this.#jobs - 1) this.#workers.push(new Worker(file, { argv: [WORKER_APPLET] }));
  }

  /** The same once there is a module that they will be wanted for. */
  warmUpFor(path: string): void {
    if (!isPlain(path)) this.warmUp();
  }

  /** The records of all modules, in order of the requests. `onRead` hears about a hundred times how many some thread has begun with. */
  async read(requests: readonly ModuleRequest[], onRead?: (done: number, total: number) => void): Promise<ModuleOutcome[]> {
    const plain = requests.filter(({ path }) => isPlain(path)).length;
    const compressed = requests.reduce((sum, { path, size = USUAL_SIZE }) => sum + (isPlain(path) ? 0 : size), 0);
    const worth = Math.floor(compressed / COMPRESSED_A_THREAD + plain / PLAIN_A_THREAD);
    if (worth > 0) this.warmUp();
    // The largest first, so that no thread is left alone with one at the end.
    const order = [...requests.keys()].sort((a, b) => (requests[b]?.size ?? 0) - (requests[a]?.size ?? 0));
    const outcomes: ModuleOutcome[] = [];
    const taken = new Int32Array(new SharedArrayBuffer(4));
    const step = Math.ceil(requests.length / 100);
    let told = 0;
    const tell = () => {
      const done = Math.min(Atomics.load(taken, 0), requests.length);
      if (done < told + step) return;
      told = done;
      onRead?.(done, requests.length);
    };
    const take = (index: number, outcome: ReadOutcome) => {
      const request = order[index] ?? 0;
      outcomes[request] = 'record' in outcome ? { facts: factsOf(outcome.record, requests[request]?.path ?? '') } : outcome;
    };
    const job: ReadJob = { kind: 'read', paths: order.map((index) => requests[index]?.path ?? ''), taken: taken.buffer };
    const others = this.#workers.slice(0, worth).map((worker) => ask<ReadAnswer>(worker, job));
    const [, ...answers] = await Promise.all([readShare(job, this.#system, (index, outcome) => {
      take(index, outcome);
      tell();
    }), ...others]);
    for (const { indexes, outcomes: theirs } of answers) indexes.forEach((index, i) => take(index, theirs[i] ?? NO_OUTCOME));
    return outcomes;
  }

  /**
   * Lets the threads that have been reading begin with the files of a job. The result formats `own` and takes part in the job
   * with the full data; then it has all of them. Without threads it has none: there is nothing to win by it.
   */
  format(job: Omit<FormatJob, 'kind' | 'taken'>): (data: DepmodData, own: readonly DepmodFile[]) => Promise<FormattedFiles> {
    if (this.#workers.length === 0 || job.files.length === 0) return async () => new Map();
    const whole: FormatJob = { kind: 'format', taken: new SharedArrayBuffer(4), ...job };
    const others = this.#workers.map((worker) => ask<FormattedFiles>(worker, whole));
    this.#unfinished = Promise.allSettled(others);
    return async (data, own) => {
      const ours = formatShare(whole, data, own);
      return new Map<string, FormattedFile>([ours, ...await Promise.all(others)].flatMap((files) => [...files]));
    };
  }

  async close(): Promise<void> {
    const workers = this.#workers;
    this.#workers = [];
    await this.#unfinished;
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function isPlain(path: string): boolean {
  return path.endsWith('.ko');
}

/** The name under which the one-file CLI serves as a thread. */
const WORKER_APPLET = 'depmod-worker';

/** The program of a thread: the one-file CLI itself, or the file beside this one; undefined where neither can be run. */
function workerFile(): string | undefined {
  const self = fileURLToPath(import.meta.url);
  if (self.endsWith('.cjs')) return self;
  const beside = fileURLToPath(new URL('./depmod-worker.js', import.meta.url));
  return existsSync(beside) ? beside : undefined;
}

const NO_OUTCOME: ReadOutcome = { failure: 'Input/output error', detail: 'a thread told nothing of the file' };

/** The answer of a thread to a job. */
function ask<Answer>(worker: Worker, job: ReadJob | FormatJob): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number) => reject(new Error(`a thread of depmod ended with status ${code}`));
    worker.once('message', (answer: Answer) => {
      worker.off('error', reject);
      worker.off('exit', onExit);
      resolve(answer);
    });
    worker.once('error', reject);
    worker.once('exit', onExit);
    worker.postMessage(job);
  });
}
