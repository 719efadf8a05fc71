// The nodes of a depmod index (modules.*.bin), read in place and bound-checked.

import { FormatError } from '../errors.ts';
import { MAX_ALIAS_LENGTH } from './alias.ts';
import { type IndexPages, PAGE_SIZE } from './index-pages.ts';

/*
 * All integers are big-endian u32. Header: magic, version (major in the high half), reference of the root.
 * A reference is an offset (low 28 bits) with flags above it that say which parts the node has:
 *
 *   node: [prefix NUL] [u8 first, u8 last, (last - first + 1) references] [u32 count, count × (u32 priority, value NUL)]
 *          NODE_PREFIX  NODE_CHILDS                                        NODE_VALUES
 *
 * It is a Patricia trie: the character that leads to a child is not repeated in the child's prefix.
 */
export const INDEX_MAGIC = 0xb007f457;
/** Major version in the high half, minor in the low half. */
export const INDEX_VERSION = 0x00020001;
const HEADER_SIZE = 12;
export const NODE_PREFIX = 0x80000000;
export const NODE_VALUES = 0x40000000;
export const NODE_CHILDS = 0x20000000;
const OFFSET_MASK = 0x0fffffff;
/** Keys are 7-bit. */
export const LAST_CHILD = 127;

/** Nodes on one path. A real trie cannot be deeper than its longest key. */
const MAX_DEPTH = MAX_ALIAS_LENGTH;

/** What `toString('latin1')` comes to after a look at its arguments, which takes twice as long as the string. Node has it in all its versions. */
export type Latin1Buffer = Buffer & { latin1Slice(from: number, to: number): string };

/** A value of an index with the key (for aliases: the pattern) that it is stored under. */
export type IndexEntry = { readonly key: string; readonly value: string; readonly priority: number };

/**
 * The bytes of an index as nodes, whose parts are read one behind the other: `enter`, then the prefix by `stringByte` up to its NUL, then
 * the children up to `childrenEnd`, then the values. Which parts a node has, its reference says. Throws FormatError where the file is damaged.
 */
export class IndexNodes {
  bytes: Latin1Buffer;
  /** Bytes below it are there and may be looked at without asking; 0 as long as some may be missing. */
  limit = 0;
  /** The same bytes: V8 reads a big-endian word of a view at once. */
  #words: DataView;
  #length: number;
  /** Where the bytes come from, as long as some are missing. */
  #pages: IndexPages | undefined;
  readonly #file: string;
  /** Reference of the root node. References are signed here: V8 makes no object of such a number. */
  readonly root: number;
  /** Nodes that the operation under way may still visit: a damaged file may hold circles. */
  #budget = 0;

  /** @param file what messages call it */
  constructor(source: Uint8Array | IndexPages, file: string) {
    const bytes = source instanceof Uint8Array ? source : source.bytes;
    this.bytes = bufferOf(bytes);
    this.#words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#length = source.length;
    if (!(source instanceof Uint8Array) && !source.whole) this.#pages = source;
    else this.limit = this.#length;
    this.#file = file;
    const magic = this.#u32(0);
    if (magic !== INDEX_MAGIC) {
      throw new FormatError({ file, offset: 0, expected: 'the index magic b007f457', actual: magic.toString(16).padStart(8, '0') });
    }
    const version = this.#u32(4);
    if (version >>> 16 !== INDEX_VERSION >>> 16) {
      throw new FormatError({ file, offset: 4, expected: `index version ${INDEX_VERSION >>> 16}.x`, actual: `${version >>> 16}.${version & 0xffff}` });
    }
    this.root = this.#u32(8) | 0;
  }

  close(): void {
    this.#pages?.close();
  }

  /** Starts an operation that visits each node at most once. */
  begin(): void {
    this.#budget = this.#length;
  }

  /** Where the node at `reference` begins, which is `depth` nodes below the root. */
  enter(reference: number, depth: number): number {
    const offset = reference & OFFSET_MASK;
    if (--this.#budget < 0 || depth > MAX_DEPTH) {
      throw this.#damaged(offset, 'a tree of nodes', 'nodes that lead in a circle');
    }
    if (offset < HEADER_SIZE) throw this.#damaged(offset, `a node at ${HEADER_SIZE} or later`, 'a reference into the header');
    return offset;
  }

