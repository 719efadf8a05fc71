// Matches one name against all patterns of an index in a single walk over its trie.

import { bracketMatches } from './alias.ts';
import type { IndexNode, IndexNodes, IndexEntry } from './index-node.ts';

const STAR = 42; // *
const QUESTION = 63; // ?
const OPEN = 91; // [
const CLOSE = 93; // ]
const BACKSLASH = 92;

/**
 * One walk over the trie that matches every pattern in it at once. Instead of collecting keys and matching each, it
 * carries the ascending set of positions in the searched key that the pattern so far can have reached; a subtree is
 * left as soon as that set is empty.
 */
export class IndexWalk {
  readonly #key: string;
  readonly #found: IndexEntry[];
  readonly #index: IndexNodes;
  /** Sets of positions, one behind the other, as the recursion goes down. */
  #sets = new Uint16Array(1024);
  /** The text of an open bracket expression, or undefined outside. */
  #bracket: string | undefined;
  #escaped = false;
  /** The pattern so far. */
  #pattern = Buffer.alloc(256);
  #patternLength = 0;

  /** @param key normalised, below MAX_ALIAS_LENGTH */
  constructor(index: IndexNodes, key: string, found: IndexEntry[]) {
    this.#key = key;
    this.#found = found;
    this.#index = index;
  }

  start(): void {
    this.#walk(this.#index.root, 0, 1, false, 0);
  }

  /** @param wild a wildcard has been passed: then libkmod lists children first and values last. */
  #walk(reference: number, base: number, size: number, wild: boolean, depth: number): void {
    const index = this.#index;
    const node = index.node(reference, depth);
    for (let p = node.prefix; p < node.prefixEnd; p++) {
      const code = index.byte(p);
      wild ||= code === STAR || code === QUESTION || code === OPEN;
      size = this.#step(code, base, size);
      if (size === 0) return;
    }
    if (wild) {
      this.#walkAll(node, base, size, depth);
      this.#emit(node, base, size);
      return;
    }
    for (const code of [STAR, QUESTION, OPEN]) this.#descend(node, code, base, size, true, depth);
    // Without a wildcard there is one position.
    const position = this.#sets[base] ?? 0;
    if (position === this.#key.length) {
      this.#emit(node, base, size);
      return;
    }
    const code = this.#key.charCodeAt(position);
    if (code === STAR || code === QUESTION || code === OPEN) return;
    if (code !== BACKSLASH) this.#descend(node, code, base, size, false, depth);
    this.#descend(node, BACKSLASH, base, size, true, depth);
  }

  #walkAll(node: IndexNode, base: number, size: number, depth: number): void {
    for (let code = node.first; code <= node.last; code++) this.#descend(node, code, base, size, true, depth);
  }

  #descend(node: IndexNode, code: number, base: number, size: number, wild: boolean, depth: number): void {
    const child = this.#index.child(node, code);
    if (child === 0) return;
    const bracket = this.#bracket;
    const escaped = this.#escaped;
    const patternLength = this.#patternLength;
    const childBase = base + size;
    if (childBase + size > this.#sets.length) this.#grow(childBase + size);
    this.#sets.copyWithin(childBase, base, childBase);
    const childSize = this.#step(code, childBase, size);
    if (childSize > 0) this.#walk(child, childBase, childSize, wild, depth + 1);
    this.#bracket = bracket;
    this.#escaped = escaped;
    this.#patternLength = patternLength;
  }

  /** Advances the set at `base` over one pattern character, in place. Returns its new size. */
  #step(code: number, base: number, size: number): number {
    const sets = this.#sets;
    const key = this.#key;
    if (this.#patternLength === this.#pattern.length) this.#pattern = Buffer.concat([this.#pattern], 2 * this.#pattern.length);
    this.#pattern[this.#patternLength++] = code;
    if (this.#bracket !== undefined) return this.#stepBracket(code, base, size);
    if (this.#escaped) this.#escaped = false;
    else if (code === STAR) {
      const from = sets[base] ?? 0;
      const count = key.length - from + 1;
      if (base + count > sets.length) this.#grow(base + count);
      for (let i = 0; i < count; i++) this.#sets[base + i] = from + i;
      return count;
    } else if (code === OPEN) {
      this.#bracket = '';
      return size;
    } else if (code === BACKSLASH) {
      this.#escaped = true;
      return size;
    } else if (code === QUESTION) {
      return this.#advance(base, size, () => true);
    }
    let kept = 0;
    for (let i = 0; i < size; i++) {
      const position = sets[base + i] ?? 0;
      if (key.charCodeAt(position) === code) sets[base + kept++] = position + 1;
    }
    return kept;
  }

  #stepBracket(code: number, base: number, size: number): number {
    const body = this.#bracket ?? '';
    const empty = body === '' || body === '!' || body === '^';
    if (code !== CLOSE || empty) {
      this.#bracket = body + String.fromCharCode(code);
      return size;
    }
    this.#bracket = undefined;
    return this.#advance(base, size, (at) => bracketMatches(body, at));
  }

  #advance(base: number, size: number, accepts: (code: number) => boolean): number {
    const sets = this.#sets;
    let kept = 0;
    for (let i = 0; i < size; i++) {
      const position = sets[base + i] ?? 0;
      if (position < this.#key.length && accepts(this.#key.charCodeAt(position))) sets[base + kept++] = position + 1;
    }
    return kept;
  }

  #emit(node: IndexNode, base: number, size: number): void {
    const reached = this.#sets[base + size - 1] === this.#key.length;
    if (!reached || node.values === 0 || this.#bracket !== undefined || this.#escaped) return;
    this.#index.collect(node, this.#pattern.toString('latin1', 0, this.#patternLength), this.#found);
  }

  #grow(needed: number): void {
    const grown = new Uint16Array(Math.max(needed, 2 * this.#sets.length));
    grown.set(this.#sets);
    this.#sets = grown;
  }
}
