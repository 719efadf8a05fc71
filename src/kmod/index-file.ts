// An index that depmod wrote (modules.*.bin): exact look-ups, wildcard look-ups, listing.

import { MAX_ALIAS_LENGTH } from './alias.ts';
import type { IndexEntry } from './index-node.ts';
import { IndexNodes } from './index-node.ts';
import type { IndexPages } from './index-pages.ts';
import { IndexWalk } from './index-walk.ts';

export type { IndexEntry } from './index-node.ts';

/** An open index over bytes that stay unchanged. Methods throw FormatError where the file is damaged on their way. */
export class IndexFile {
  readonly #nodes: IndexNodes;
  #walk: IndexWalk | undefined;

  /** Throws FormatError for another magic or version. `file` is what messages call it. */
  constructor(bytes: Uint8Array | IndexPages, file: string) {
    this.#nodes = new IndexNodes(bytes, file);
  }

  /** Of an index that is read in pages: look-ups end. */
  close(): void {
    this.#nodes.close();
  }

  /** The values stored for exactly this key, by ascending priority. */
  search(key: string): IndexEntry[] {
    const nodes = this.#nodes;
    const found: IndexEntry[] = [];
    nodes.begin();
    let reference = nodes.root;
    for (let i = 0, depth = 0; reference !== 0; depth++) {
      const node = nodes.node(reference, depth);
      for (let p = node.prefix; p < node.prefixEnd; p++) {
        if (nodes.byte(p) !== key.charCodeAt(i++)) return found;
      }
      if (i === key.length) {
        nodes.collect(node, key, found);
        return found;
      }
      reference = nodes.child(node, key.charCodeAt(i++));
    }
    return found;
  }

  /**
   * The values of all keys that match `key` as patterns, by ascending priority; of equal ones the later found comes
   * first, as libkmod lists them. `key` must be normalised.
   */
  searchWild(key: string): IndexEntry[] {
    const found: IndexEntry[] = [];
    if (key.length >= MAX_ALIAS_LENGTH) return found;
    this.#nodes.begin();
    (this.#walk ??= new IndexWalk(this.#nodes)).find(key, found);
    return found;
  }

  /** All entries, keys ascending, a key before those that it begins. */
  *entries(): Generator<IndexEntry> {
    this.#nodes.begin();
    yield* this.#entriesBelow(this.#nodes.root, '', 0);
  }

  *#entriesBelow(reference: number, before: string, depth: number): Generator<IndexEntry> {
    const nodes = this.#nodes;
    const node = nodes.node(reference, depth);
    const key = before + nodes.text(node.prefix, node.prefixEnd);
    const values: IndexEntry[] = [];
    nodes.collect(node, key, values);
    yield* values;
    for (let code = node.first; code <= node.last; code++) {
      const child = nodes.child(node, code);
      if (child !== 0) yield* this.#entriesBelow(child, key + String.fromCharCode(code), depth + 1);
    }
  }
}
