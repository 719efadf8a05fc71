// Builds a binary index (the layout of index-node.ts) from entries.

import { ByteWriter } from './byte-writer.ts';
import { type ByteRange, IndexEntries } from './index-entries.ts';
import type { IndexEntry } from './index-node.ts';
import { INDEX_MAGIC, INDEX_VERSION, NODE_CHILDS, NODE_PREFIX, NODE_VALUES } from './index-node.ts';

export type IndexLayout =
  /** Parents before children, as kmod 34 and later write it: a look-up reads forwards. */
  | 'pre-order'
  /** Children before parents, as kmod up to 33 does. Of the same size, and every reader takes both. */
  | 'post-order';

export type BuildIndexOptions = { /** `pre-order` when absent. */ readonly layout?: IndexLayout };

const HEADER_SIZE = 12;

/**
 * The bytes of an index with these entries. Keys and values with bytes above 127 cannot be stored and are left out; they
 * are returned in `refused`. Of equal keys and priorities the later entry comes first.
 */
export function buildIndex(
  entries: Iterable<IndexEntry>, options: BuildIndexOptions = {},
): { bytes: Uint8Array; refused: readonly IndexEntry[] } {
  const list = new IndexEntries();
  for (const entry of entries) list.add(entry);
  return { bytes: buildIndexOf(list, options), refused: list.refused };
}

/** The bytes of an index. */
export function buildIndexOf(entries: IndexEntries, { layout = 'pre-order' }: BuildIndexOptions = {}): Uint8Array {
  return new Builder(entries, layout).build();
}

/** Writes a node for each range of keys that begin alike; the keys are sorted, so that a range's ends tell what all share. */
class Builder {
  readonly #keys: Uint8Array;
  readonly #starts: Int32Array;
  readonly #values: readonly (string | ByteRange)[];
  readonly #priorities: Uint32Array;
  readonly #layout: IndexLayout;
  readonly #writer = new ByteWriter();

  constructor(entries: IndexEntries, layout: IndexLayout) {
    const order = entries.sorted();
    this.#keys = entries.keys;
    this.#starts = order.map((entry) => entries.starts[entry] ?? 0);
    this.#priorities = Uint32Array.from(order, (entry) => entries.priorities[entry] ?? 0);
    this.#values = Array.from(order, (entry) => entries.values[entry] ?? '');
    this.#layout = layout;
  }

  build(): Uint8Array {
    const writer = this.#writer;
    writer.u32(INDEX_MAGIC);
    writer.u32(INDEX_VERSION);
    writer.u32(0);
    // The root has no prefix: kmod begins with an empty one, and only ever cuts prefixes.
    const count = this.#starts.length;
    writer.patch(HEADER_SIZE - 4, count === 0 ? HEADER_SIZE : this.#node(0, count, 0, 0));
    return writer.bytes();
  }

  /** Writes the node of the keys [from, to), which agree in `end` bytes; those from `depth` on are its prefix. Returns its reference. */
  #node(from: number, to: number, depth: number, end: number): number {
    const writer = this.#writer;
    let own = from;
    while (own < to && this.#code(own, end) === 0) own++;
    const first = own < to ? this.#code(own, end) : 0;
    const last = own < to ? this.#code(to - 1, end) : 0;
    const references = own < to ? new Uint32Array(last - first + 1) : undefined;
    if (references && this.#layout === 'post-order') this.#children(own, to, end, first, references);

    const offset = writer.length;
    let flags = 0;
    if (end > depth) {
      flags |= NODE_PREFIX;
      const start = this.#starts[from] ?? 0;
      writer.copy(this.#keys, start + depth, start + end);
      writer.u8(0);
    }
    let table = 0;
    if (references) {
      flags |= NODE_CHILDS;
      writer.u8(first);
      writer.u8(last);
      table = writer.length;
      for (const reference of references) writer.u32(reference);
    }
    if (own > from) {
      flags |= NODE_VALUES;
      this.#writeValues(from, own);
    }
    if (references && this.#layout === 'pre-order') {
      this.#children(own, to, end, first, references);
      references.forEach((reference, index) => writer.patch(table + 4 * index, reference));
    }
    return (offset | flags) >>> 0;
  }

  /** Writes the nodes of the ranges that differ at `end`, and notes their references. */
  #children(from: number, to: number, end: number, first: number, references: Uint32Array): void {
    for (let i = from; i < to;) {
      const code = this.#code(i, end);
      const start = i;
      while (i < to && this.#code(i, end) === code) i++;
      references[code - first] = this.#node(start, i, end + 1, this.#commonEnd(start, i - 1, end + 1));
    }
  }

  /** The length up to which two keys are the same. */
  #commonEnd(a: number, b: number, depth: number): number {
    const keys = this.#keys;
    const startA = this.#starts[a] ?? 0;
    const startB = this.#starts[b] ?? 0;
    let end = depth;
    if (a === b) {
      while (keys[startA + end] !== 0) end++;
      return end;
    }
    while (keys[startA + end] === keys[startB + end] && keys[startA + end] !== 0) end++;
    return end;
  }

  #writeValues(from: number, to: number): void {
    const writer = this.#writer;
    writer.u32(to - from);
    for (let i = from; i < to; i++) {
      writer.u32(this.#priorities[i] ?? 0);
      const value = this.#values[i] ?? '';
      if (typeof value === 'string') writer.text(value);
      else writer.copy(value.bytes, value.start, value.end);
      writer.u8(0);
    }
  }

  #code(index: number, depth: number): number {
    return this.#keys[(this.#starts[index] ?? 0) + depth] ?? 0;
  }
}
