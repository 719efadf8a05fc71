// Matches one name against all patterns of an index in a single walk over its trie.

import { bracketMatches, MAX_ALIAS_LENGTH } from './alias.ts';
import type { IndexEntry, IndexNode, IndexNodes } from './index-node.ts';

const STAR = 42; // *
const QUESTION = 63; // ?
const OPEN = 91; // [
const CLOSE = 93; // ]
const BACKSLASH = 92;

/**
 * Instead of collecting keys and matching each, the walk carries the ascending set of positions in the searched name that
 * the pattern so far can have reached; a subtree is left as soon as that set is empty. One object serves many searches.
 *
 * This is the hottest code of a coldplug, hence its state in plain fields and its arrays that are made once.
 */
export class IndexWalk {
  private readonly index: IndexNodes;
  private found: IndexEntry[] = [];
  /** The searched name, ended by a 0, which no pattern holds. */
  private readonly key = new Uint8Array(MAX_ALIAS_LENGTH + 1);
  private keyLength = 0;
  /** Per character code: which search last had it in its name. */
  private readonly seen = new Uint32Array(256);
  private search = 0;
  /** Sets of positions, one behind the other, as the recursion goes down. */
  private sets = new Uint16Array(1024);
  /** The text of an open bracket expression, or undefined outside. */
  private bracket: string | undefined;
  private escaped = false;
  /** The pattern so far. */
  private pattern = Buffer.alloc(256);
  private patternLength = 0;

  constructor(index: IndexNodes) {
    this.index = index;
  }

  /** @param key normalised, below MAX_ALIAS_LENGTH; what matches is merged into `found` */
  find(key: string, found: IndexEntry[]): void {
    this.found = found;
    this.keyLength = key.length;
    this.search++;
    for (let i = 0; i < key.length; i++) {
      // The trie holds no codes above 127; such a character matches wildcards only, as any other code above does.
      const code = Math.min(key.charCodeAt(i), 255);
      this.key[i] = code;
      this.seen[code] = this.search;
    }
    this.key[key.length] = 0;
    this.bracket = undefined;
    this.escaped = false;
    this.patternLength = 0;
    this.sets[0] = 0;
    this.walk(this.index.root, 0, 1, false, 0);
  }

  /** @param wild a wildcard has been passed: then libkmod lists children first and values last. */
  private walk(reference: number, base: number, size: number, wild: boolean, depth: number): void {
    const { index } = this;
    const node = index.node(reference, depth);
    for (let p = node.prefix; p < node.prefixEnd; p++) {
      const code = index.byte(p);
      wild ||= code === STAR || code === QUESTION || code === OPEN || code === BACKSLASH;
      size = this.step(code, base, base, size);
      if (size === 0) return;
    }
    if (wild) {
      this.walkAll(node, base, size, depth);
      this.emit(node, base, size);
      return;
    }
    this.descend(node, STAR, base, size, true, depth);
    this.descend(node, QUESTION, base, size, true, depth);
    this.descend(node, OPEN, base, size, true, depth);
    // Without a wildcard there is one position.
    const position = this.sets[base] ?? 0;
    if (position === this.keyLength) {
      this.emit(node, base, size);
      return;
    }
    const code = this.key[position] ?? 0;
    if (code === STAR || code === QUESTION || code === OPEN) return;
    if (code !== BACKSLASH) this.descend(node, code, base, size, false, depth);
    this.descend(node, BACKSLASH, base, size, true, depth);
  }

  private walkAll(node: IndexNode, base: number, size: number, depth: number): void {
    const literal = this.bracket === undefined && !this.escaped;
    for (let code = node.first; code <= node.last; code++) {
      // Most children are letters that the name does not hold at all.
      const special = code === STAR || code === QUESTION || code === OPEN || code === BACKSLASH;
      if (!special && literal && this.seen[code] !== this.search) continue;
      const child = this.index.child(node, code);
      if (child !== 0) this.enter(child, code, base, size, true, depth);
    }
  }

