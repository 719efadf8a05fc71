// Builds a binary index (the layout of index-node.ts) from entries: where a tree has only the text files.

import type { IndexEntry } from './index-node.ts';
import { INDEX_MAGIC, INDEX_VERSION, LAST_CHILD, NODE_CHILDS, NODE_PREFIX, NODE_VALUES } from './index-node.ts';

type Value = { readonly value: string; readonly priority: number };
type TrieNode = { prefix: string; readonly children: Map<number, TrieNode>; readonly values: Value[] };

/**
 * The bytes of an index with these entries, parents before children (the layout of kmod 34 and later).
 * Keys and values with bytes above 127 cannot be stored and are left out; they are returned in `refused`.
 */
export function buildIndex(entries: Iterable<IndexEntry>): { bytes: Uint8Array; refused: readonly IndexEntry[] } {
  const root: TrieNode = newNode('');
  const refused: IndexEntry[] = [];
  for (const entry of entries) {
    if (isStorable(entry.key) && isStorable(entry.value)) insert(root, entry);
    else refused.push(entry);
  }
  const writer = new Writer();
  writer.u32(INDEX_MAGIC);
  writer.u32(INDEX_VERSION);
  writer.u32(0);
  writer.patch(8, writeNode(root, writer));
  return { bytes: writer.bytes(), refused };
}

function isStorable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0 || code > LAST_CHILD) return false;
  }
  return true;
}

function insert(root: TrieNode, { key, value, priority }: IndexEntry): void {
  let node = root;
  for (let i = 0; ;) {
    let common = 0;
    while (common < node.prefix.length && node.prefix[common] === key[i + common]) common++;
    if (common < node.prefix.length) splitNode(node, common);
    i += common;
    if (i === key.length) {
      insertValue(node.values, { value, priority });
      return;
    }
    const code = key.charCodeAt(i++);
    let child = node.children.get(code);
    if (!child) {
      child = newNode(key.slice(i));
      node.children.set(code, child);
    }
    node = child;
  }
}

/** Cuts a node behind the first `length` characters of its prefix; the rest goes down into a new only child. */
function splitNode(node: TrieNode, length: number): void {
  const lower: TrieNode = {
    prefix: node.prefix.slice(length + 1),
    children: new Map(node.children),
    values: node.values.splice(0),
  };
  const code = node.prefix.charCodeAt(length);
  node.prefix = node.prefix.slice(0, length);
  node.children.clear();
  node.children.set(code, lower);
}

/** Ascending by priority; of equal ones the later inserted comes first. */
function insertValue(values: Value[], value: Value): void {
  const at = values.findIndex((other) => other.priority >= value.priority);
  values.splice(at < 0 ? values.length : at, 0, value);
}

/** Writes a node and all below it. Returns its reference, 0 for a node that holds nothing. */
function writeNode(node: TrieNode, writer: Writer): number {
  const offset = writer.length;
  let flags = 0;
  if (node.prefix !== '') {
    flags |= NODE_PREFIX;
    writer.text(node.prefix);
  }
  const codes = [...node.children.keys()].sort((a, b) => a - b);
  const first = codes[0];
  const last = codes.at(-1);
  let references = 0;
  if (first !== undefined && last !== undefined) {
    flags |= NODE_CHILDS;
    writer.u8(first);
    writer.u8(last);
    references = writer.length;
    for (let code = first; code <= last; code++) writer.u32(0);
  }
  if (node.values.length > 0) {
    flags |= NODE_VALUES;
    writer.u32(node.values.length);
    for (const { value, priority } of node.values) {
      writer.u32(priority);
      writer.text(value);
    }
  }
  for (const code of codes) {
    const child = node.children.get(code);
    if (child) writer.patch(references + 4 * (code - (first ?? 0)), writeNode(child, writer));
  }
  return (offset | flags) >>> 0;
}

function newNode(prefix: string): TrieNode {
  return { prefix, children: new Map(), values: [] };
}

class Writer {
  #buffer = Buffer.alloc(1 << 16);
  length = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.length = this.#buffer.writeUInt8(value, this.length);
  }

  u32(value: number): void {
    this.#reserve(4);
    this.length = this.#buffer.writeUInt32BE(value, this.length);
  }

  text(value: string): void {
    this.#reserve(value.length + 1);
    this.length += this.#buffer.write(value, this.length, 'latin1');
    this.u8(0);
  }

  patch(offset: number, value: number): void {
    this.#buffer.writeUInt32BE(value, offset);
  }

  #reserve(bytes: number): void {
    if (this.length + bytes <= this.#buffer.length) return;
    const grown = Buffer.alloc(2 * (this.length + bytes));
    this.#buffer.copy(grown);
    this.#buffer = grown;
  }
}
