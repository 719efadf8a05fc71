// The cache of depmod: the records of modules, by path, inode, size and times, in one file beside the indexes.

import type { Signature } from './depmod-signature.ts';
import { ModuleFacts } from './module-facts.ts';

/** The name of the file. */
export const CACHE_NAME = 'modules.depmod-cache';

/** What tells one state of a module file from another. */
export type CacheKey = {
  /** As modules.dep has it. */
  readonly path: string;
  readonly inode: number;
  readonly size: number;
  /** Milliseconds, with fractions. The ctime shows a change that was dated back. */
  readonly mtime: number;
  readonly ctime: number;
};

export type CacheEntry = { readonly key: CacheKey; readonly facts: ModuleFacts };

/** An output as it was written: what it was made of, and what it was. */
export type CachedOutput = { readonly input: Signature; readonly content: Signature };

export type CacheContent = { readonly entries: ReadonlyMap<string, CacheEntry>; readonly outputs: ReadonlyMap<string, CachedOutput> };

/*
 * Only this machine reads it, so that numbers are in its own byte order, and another order shows in the magic:
 *
 *   magic | version | entries | checksum of all that follows | bytes of outputs | 0             6 × u32
 *   outputs: lines `name input content`, latin1 | zeros to 8
 *   entry: f64 inode, f64 size, f64 mtime, f64 ctime | u32 bytes of path, u32 bytes of record | path | zeros to 8 | record | zeros to 8
 */
const MAGIC = 0x6b6d6443;
const VERSION = 4;
const HEADER_SIZE = 24;
/** Where that begins which the checksum covers. */
const SUMMED_FROM = 16;
const ENTRY_HEADER_SIZE = 40;
/** The largest cache that is read; that of 4230 modules has 8 MiB. */
export const MAX_CACHE_SIZE = 256 * 1024 * 1024;

/** What a cache holds; undefined where the bytes are no cache of this version or damaged. */
export function parseCache(file: Uint8Array, name: string): CacheContent | undefined {
  // Words are read in place.
  const bytes = file.byteOffset % 8 === 0 ? file : Uint8Array.from(file);
  if (bytes.length < HEADER_SIZE || bytes.length % 8 !== 0) return undefined;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const [magic, version, count = 0, sum, outputsLength = 0] = words;
  if (magic !== MAGIC || version !== VERSION || sum !== checksum(words.subarray(SUMMED_FROM / 4))) return undefined;
  const doubles = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries = new Map<string, CacheEntry>();
  let at = HEADER_SIZE + padded(outputsLength);
  if (at > bytes.length) return undefined;
  const outputs = parseOutputs(text.toString('latin1', HEADER_SIZE, HEADER_SIZE + outputsLength));
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_HEADER_SIZE > bytes.length) return undefined;
    const pathLength = words[at / 4 + 8] ?? 0;
    const recordLength = words[at / 4 + 9] ?? 0;
    const record = at + ENTRY_HEADER_SIZE + padded(pathLength);
    if (recordLength % 4 !== 0 || record + padded(recordLength) > bytes.length) return undefined;
    const path = text.toString('latin1', at + ENTRY_HEADER_SIZE, at + ENTRY_HEADER_SIZE + pathLength);
    const number = (index: number) => doubles[at / 8 + index] ?? 0;
    const key = { path, inode: number(0), size: number(1), mtime: number(2), ctime: number(3) };
    entries.set(path, { key, facts: new ModuleFacts(words, bytes, record / 4, recordLength / 4, name) });
    at = record + padded(recordLength);
  }
  return at === bytes.length ? { entries, outputs } : undefined;
}

/** The bytes of a cache with these entries. */
export function formatCache(entries: readonly CacheEntry[], outputs: ReadonlyMap<string, CachedOutput>): Uint8Array {
  const lines = [...outputs].map(([name, { input, content }]) => `${name} ${input} ${content}\n`).join('');
  const first = HEADER_SIZE + padded(lines.length);
  let length = first;
  const records = entries.map(({ facts }) => facts.record);
  entries.forEach(({ key }, index) => {
    length += ENTRY_HEADER_SIZE + padded(key.path.length) + padded(records[index]?.length ?? 0);
  });
  const bytes = Buffer.from(new ArrayBuffer(length));
  const words = new Uint32Array(bytes.buffer);
  const doubles = new Float64Array(bytes.buffer);
  bytes.write(lines, HEADER_SIZE, 'latin1');
  words[4] = lines.length;
  let at = first;
  entries.forEach(({ key }, index) => {
    const record = records[index] ?? new Uint8Array(0);
    doubles[at / 8] = key.inode;
    doubles[at / 8 + 1] = key.size;
    doubles[at / 8 + 2] = key.mtime;
    doubles[at / 8 + 3] = key.ctime;
    words[at / 4 + 8] = key.path.length;
    words[at / 4 + 9] = record.length;
    at += ENTRY_HEADER_SIZE;
    bytes.write(key.path, at, 'latin1');
    at += padded(key.path.length);
    bytes.set(record, at);
    at += padded(record.length);
  });
  words.set([MAGIC, VERSION, entries.length, checksum(words.subarray(SUMMED_FROM / 4))]);
  return bytes;
}

export function sameKey(a: CacheKey, b: CacheKey): boolean {
  return a.path === b.path && a.inode === b.inode && a.size === b.size && a.mtime === b.mtime && a.ctime === b.ctime;
}

function parseOutputs(text: string): Map<string, CachedOutput> {
  const outputs = new Map<string, CachedOutput>();
  for (const line of text.split('\n')) {
    const [name, input, content] = line.split(' ');
    if (name !== undefined && input !== undefined && content !== undefined) outputs.set(name, { input, content });
  }
  return outputs;
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** FNV-1a over words: against damage, not against malice; who may write the cache may write the indexes. */
function checksum(words: Uint32Array): number {
  let sum = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) sum = Math.imul(sum ^ (words[i] ?? 0), 0x01000193) ^ (sum >>> 15);
  return sum >>> 0;
}
