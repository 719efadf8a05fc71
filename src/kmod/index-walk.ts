// Matches one name against all patterns of an index in a single walk over its trie.

import { bracketMatches, MAX_ALIAS_LENGTH } from './alias.ts';
import { type IndexEntry, type IndexNodes, type Latin1Buffer, NODE_CHILDS, NODE_PREFIX, NODE_VALUES } from './index-node.ts';

const STAR = 42; // *
const QUESTION = 63; // ?
const OPEN = 91; // [
const CLOSE = 93; // ]
const BACKSLASH = 92;
/** Ascending. */
const SPECIAL = [STAR, QUESTION, OPEN, BACKSLASH];

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
  /** In a bracket expression, or behind a backslash. */
  private isOpen = false;
  /** The text of the open bracket expression so far; undefined behind a backslash. */
  private bracket: string | undefined;
  /** The pattern so far. */
  private pattern = Buffer.alloc(256) as Latin1Buffer;
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
    this.isOpen = false;
    this.patternLength = 0;
    this.sets[0] = 0;
    this.walk(this.index.root, 0, 1, false, 0);
  }

  /**
   * Reads the node as it goes: most are left in their prefix.
   * @param wild a wildcard has been passed: then libkmod lists children first and values last
   */
  private walk(reference: number, base: number, size: number, wild: boolean, depth: number): void {
    const { index } = this;
    let offset = index.enter(reference, depth);
    if (reference & NODE_PREFIX) {
      const { bytes, limit } = index;
      for (;; offset++) {
        const code = offset < limit ? bytes[offset] ?? 0 : index.stringByte(offset);
        if (code === 0) break;
        // By far most steps: one position, which takes one letter or does not.
        if (size === 1 && !this.isOpen && !isSpecial(code)) {
          const position = this.sets[base] ?? 0;
          if (this.key[position] !== code) return;
          this.sets[base] = position + 1;
          this.put(code);
          continue;
        }
        const next = code === STAR && offset + 1 < limit ? bytes[offset + 1] ?? 0 : STAR;
        if (!this.isOpen && !isSpecial(next) && (next !== 0 || !(reference & NODE_CHILDS))) {
          wild = true;
          size = this.stepPastStar(next, base);
          if (next !== 0) offset++;
        } else {
          wild ||= isSpecial(code);
          size = this.step(code, base, base, size);
        }
        if (size === 0) return;
      }
      offset++;
    }
    let children = 0;
    if (reference & NODE_CHILDS) {
      children = offset;
      offset = index.childrenEnd(offset);
    }
    const values = reference & NODE_VALUES ? offset : 0;
    if (wild) {
      if (children !== 0) this.walkAll(children, base, size, depth);
      this.emit(values, base, size);
      return;
    }
    if (children !== 0) this.descendWild(children, base, size, depth);
    // Without a wildcard there is one position.
    const position = this.sets[base] ?? 0;
    if (position === this.keyLength) {
      this.emit(values, base, size);
      return;
    }
    if (children === 0) return;
    const code = this.key[position] ?? 0;
    if (code === STAR || code === QUESTION || code === OPEN) return;
    if (code !== BACKSLASH) this.descend(children, code, base, size, false, depth);
    if (index.firstChild(children) <= BACKSLASH && index.lastChild(children) >= BACKSLASH) this.descend(children, BACKSLASH, base, size, true, depth);
  }

  /** The three that begin a wildcard and are taken before anything else. */
  private descendWild(children: number, base: number, size: number, depth: number): void {
    const { index } = this;
    const first = index.firstChild(children);
    const last = index.lastChild(children);
    // Most nodes have letters and digits only: to see that here is cheaper than three calls.
    if (first <= STAR && last >= STAR) this.descend(children, STAR, base, size, true, depth);
    if (first > OPEN || last < QUESTION) return;
    this.descend(children, QUESTION, base, size, true, depth);
    this.descend(children, OPEN, base, size, true, depth);
  }

  /** All children that some position can take, by ascending code. */
  private walkAll(children: number, base: number, size: number, depth: number): void {
    const { index } = this;
    if (size === 1 && !this.isOpen) {
      this.walkOne(children, base, depth);
      return;
    }
    const last = index.lastChild(children);
    for (let code = index.firstChild(children); code <= last; code++) {
      // Most children are letters that the name does not hold at all.
      if (!this.isOpen && this.seen[code] !== this.search && !isSpecial(code)) continue;
      this.descend(children, code, base, size, true, depth);
    }
  }

  /** The same for one position: it takes one letter, or what begins a wildcard. */
  private walkOne(children: number, base: number, depth: number): void {
    const { index } = this;
    const letter = this.key[this.sets[base] ?? 0] ?? 0;
    if (index.firstChild(children) > BACKSLASH || index.lastChild(children) < STAR) {
      if (letter !== 0) this.descend(children, letter, base, 1, true, depth);
      return;
    }
    let isDone = letter === 0;
    for (let i = 0; i < SPECIAL.length; i++) {
      const special = SPECIAL[i] ?? 0;
      if (!isDone && letter <= special) {
        isDone = true;
        if (letter < special) this.descend(children, letter, base, 1, true, depth);
      }
      this.descend(children, special, base, 1, true, depth);
    }
    if (!isDone) this.descend(children, letter, base, 1, true, depth);
  }

  /** Walks below the child that `code` leads to, if there is one and any position can take that character. */
  private descend(children: number, code: number, base: number, size: number, wild: boolean, depth: number): void {
    const child = this.index.childAt(children, code);
    if (child === 0) return;
    const { isOpen, bracket, patternLength } = this;
    const childBase = base + size;
    if (childBase + size > this.sets.length) this.grow(childBase + size);
    const childSize = this.step(code, base, childBase, size);
    if (childSize > 0) this.walk(child, childBase, childSize, wild, depth + 1);
    this.isOpen = isOpen;
    this.bracket = bracket;
    this.patternLength = patternLength;
  }

  /** Advances the set at `from` over one pattern character, into the place at `to`. Returns its new size. */
  private step(code: number, from: number, to: number, size: number): number {
    this.put(code);
    if (this.isOpen) return this.stepOpen(code, from, to, size);
    switch (code) {
      case STAR:
        return this.stepStar(from, to);
      case QUESTION:
        return this.stepQuestion(from, to, size);
      case OPEN:
      case BACKSLASH:
        this.isOpen = true;
        this.bracket = code === OPEN ? '' : undefined;
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

  /** The same as a step over `*` and one over the letter behind it, or over a `*` that ends the pattern (0). */
  private stepPastStar(letter: number, base: number): number {
    this.put(STAR);
    const { sets, key, keyLength } = this;
    if (letter === 0) {
      sets[base] = keyLength;
      return 1;
    }
    this.put(letter);
    let kept = 0;
    for (let position = sets[base] ?? 0; position < keyLength; position++) {
      if (key[position] !== letter) continue;
      if (base + kept === this.sets.length) this.grow(base + kept + 1);
      this.sets[base + kept++] = position + 1;
    }
    return kept;
  }

  private put(code: number): void {
    if (this.patternLength === this.pattern.length) this.pattern = Buffer.concat([this.pattern], 2 * this.pattern.length) as Latin1Buffer;
    this.pattern[this.patternLength++] = code;
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

  private stepOpen(code: number, from: number, to: number, size: number): number {
    const body = this.bracket;
    if (body === undefined) {
      this.isOpen = false;
      return this.stepLiteral(code, from, to, size);
    }
    if (code !== CLOSE || body === '' || body === '!' || body === '^') {
      this.bracket = body + String.fromCharCode(code);
      return this.copy(from, to, size);
    }
    this.isOpen = false;
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

  private emit(values: number, base: number, size: number): void {
    if (values === 0 || this.sets[base + size - 1] !== this.keyLength || this.isOpen) return;
    this.index.collect(values, this.pattern.latin1Slice(0, this.patternLength), this.found);
  }

  private grow(needed: number): void {
    const grown = new Uint16Array(Math.max(needed, 2 * this.sets.length));
    grown.set(this.sets);
    this.sets = grown;
  }
}

function isSpecial(code: number): boolean {
  return code === STAR || code === QUESTION || code === OPEN || code === BACKSLASH;
}
