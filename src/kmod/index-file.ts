// An index that depmod wrote (modules.*.bin): exact look-ups, wildcard look-ups, listing.

import { MAX_ALIAS_LENGTH } from './alias.ts';
import type { IndexEntry } from './index-node.ts';
import { IndexNodes, NODE_CHILDS, NODE_PREFIX, NODE_VALUES } from './index-node.ts';
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
      let offset = nodes.enter(reference, depth);
      if (reference & NODE_PREFIX) {
        for (let code = nodes.stringByte(offset); code !== 0; code = nodes.stringByte(++offset)) {
          if (code !== key.charCodeAt(i++)) return found;
        }
        offset++;
      }
      const { children, values } = partsBehind(nodes, reference, offset);
      if (i === key.length) {
        nodes.collect(values, key, found);
        return found;
      }
      reference = children === 0 ? 0 : nodes.childAt(children, key.charCodeAt(i++));
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
    let offset = nodes.enter(reference, depth);
    let key = before;
    if (reference & NODE_PREFIX) {
      const start = offset;
      while (nodes.stringByte(offset) !== 0) offset++;
      key += nodes.text(start, offset++);
    }
    const { children, values } = partsBehind(nodes, reference, offset);
    const entries: IndexEntry[] = [];
    nodes.collect(values, key, entries);
    yield* entries;
    if (children === 0) return;
    const last = nodes.lastChild(children);
    for (let code = nodes.firstChild(children); code <= last; code++) {
      const child = nodes.childAt(children, code);
      if (child !== 0) yield* this.#entriesBelow(child, key + String.fromCharCode(code), depth + 1);
    }
  }
}

/** Where the children and the values of a node are whose prefix ended before `offset`; 0 for none. */
function partsBehind(nodes: IndexNodes, reference: number, offset: number): { readonly children: number; readonly values: number } {
  const children = reference & NODE_CHILDS ? offset : 0;
  const end = children === 0 ? offset : nodes.childrenEnd(children);
  return { children, values: reference & NODE_VALUES ? end : 0 };
}
