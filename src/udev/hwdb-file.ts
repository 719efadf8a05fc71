// The hardware database (hwdb.bin): the properties of all match strings that fit a modalias.

import { FormatError, LimitError } from '../errors.ts';
import { bracketMatches, fnmatch } from '../kmod/alias.ts';
import {
  CHILD_ENTRY_SIZE, HEADER_SIZE, HWDB_SIGNATURE, NODE_SIZE, VALUE_ENTRY_SIZE, VALUE_ENTRY_SIZE_OLD,
} from './hwdb-layout.ts';

/** Characters of a modalias that is looked up; a modalias of the kernel is below 4 KiB. */
const MAX_KEY = 8192;
/** Characters of a match string behind its first wildcard; udev's buffer is LINE_MAX. */
const MAX_PATTERN = 2048;
/** Characters of one key or value. */
const MAX_STRING = 64 * 1024;
/** Nodes that one look-up enters. Debian's database has 200 000, of which a look-up enters hundreds. */
const MAX_VISITS = 1_000_000;

const STAR = 42; // *
const QUESTION = 63; // ?
const OPEN = 91; // [
const CLOSE = 93; // ]
const BACKSLASH = 92;

type Node = { readonly at: number; readonly prefix: number; readonly children: number; readonly values: number };

type Found = { readonly value: string; readonly priority: number; readonly line: number };

/** What of a match string behind its first wildcard was read, and where in the key that can have led. */
type PatternState = {
  /** Positions in the key, ascending. */
  readonly positions: readonly number[];
  /** An open bracket expression, from its `[`, or a backslash that waits for its character. */
  readonly pending: string;
  readonly pattern: string;
};

/** An open database over bytes that stay unchanged. Methods throw FormatError where the file is damaged on their way. */
export class HwdbFile {
  private readonly bytes: Buffer;
  /** Of the same bytes: its readers are V8's own, those of a Buffer are JavaScript. */
  private readonly view: DataView;
  private readonly file: string;
  private readonly nodeSize: number;
  private readonly childSize: number;
  private readonly valueSize: number;
  private readonly root: number;
  private visits = 0;

  /** Throws FormatError for another signature or impossible sizes. `file` is what messages call it. */
  constructor(bytes: Uint8Array, file: string) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.file = file;
    if (bytes.length < HEADER_SIZE) throw this.damage(0, `a header of ${HEADER_SIZE} bytes`, `${bytes.length} bytes`);
    const signature = this.bytes.toString('latin1', 0, 8);
    if (signature !== HWDB_SIGNATURE) throw this.damage(0, HWDB_SIGNATURE, JSON.stringify(signature));
    const size = this.offset(16);
    if (size !== bytes.length) throw this.damage(16, `a file of ${size} bytes`, `${bytes.length} bytes`);
    this.nodeSize = this.entrySize(32, NODE_SIZE);
    this.childSize = this.entrySize(40, CHILD_ENTRY_SIZE);
    this.valueSize = this.entrySize(48, VALUE_ENTRY_SIZE_OLD);
    this.root = this.offset(56);
  }

  /**
   * The properties for a modalias, in the order in which udev finds them. Of values for one key that of the later file counts, then
   * that of the later line.
   *
   * @param key its bytes as latin1
   */
  lookup(key: string): Map<string, string> {
    const found = new Map<string, Found>();
    if (key.length > MAX_KEY) return new Map();
    this.visits = 0;
    this.walk(key, found);
    return new Map([...found].map(([name, { value }]) => [name, value]));
  }

  /** Down the trie as long as match strings hold no wildcard; there one character leads to one node. */
  private walk(key: string, found: Map<string, Found>): void {
    let node = this.node(this.root);
    for (let i = 0; ; i++) {
      for (let p = node.prefix; ; p++, i++) {
        const code = this.byte(p);
        if (code === 0) break;
        if (isWildcard(code)) return this.walkWild(node, p, { positions: [i], pending: '', pattern: '' }, key, i, found);
        if (code !== charCode(key, i)) return;
      }
      for (const code of [STAR, QUESTION, OPEN]) {
        const child = this.child(node, code);
        if (child === undefined) continue;
        const state = step({ positions: [i], pending: '', pattern: '' }, code, key);
        this.walkWild(child, child.prefix, state, key, i, found);
      }
      if (i === key.length) return this.collect(node, found);
      const next = this.child(node, charCode(key, i));
      if (!next) return;
      node = next;
    }
  }

  /** All below: udev lists the children first, then the node itself. */
  private walkWild(node: Node, prefix: number, before: PatternState, key: string, start: number, found: Map<string, Found>): void {
    let state = before;
    for (let p = prefix; ; p++) {
      const code = this.byte(p);
      if (code === 0) break;
      if (state.pattern.length > MAX_PATTERN) return;
      state = step(state, code, key);
      if (state.positions.length === 0) return;
    }
    for (let index = 0; index < node.children; index++) {
      const entry = node.at + this.nodeSize + index * this.childSize;
      const code = this.byte(entry);
      if (!canFollow(state, code, key)) continue;
      const next = step(state, code, key);
      if (next.positions.length === 0 || next.pattern.length > MAX_PATTERN) continue;
      const child = this.node(this.offset(entry + 8));
      this.walkWild(child, child.prefix, next, key, start, found);
    }
    if (node.values > 0 && isMatch(state, key, start)) this.collect(node, found);
  }

  private node(at: number): Node {
    if (++this.visits > MAX_VISITS) throw new LimitError({ file: this.file, limit: 'nodes of one look-up', maximum: MAX_VISITS });
    this.need(at, this.nodeSize);
    const children = this.byte(at + 8);
    const values = this.offset(at + 16);
    this.need(at, this.nodeSize + children * this.childSize + values * this.valueSize);
    return { at, prefix: this.offset(at), children, values };
  }

  /** Children are sorted by their character. */
  private child(node: Node, code: number): Node | undefined {
    const entries = node.at + this.nodeSize;
    let low = 0;
    let high = node.children;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = entries + middle * this.childSize;
      const here = this.byte(entry);
      if (here === code) return this.node(this.offset(entry + 8));
      if (here < code) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  private collect(node: Node, found: Map<string, Found>): void {
    const hasSource = this.valueSize >= VALUE_ENTRY_SIZE;
    for (let index = 0; index < node.values; index++) {
      const entry = node.at + this.nodeSize + node.children * this.childSize + index * this.valueSize;
      const key = this.text(this.offset(entry));
      // Other first characters are kept for extensions to come.
      if (!key.startsWith(' ')) continue;
      const name = key.slice(1);
      const value = this.text(this.offset(entry + 8));
      const line = hasSource ? this.view.getUint32(entry + 24, true) : 0;
      const priority = hasSource ? this.view.getUint16(entry + 28, true) : 0;
      const known = found.get(name);
      if (known && (priority < known.priority || (priority === known.priority && line < known.line))) continue;
      found.set(name, { value, priority, line });
    }
  }

  private text(at: number): string {
    const end = this.bytes.indexOf(0, at);
    if (at >= this.bytes.length || end < 0) throw this.damage(at, 'a string', 'none');
    if (end - at > MAX_STRING) throw new LimitError({ file: this.file, limit: 'length of a string', maximum: MAX_STRING, actual: end - at });
    return this.bytes.toString('latin1', at, end);
  }

  private byte(at: number): number {
    const byte = this.bytes[at];
    if (byte === undefined) throw this.damage(at, 'a byte', 'the end of the file');
    return byte;
  }

  /** A 64-bit number, which must be an offset or count within the file. */
  private offset(at: number): number {
    this.need(at, 8);
    const value = this.view.getUint32(at, true);
    const high = this.view.getUint32(at + 4, true);
    if (high !== 0) throw this.damage(at, 'a number below 4 GiB', `0x${high.toString(16)} in its upper half`);
    return value;
  }

  /** Newer files may have longer entries, whose start is as here. */
  private entrySize(at: number, minimum: number): number {
    const size = this.offset(at);
    if (size < minimum || size > 4096) throw this.damage(at, `an entry size from ${minimum} to 4096`, String(size));
    return size;
  }

  private need(at: number, size: number): void {
    if (at + size > this.bytes.length) throw this.damage(at, `${size} bytes`, 'the end of the file');
  }

  private damage(offset: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.file, offset, expected, actual });
  }
}