  /** A byte of a string, 0 at its end. */
  stringByte(offset: number): number {
    if (!this.#has(offset, 1)) throw this.#damaged(offset, 'a string that ends in NUL', 'end of file');
    return this.bytes[offset] ?? 0;
  }

  /** Where the children that begin at `children` end. Only then may they be asked for. */
  childrenEnd(children: number): number {
    const { bytes } = this;
    const first = bytes[children] ?? 0;
    const last = bytes[children + 1] ?? 0;
    const end = children + 2 + 4 * (last - first + 1);
    // As nearly all are; the rest may be damaged, or not read yet.
    if (end <= this.limit && first <= last && last <= LAST_CHILD) return end;
    return this.#lookedAtChildren(children);
  }

  #lookedAtChildren(children: number): number {
    if (!this.#has(children, 2)) throw this.#damaged(children, 'the child range of a node', 'end of file');
    const first = this.firstChild(children);
    const last = this.lastChild(children);
    if (first > last || last > LAST_CHILD) throw this.#damaged(children, 'a child range within 0..127', `${first}..${last}`);
    const size = 4 * (last - first + 1);
    if (!this.#has(children + 2, size)) throw this.#damaged(children + 2, 'the child references of a node', 'end of file');
    return children + 2 + size;
  }

  firstChild(children: number): number {
    return this.bytes[children] ?? 0;
  }

  lastChild(children: number): number {
    return this.bytes[children + 1] ?? 0;
  }

  /** The reference of the child that `code` leads to, 0 where there is none. */
  childAt(children: number, code: number): number {
    const first = this.bytes[children] ?? 0;
    if (code < first || code > (this.bytes[children + 1] ?? 0)) return 0;
    return this.#words.getInt32(children + 2 + 4 * (code - first));
  }

  /** Merges the values at `values`, 0 for none, into a list that is sorted by ascending priority. */
  collect(values: number, key: string, into: IndexEntry[]): void {
    if (values === 0) return;
    const count = this.#u32(values);
    let offset = values + 4;
    if (count > (this.#length - offset) / 5) {
      throw this.#damaged(values, 'a value count that fits the file', String(count));
    }
    for (let i = 0; i < count; i++) {
      const priority = this.#u32(offset);
      const end = this.#stringEnd(offset + 4);
      insertByPriority(into, { key, value: this.text(offset + 4, end), priority });
      offset = end + 1;
    }
  }

  text(from: number, to: number): string {
    return from === to ? '' : this.bytes.latin1Slice(from, to);
  }

  /** Whether the file has these bytes, which then can be looked at. */
  #has(offset: number, count: number): boolean {
    if (this.#pages) this.#read(this.#pages, offset, count);
    return offset + count <= this.#length;
  }

  #read(pages: IndexPages, offset: number, count: number): void {
    pages.need(offset, count);
    const { bytes, length, whole } = pages;
    this.#length = length;
    if (!whole) return;
    this.bytes = bufferOf(bytes);
    this.#words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#pages = undefined;
    this.limit = length;
  }

  #u32(offset: number): number {
    if (!this.#has(offset, 4)) throw this.#damaged(offset, 'four bytes', 'end of file');
    return this.#words.getUint32(offset);
  }

  #stringEnd(offset: number): number {
    for (let end = offset; this.#has(end, 1);) {
      // A page at a time, where there are pages.
      const limit = this.#pages ? Math.min(this.#length, (end | (PAGE_SIZE - 1)) + 1) : this.#length;
      const b = this.bytes;
      // Most are a few bytes long: indexOf() would cost more than it saves.
      while (end < limit && b[end] !== 0) end++;
      if (end < limit) return end;
    }
    throw this.#damaged(offset, 'a string that ends in NUL', 'end of file');
  }

  #damaged(offset: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.#file, offset, expected, actual });
  }
}

function bufferOf(bytes: Uint8Array): Latin1Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) as Latin1Buffer;
}

/** Ascending by priority; behind nothing of its own priority. */
function insertByPriority(list: IndexEntry[], item: IndexEntry): void {
  let at = list.length;
  while (at > 0 && (list[at - 1]?.priority ?? 0) >= item.priority) at--;
  if (at === list.length) list.push(item);
  else list.splice(at, 0, item);
}