  private descend(node: IndexNode, code: number, base: number, size: number, wild: boolean, depth: number): void {
    if (code < node.first || code > node.last) return;
    const child = this.index.child(node, code);
    if (child !== 0) this.enter(child, code, base, size, wild, depth);
  }

  /** Walks below the child that `code` leads to, if any position can take that character. */
  private enter(child: number, code: number, base: number, size: number, wild: boolean, depth: number): void {
    const { bracket, escaped, patternLength } = this;
    const childBase = base + size;
    if (childBase + size > this.sets.length) this.grow(childBase + size);
    const childSize = this.step(code, base, childBase, size);
    if (childSize > 0) this.walk(child, childBase, childSize, wild, depth + 1);
    this.bracket = bracket;
    this.escaped = escaped;
    this.patternLength = patternLength;
  }

  /** Advances the set at `from` over one pattern character, into the place at `to`. Returns its new size. */
  private step(code: number, from: number, to: number, size: number): number {
    if (this.patternLength === this.pattern.length) this.pattern = Buffer.concat([this.pattern], 2 * this.pattern.length);
    this.pattern[this.patternLength++] = code;
    if (this.bracket !== undefined) return this.stepBracket(code, from, to, size);
    if (this.escaped) {
      this.escaped = false;
      return this.stepLiteral(code, from, to, size);
    }
    switch (code) {
      case STAR:
        return this.stepStar(from, to);
      case QUESTION:
        return this.stepQuestion(from, to, size);
      case OPEN:
        this.bracket = '';
        return this.copy(from, to, size);
      case BACKSLASH:
        this.escaped = true;
        return this.copy(from, to, size);
      default:
        return this.stepLiteral(code, from, to, size);
    }
  }

  private stepLiteral(code: number, from: number, to: number, size: number): number {
    const { sets, key } = this;
    let kept = 0;
    for (let i = 0; i < size; i++) {
      const position = sets[from + i] ?? 0;
      if (key[position] === code) sets[to + kept++] = position + 1;
    }
    return kept;
  }

  private stepStar(from: number, to: number): number {
    const first = this.sets[from] ?? 0;
    const count = this.keyLength - first + 1;
    if (to + count > this.sets.length) this.grow(to + count);
    const { sets } = this;
    for (let i = 0; i < count; i++) sets[to + i] = first + i;
    return count;
  }

  private stepQuestion(from: number, to: number, size: number): number {
    const { sets } = this;
    let kept = 0;
    for (let i = 0; i < size; i++) {
      const position = sets[from + i] ?? 0;
      if (position < this.keyLength) sets[to + kept++] = position + 1;
    }
    return kept;
  }

  private stepBracket(code: number, from: number, to: number, size: number): number {
    const body = this.bracket ?? '';
    if (code !== CLOSE || body === '' || body === '!' || body === '^') {
      this.bracket = body + String.fromCharCode(code);
      return this.copy(from, to, size);
    }
    this.bracket = undefined;
    const { sets, key } = this;
    let kept = 0;
    for (let i = 0; i < size; i++) {
      const position = sets[from + i] ?? 0;
      if (position < this.keyLength && bracketMatches(body, key[position] ?? 0)) sets[to + kept++] = position + 1;
    }
    return kept;
  }

  private copy(from: number, to: number, size: number): number {
    if (from !== to) for (let i = 0; i < size; i++) this.sets[to + i] = this.sets[from + i] ?? 0;
    return size;
  }

  private emit(node: IndexNode, base: number, size: number): void {
    if (node.values === 0 || this.sets[base + size - 1] !== this.keyLength || this.bracket !== undefined || this.escaped) return;
    this.index.collect(node, this.pattern.toString('latin1', 0, this.patternLength), this.found);
  }

  private grow(needed: number): void {
    const grown = new Uint16Array(Math.max(needed, 2 * this.sets.length));
    grown.set(this.sets);
    this.sets = grown;
  }
}