function isWildcard(code: number): boolean {
  return code === STAR || code === QUESTION || code === OPEN;
}

/** -1 at the end, which no character equals. */
function charCode(key: string, index: number): number {
  return index < key.length ? key.charCodeAt(index) : -1;
}

/** One character further in the match string. Without positions left, nothing below can fit. */
function step({ positions, pending, pattern }: PatternState, code: number, key: string): PatternState {
  const text = String.fromCharCode(code);
  const next = (moved: readonly number[], open = ''): PatternState => ({ positions: moved, pending: open, pattern: pattern + text });
  if (pending === '\\') return next(advance(positions, key, (other) => other === code));
  if (pending !== '') {
    const body = pending.slice(1);
    // Whatever is special in a bracket expression is left to fnmatch at its end.
    const isOpen = code !== CLOSE || body === '' || body === '!' || body === '^';
    if (isOpen || /[[\\]/.test(body)) return next(positions, pending + text);
    return next(advance(positions, key, (other) => bracketMatches(body, other)));
  }
  if (code === STAR) {
    const first = positions[0] ?? 0;
    return next(Array.from({ length: key.length - first + 1 }, (_, index) => first + index));
  }
  if (code === QUESTION) return next(advance(positions, key, () => true));
  if (code === OPEN || code === BACKSLASH) return next(positions, text);
  return next(advance(positions, key, (other) => other === code));
}

/** False for what `step` would find no position for; that costs more, and most children are of this kind. */
function canFollow({ positions, pending }: PatternState, code: number, key: string): boolean {
  if (pending !== '' || isWildcard(code) || code === BACKSLASH) return true;
  for (let i = 0; i < positions.length; i++) if (charCode(key, positions[i] ?? 0) === code) return true;
  return false;
}

function advance(positions: readonly number[], key: string, fits: (code: number) => boolean): number[] {
  const moved: number[] = [];
  for (const position of positions) if (position < key.length && fits(key.charCodeAt(position))) moved.push(position + 1);
  return moved;
}

/** `start`: where in the key the pattern begins. A bracket that never closes is left to fnmatch, which takes it literally. */
function isMatch({ positions, pending, pattern }: PatternState, key: string, start: number): boolean {
  if (pending !== '') return fnmatch(pattern, key.slice(start));
  return positions.at(-1) === key.length;
}
