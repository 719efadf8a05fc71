// The entries of an index in the making: keys as bytes, one behind the other, and their order.

import { MAX_ALIAS_LENGTH } from './alias.ts';
import { ByteWriter } from './byte-writer.ts';
import type { IndexEntry } from './index-node.ts';
import { LAST_CHILD } from './index-node.ts';

const DASH = 0x2d;
const UNDERSCORE = 0x5f;
const OPEN = 0x5b;
const CLOSE = 0x5d;

/** Ranges up to this size are sorted by insertion. */
const SMALL_RANGE = 12;

/** Latin1 text in bytes that something else holds. */
export type ByteRange = { readonly bytes: Uint8Array; readonly start: number; readonly end: number };

/** Entries are added as bytes or text; those with a byte that no index can hold are refused. */
export class IndexEntries {
  readonly #writer = new ByteWriter();
  /** Where the key of each entry starts; it ends with NUL. */
  readonly starts: number[] = [];
  readonly values: (string | ByteRange)[] = [];
  readonly priorities: number[] = [];
  readonly refused: IndexEntry[] = [];

  get count(): number {
    return this.starts.length;
  }

  /** All keys, each with its NUL. */
  get keys(): Buffer {
    return this.#writer.bytes();
  }

  add({ key, value, priority }: { readonly key: string; readonly value: string | ByteRange; readonly priority: number }): void {
    const start = this.#writer.length;
    this.#writer.text(key);
    this.#end(start, value, priority);
  }

  /** @param prefix goes before the bytes */
  addBytes(prefix: string, bytes: Uint8Array, start: number, end: number, value: string, priority: number): void {
    const keyStart = this.#writer.length;
    this.#writer.text(prefix);
    this.#writer.copy(bytes, start, end);
    this.#end(keyStart, value, priority);
  }

  /** Adds a key as normalizeAlias() makes it. False for unmatched brackets and excessive length; then nothing is added. */
  addAlias(bytes: Uint8Array, start: number, end: number, value: string, priority: number): boolean {
    if (end - start >= MAX_ALIAS_LENGTH) return false;
    const writer = this.#writer;
    const keyStart = writer.length;
    writer.copy(bytes, start, end);
    let inside = false;
    for (let i = keyStart; i < writer.length; i++) {
      const code = writer.byte(i);
      if (code === CLOSE && !inside) {
        writer.length = keyStart;
        return false;
      }
      if (code === CLOSE) inside = false;
      else if (code === OPEN) inside = true;
      else if (code === DASH && !inside) writer.setByte(i, UNDERSCORE);
    }
    if (inside) {
      writer.length = keyStart;
      return false;
    }
    this.#end(keyStart, value, priority);
    return true;
  }

  /** The key of an entry as text. */
  key(entry: number): string {
    const start = this.starts[entry] ?? 0;
    return this.keys.toString('latin1', start, this.keys.indexOf(0, start));
  }

  /** Entry numbers by key, bytewise; equal keys by priority, and of equal priorities the later first. */
  sorted(): Int32Array {
    const order = new Int32Array(this.count);
    for (let i = 0; i < order.length; i++) order[i] = i;
    new Sorter(this.keys, Int32Array.from(this.starts), this.priorities, order).sort();
    return order;
  }

  #end(start: number, value: string | ByteRange, priority: number): void {
    const writer = this.#writer;
    let storable = typeof value === 'string' ? isStorable(value) : isRangeStorable(value);
    for (let i = start; storable && i < writer.length; i++) {
      const code = writer.byte(i);
      storable = code !== 0 && code <= LAST_CHILD;
    }
    if (!storable) {
      this.refused.push({ key: this.keys.toString('latin1', start), value: valueText(value), priority });
      writer.length = start;
      return;
    }
    writer.u8(0);
    this.starts.push(start);
    this.values.push(value);
    this.priorities.push(priority);
  }
}

export function valueText(value: string | ByteRange): string {
  return typeof value === 'string' ? value : Buffer.from(value.bytes.subarray(value.start, value.end)).toString('latin1');
}

function isRangeStorable({ bytes, start, end }: ByteRange): boolean {
  for (let at = start; at < end; at++) {
    const code = bytes[at] ?? 0;
    if (code === 0 || code > LAST_CHILD) return false;
  }
  return true;
}

function isStorable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0 || code > LAST_CHILD) return false;
  }
  return true;
}

/** Multikey quicksort (Bentley and Sedgewick, 1997): aliases share long beginnings, which it looks at once. */
class Sorter {
  readonly #keys: Uint8Array;
  readonly #starts: Int32Array;
  readonly #priorities: readonly number[];
  readonly #order: Int32Array;

  constructor(keys: Uint8Array, starts: Int32Array, priorities: readonly number[], order: Int32Array) {
    this.#keys = keys;
    this.#starts = starts;
    this.#priorities = priorities;
    this.#order = order;
  }

  sort(): void {
    // A stack of ranges that are still to be sorted, from a byte on: keys of 4096 bytes would be deep for calls.
    const stack = [0, this.#order.length, 0];
    for (let depth = stack.pop(); depth !== undefined; depth = stack.pop()) {
      const to = stack.pop() ?? 0;
      const from = stack.pop() ?? 0;
      if (to - from <= SMALL_RANGE) this.#sortSmall(from, to, depth);
      else this.#split(from, to, depth, stack);
    }
  }

  /** Three parts by the byte at `depth`: below the pivot, equal to it, above it. */
  #split(from: number, to: number, depth: number, stack: number[]): void {
    const order = this.#order;
    const keys = this.#keys;
    const starts = this.#starts;
    const pivot = keys[(starts[order[(from + to) >> 1] ?? 0] ?? 0) + depth] ?? 0;
    let low = from;
    let high = to;
    for (let i = from; i < high;) {
      const entry = order[i] ?? 0;
      const code = keys[(starts[entry] ?? 0) + depth] ?? 0;
      if (code < pivot) {
        order[i++] = order[low] ?? 0;
        order[low++] = entry;
      } else if (code > pivot) {
        order[i] = order[--high] ?? 0;
        order[high] = entry;
      } else {
        i++;
      }
    }
    if (low - from > 1) stack.push(from, low, depth);
    if (to - high > 1) stack.push(high, to, depth);
    // Keys that end here are the same key.
    if (pivot !== 0) stack.push(low, high, depth + 1);
    else order.subarray(low, high).sort((a, b) => this.#compareEqual(a, b));
  }

  #sortSmall(from: number, to: number, depth: number): void {
    const order = this.#order;
    for (let i = from + 1; i < to; i++) {
      const entry = order[i] ?? 0;
      let at = i;
      for (; at > from && this.#compare(order[at - 1] ?? 0, entry, depth) > 0; at--) order[at] = order[at - 1] ?? 0;
      order[at] = entry;
    }
  }

  #compare(a: number, b: number, depth: number): number {
    const keys = this.#keys;
    let i = (this.#starts[a] ?? 0) + depth;
    let j = (this.#starts[b] ?? 0) + depth;
    for (; keys[i] === keys[j]; i++, j++) if (keys[i] === 0) return this.#compareEqual(a, b);
    return (keys[i] ?? 0) - (keys[j] ?? 0);
  }

  #compareEqual(a: number, b: number): number {
    return (this.#priorities[a] ?? 0) - (this.#priorities[b] ?? 0) || b - a;
  }
}
