// The cache file of depmod: read before, kept up to date after.

import { closeSync, fstatSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, FormatError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import {
  CACHE_NAME, type CachedOutput, type CacheContent, type CacheEntry, type CacheKey, formatCache, MAX_CACHE_SIZE, parseCache, sameKey,
} from './depmod-cache.ts';
import { temporaryName, writeAll } from './depmod-output.ts';
import { contentSignature, type Signature } from './depmod-signature.ts';
import type { ModuleFacts } from './module-facts.ts';

/** Changes within this many milliseconds of a clock reading may show the same time: twice the coarsest tick of the kernel. */
const CLOCK_TICK = 20;

/** The cache file of one run: what it had, and what it is to have. */
export class CacheFile {
  readonly #directory: string;
  readonly #path: string;
  readonly #old: CacheContent;
  readonly #kept: CacheEntry[] = [];
  readonly #outputs = new Map<string, CachedOutput>();
  #open: { readonly fd: number; readonly since: number } | undefined;
  hits = 0;

  private constructor(directory: string, old: CacheContent, open: { readonly fd: number; readonly since: number } | undefined) {
    this.#directory = directory;
    this.#path = join(directory, CACHE_NAME);
    this.#old = old;
    this.#open = open;
  }

  /** @param writable whether the new state shall be kept */
  static open(directory: string, writable: boolean, system: System): CacheFile {
    const path = join(directory, CACHE_NAME);
    return new CacheFile(directory, readCache(path, system), writable ? openTemporary(path, system) : undefined);
  }

  get hasEntries(): boolean {
    return this.#old.entries.size > 0;
  }

  get(key: CacheKey): ModuleFacts | undefined {
    const entry = this.#old.entries.get(key.path);
    if (!entry || !sameKey(entry.key, key)) return undefined;
    this.hits++;
    return entry.facts;
  }

  /** An entry of a file that changes as we look may already be out of date: its times cannot tell. */
  put(entry: CacheEntry): void {
    if (entry.key.ctime + CLOCK_TICK < (this.#open?.since ?? 0)) this.#kept.push(entry);
  }

  /** Whether the file in the directory is what would be made of the same input again. */
  isCurrent(name: string, input: Signature): boolean {
    const output = this.#old.outputs.get(name);
    if (output?.input !== input || !this.#open) return false;
    try {
      if (contentSignature(readFileSync(join(this.#directory, name))) !== output.content) return false;
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      // Whatever keeps it from being read will keep it from being replaced, and be told of then.
      return false;
    }
    this.#outputs.set(name, output);
    return true;
  }

  putOutput(name: string, input: Signature, content: Uint8Array): void {
    if (this.#open) this.#outputs.set(name, { input, content: contentSignature(content) });
  }

  /** Puts the new state in place, if it is one. */
  save(): void {
    if (!this.#open) return;
    const { entries, outputs } = this.#old;
    const sameEntries = this.#kept.length === this.hits && this.hits === entries.size;
    if (sameEntries && this.#outputs.size === outputs.size && [...this.#outputs].every(([name, output]) => outputs.get(name) === output)) return;
    writeAll(this.#open.fd, formatCache(this.#kept, this.#outputs));
    closeSync(this.#open.fd);
    this.#open = undefined;
    renameSync(temporaryName(this.#path), this.#path);
  }

  /** Takes away what was not saved. */
  close(): void {
    if (!this.#open) return;
    closeSync(this.#open.fd);
    this.#open = undefined;
    rmSync(temporaryName(this.#path), { force: true });
  }
}

const NOTHING: CacheContent = { entries: new Map(), outputs: new Map() };

function readCache(path: string, system: System): CacheContent {
  const damaged = (reason: string) => system.log.info({ code: 'damaged-cache', file: path, message: `${path}: ${reason}; reading all modules` });
  try {
    const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
    if (size === 0) return NOTHING;
    const content = size > MAX_CACHE_SIZE ? undefined : parseCache(readFileSync(path), path);
    if (content) return content;
    damaged('not a cache of this version, or damaged');
  } catch (error) {
    if (!(error instanceof FormatError) && codeOf(error) === undefined) throw error;
    damaged(messageOf(error));
  }
  return NOTHING;
}

/** Opened before any module is looked at: its time, by the clock of the same file system, is when we began. */
function openTemporary(path: string, system: System): { readonly fd: number; readonly since: number } | undefined {
  try {
    const fd = openSync(temporaryName(path), 'w', 0o644);
    return { fd, since: fstatSync(fd).ctimeMs };
  } catch (error) {
    // The outputs will tell whether the directory is there and can be written to.
    system.log.info({ code: 'no-cache', file: path, message: `${path}: ${messageOf(error)}` });
    return undefined;
  }
}
