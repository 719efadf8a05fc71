// A large file that is there whole or not at all: written beside its place, flushed to the disk, then renamed.

import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

/**
 * Lets `make` write the file under the name that it gets, in the same directory, and puts it in the place of `path`. Where `make` throws or
 * `signal` aborts, what was at `path` stays, and the new file goes. Throws what `make` throws, and Node's errors.
 */
export async function replaceWhole<Result>(path: string, signal: AbortSignal | undefined, make: (temporary: string) => Promise<Result>): Promise<Result> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}`);
  try {
    const result = await make(temporary);
    const fd = openSync(temporary, 'r+');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    await breathe(signal);
    renameSync(temporary, path);
    return result;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Lets signals be heard. Throws the reason of an abort. */
export async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}

/** What `work` gives, unless the signal comes first: then its reason is thrown, and nobody waits for the work, which has to leave nothing behind. */
export async function abortable<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  return Promise.race([work, aborted]);
}
