// The cache directory of virtual machines: where it is, and how a file or directory gets into it whole or not at all.

import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

import { codeOf } from '../errors.ts';
import { hostEnvironment } from '../system.ts';

/** What was not used for so long is removed when something new comes in. */
const KEEP_MS = 14 * 24 * 3600 * 1000;
/** A partial entry that is older than this belongs to a process that died. */
const PARTIAL_MS = 24 * 3600 * 1000;
const PARTIAL = '.partial-';

/** $XDG_CACHE_HOME/tsmodprobe, or ~/.cache/tsmodprobe. */
export function defaultCacheDirectory(): string {
  return join(hostEnvironment()['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tsmodprobe');
}

/**
 * `path`, made by `make` when it is not there yet: `make` writes to the temporary path that it is given, which is renamed when it
 * is done. Two processes may do so at once; the first one to finish wins and the other one's work is thrown away.
 */
export async function cached(path: string, make: (temporary: string) => Promise<void>): Promise<string> {
  if (existsSync(path)) {
    const now = new Date();
    await utimes(path, now, now);
    return path;
  }
  const directory = dirname(path);
  await mkdir(directory, { recursive: true });
  await removeOld(directory, PARTIAL, PARTIAL_MS);
  const temporary = join(directory, `${PARTIAL}${randomUUID()}`);
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Another process was faster: directories cannot be replaced by rename(2), and need not be.
    if (!(existsSync(path) && ['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? ''))) throw error;
  }
  return path;
}

/** Removes the entries of a cache directory that were not used for two weeks. */
export async function pruneCache(directory: string): Promise<void> {
  await removeOld(directory, '', KEEP_MS);
}

async function removeOld(directory: string, prefix: string, age: number): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (name.startsWith(prefix) && Date.now() - (await modified(path)) > age) await rm(path, { recursive: true, force: true });
  }
}

/** The time of the last use; now for what is gone already. */
async function modified(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return Date.now();
    throw error;
  }
}
