// The bytes of an index file, read page by page as look-ups come to them, and as a whole when they are many.

import { UsageError } from '../errors.ts';
import type { IndexReader } from './module-source.ts';

/** That of memory: a page that has not been used yet costs more than the call that fills it. */
const PAGE_SHIFT = 12;
export const PAGE_SIZE = 1 << PAGE_SHIFT;

/** A name takes about ten pages; whoever wants more is likely to want many names. */
const MAX_PAGES = 64;

/** The largest node of a real index behind its root, which depmod of kmod before 34 writes last. */
const ROOM_BEHIND_ROOT = 1 << 16;

/** Where the header has the reference of the root, and which bits of that are its offset. */
const ROOT_OFFSET = 8;
const OFFSET_MASK = 0x0fffffff;

/** Offsets are those of the file. What has not been asked for yet is zero. */
export class IndexPages {
  bytes: Uint8Array;
  /** The size of the file; until its end has been seen, a size that holds all that its header speaks of. */
  length: number;
  /** Nothing is left to read. */
  whole = false;
  readonly #reader: IndexReader;
  #closed = false;
  readonly #present = new Set<number>();

  /** Reads the first page. */
  constructor(reader: IndexReader) {
    this.#reader = reader;
    // Buffer's own methods are for the asking, but each costs a short program its loading.
    const first = new Uint8Array(PAGE_SIZE);
    const got = reader.read(first, 0);
    this.bytes = first;
    this.length = got;
    if (got < PAGE_SIZE) {
      this.#end(first.subarray(0, got));
      return;
    }
    const root = new DataView(first.buffer).getUint32(ROOT_OFFSET) & OFFSET_MASK;
    // From kmod 34 on the root is the first node: then only the file itself tells how long it is.
    this.length = root < PAGE_SIZE ? Math.min(reader.size(), OFFSET_MASK) + PAGE_SIZE : root + ROOM_BEHIND_ROOT;
    this.bytes = new Uint8Array(this.length);
    this.bytes.set(first);
    this.#present.add(0);
  }

  /** Sees to it that these bytes are there, as far as the file goes. `bytes` and `length` may be others then. */
  need(offset: number, count: number): void {
    for (let page = offset >>> PAGE_SHIFT; page <= (offset + count - 1) >>> PAGE_SHIFT && !this.whole; page++) {
      if (!this.#present.has(page)) this.#read(page);
    }
  }

  /** What is there can still be looked at; what is missing then throws UsageError. */
  close(): void {
    if (!this.#closed) this.#reader.close();
    this.#closed = true;
  }

  #read(page: number): void {
    if (this.#closed) throw new UsageError('the index has been closed');
    const start = page << PAGE_SHIFT;
    if (this.#present.size === MAX_PAGES || start + PAGE_SIZE > this.bytes.length) {
      this.#end(this.#reader.all());
      return;
    }
    const got = this.#reader.read(this.bytes.subarray(start, start + PAGE_SIZE), start);
    this.#present.add(page);
    if (got < PAGE_SIZE) this.length = Math.min(this.length, start + got);
  }

  #end(all: Uint8Array): void {
    this.close();
    this.bytes = all;
    this.length = all.length;
    this.whole = true;
  }
}
