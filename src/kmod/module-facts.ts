// What depmod keeps of a module: aliases, softdeps, weakdeps and symbols, in one small record of bytes.

import { FormatError } from '../errors.ts';
import type { ElfFile } from './elf.ts';
import { superFastHash } from './hash-order.ts';
import { listStrings, NO_CRC, scanSymbols, SYMBOL_NO_CRC, SYMBOL_WEAK, SymbolList, SymbolScan } from './module-elf.ts';

/*
 * A record is made where a module is read, crosses threads, and is what the cache keeps. Words of 32 bits in the
 * machine's own byte order:
 *
 *   words of the record | exports | needs | bytes of info | bytes of names | digests of info, of exports, of needs, 0 while nobody has asked | kinds of info
 *   exports and needs: (hash, length of the name | flags, crc) each
 *   info: NUL-separated latin1 strings, each after the letter of its kind | names, one behind the other | zeros to a word
 *
 * The hash of a needed symbol leaves out a leading dot, as the look-up does: on PowerPC .foo is foo.
 */
const HEADER_WORDS = 9;
const SYMBOL_WORDS = 3;
const LENGTH_MASK = 0x00ff_ffff;
const FLAG_WEAK = 1 << 24;
const FLAG_NO_CRC = 1 << 25;
const DOT = 0x2e;
const ARENA_WORDS = 1 << 18;

/** The keys of .modinfo that are kept, each with its letter. */
const LETTERS = { alias: 0x61, softdep: 0x73, weakdep: 0x77 } as const;
export type InfoKind = keyof typeof LETTERS;
const KEYS = (['alias', 'softdep', 'weakdep'] as const).map((kind) => ({ kind, bytes: Buffer.from(kind, 'latin1'), letter: LETTERS[kind] }));
/** Bits of the word that tells which kinds there are; and whether an alias is a devname. */
const KIND_BITS: Readonly<Record<InfoKind, number>> = { alias: 1, softdep: 2, weakdep: 4 };
const DEVNAME_BIT = 8;
const DEVNAME = Buffer.from('devname:', 'latin1');
const EQUALS = 0x3d;

/** The longest symbol that is kept: KSYM_NAME_LEN of the kernel is 512. */
const MAX_SYMBOL_LENGTH = 0xffff;

/** A symbol of a record. */
export type FactSymbol = {
  hash: number;
  /** Where the name starts in `bytes`. */
  start: number;
  length: number;
  crc: number;
  weak: boolean;
};

/** Makes records, with working memory that serves one module after the other. */
export class FactsEncoder {
  readonly #scan = new SymbolScan();
  readonly #info = new SymbolList();
  #text = new Uint8Array(4096);
  #kinds = 0;
  /** Records stand one behind the other in buffers of some size, which all threads see. */
  #arena: Uint32Array = new Uint32Array(0);
  #used = 0;

  /** The record of a module; shares its buffer with others. Throws FormatError where sections lie outside the file. */
  encode(elf: ElfFile): Uint8Array {
    const { exports, needs } = this.#scan;
    scanSymbols(elf, this.#scan);
    dropLong(exports);
    dropLong(needs);
    const info = this.#takeInfo(elf);
    const names = sum(exports) + sum(needs);
    const header = HEADER_WORDS + (exports.count + needs.count) * SYMBOL_WORDS;
    const length = header + Math.ceil((info + names) / 4);
    if (this.#used + length > this.#arena.length) {
      this.#arena = new Uint32Array(new SharedArrayBuffer(4 * Math.max(ARENA_WORDS, length)));
      this.#used = 0;
    }
    const words = this.#arena;
    const at = this.#used;
    this.#used += length;
    words[at] = length;
    words[at + 1] = exports.count;
    words[at + 2] = needs.count;
    words[at + 3] = info;
    words[at + 4] = names;
    const bytes = new Uint8Array(words.buffer, at * 4, length * 4);
    const names0 = header * 4 + info;
    const needs0 = at + HEADER_WORDS + exports.count * SYMBOL_WORDS;
    copy(this.#text, 0, bytes, header * 4, info);
    const names1 = writeSymbols(elf.bytes, exports, false, words, at + HEADER_WORDS, bytes, names0);
    writeSymbols(elf.bytes, needs, true, words, needs0, bytes, names1);
    // Arenas begin as zeros: the three digests are made when they are asked for.
    words[at + 8] = this.#kinds;
    return bytes;
  }

  /** Puts the wanted entries of .modinfo into `#text`. Returns their bytes. */
  #takeInfo(elf: ElfFile): number {
    this.#info.count = 0;
    this.#kinds = 0;
    listStrings(elf, '.modinfo', this.#info);
    let length = 0;
    for (let i = 0; i < this.#info.count; i++) {
      const start = this.#info.names[i] ?? 0;
      const end = start + (this.#info.lengths[i] ?? 0);
      const kind = KEYS.find(({ bytes }) => hasKey(elf.bytes, start, end, bytes));
      if (!kind) continue;
      const value = Math.min(start + kind.bytes.length + 1, end);
      this.#kinds |= KIND_BITS[kind.kind] | (kind.kind === 'alias' && startsWith(elf.bytes, value, end, DEVNAME) ? DEVNAME_BIT : 0);
      this.#reserve(length + 2 + end - value);
      if (length > 0) this.#text[length++] = 0;
      this.#text[length++] = kind.letter;
      copy(elf.bytes, value, this.#text, length, end - value);
      length += end - value;
    }
    return length;
  }

  #reserve(length: number): void {
    if (length <= this.#text.length) return;
    const grown = new Uint8Array(length * 2);
    grown.set(this.#text);
    this.#text = grown;
  }
}

/** The facts in a record. Its buffer may hold others too. */
export function factsOf(record: Uint8Array, file: string): ModuleFacts {
  let views = viewsOfBuffers.get(record.buffer);
  if (!views) {
    views = { words: new Uint32Array(record.buffer, 0, record.buffer.byteLength >> 2), bytes: new Uint8Array(record.buffer) };
    viewsOfBuffers.set(record.buffer, views);
  }
  return new ModuleFacts(views.words, views.bytes, record.byteOffset / 4, record.length / 4, file);
}

const viewsOfBuffers = new WeakMap<ArrayBufferLike, { readonly words: Uint32Array; readonly bytes: Uint8Array }>();

/** A record, in place. */
export class ModuleFacts {
  /** The buffer that the record stands in; positions of names and values are positions in here. */
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** In words. */
  readonly #start: number;
  readonly exportCount: number;
  readonly needCount: number;
  readonly #info: number;
  readonly #names: number;

  /**
   * `bytes` are those of `words`; the record starts at word `start`. Throws FormatError where the counts do not fill its
   * `length` words exactly. What the words say beyond that is not checked: nothing but nonsense comes of it.
   */
  constructor(words: Uint32Array, bytes: Uint8Array, start: number, length: number, file: string) {
    const exports = words[start + 1] ?? 0;
    const needs = words[start + 2] ?? 0;
    const info = words[start + 3] ?? 0;
    const header = HEADER_WORDS + (exports + needs) * SYMBOL_WORDS;
    if (words[start] !== length || start + length > words.length || length !== header + Math.ceil((info + (words[start + 4] ?? 0)) / 4)) {
      throw new FormatError({ file, offset: start * 4, expected: 'a record of a module', actual: `${length} words that are none` });
    }
    this.bytes = bytes;
    this.#words = words;
    this.#start = start;
    this.exportCount = exports;
    this.needCount = needs;
    this.#info = (start + header) * 4;
    this.#names = this.#info + info;
  }

  /** Whether some alias begins with `devname:`. */
  get hasDevname(): boolean {
    return (this.#kinds & DEVNAME_BIT) !== 0;
  }

  get #kinds(): number {
    return this.#words[this.#start + 8] ?? 0;
  }

  /** A number that is another when another value of .modinfo is kept, and so for what is exported and needed. */
  get infoDigest(): number {
    return this.#digest(5, () => digest(this.bytes, this.#info, this.#names));
  }

  get exportDigest(): number {
    return this.#digest(6, () => digestWords(this.#words, this.#symbols, this.#symbols + this.exportCount * SYMBOL_WORDS));
  }

  get needDigest(): number {
    const start = this.#symbols + this.exportCount * SYMBOL_WORDS;
    return this.#digest(7, () => digestWords(this.#words, start, start + this.needCount * SYMBOL_WORDS));
  }

  /** Where they begin, in words. */
  get #symbols(): number {
    return this.#start + HEADER_WORDS;
  }

  /** Only the cache wants digests, and keeps them with the record. */
  #digest(word: number, make: () => number): number {
    return this.#words[this.#start + word] ||= make();
  }

  /** The bytes of the record alone. */
  get record(): Uint8Array {
    const at = this.#start * 4;
    return this.bytes.subarray(at, at + (this.#words[this.#start] ?? 0) * 4);
  }

  /** Calls `visit` with each exported symbol, in order; the object is the same each time. */
  exports(visit: (symbol: Readonly<FactSymbol>) => void): void {
    this.#walk(0, this.exportCount, this.#names, visit);
  }

  /** Calls `visit` with each needed symbol, its leading dot included; the object is the same each time. */
  needs(visit: (symbol: Readonly<FactSymbol>) => void): void {
    let names = this.#names;
    for (let i = 0; i < this.exportCount; i++) names += (this.#words[this.#symbols + i * SYMBOL_WORDS + 1] ?? 0) & LENGTH_MASK;
    this.#walk(this.exportCount, this.needCount, names, visit);
  }

  /** Calls `visit` with where each value of a key of .modinfo starts and ends in `bytes`, in order. */
  info(kind: InfoKind, visit: (start: number, end: number) => void): void {
    if ((this.#kinds & KIND_BITS[kind]) === 0) return;
    const letter = LETTERS[kind];
    const { bytes } = this;
    for (let at = this.#info; at < this.#names;) {
      let end = at + 1;
      while (end < this.#names && bytes[end] !== 0) end++;
      if (bytes[at] === letter) visit(at + 1, end);
      at = end + 1;
    }
  }

  /** The values of a key as text. */
  values(kind: InfoKind): string[] {
    const values: string[] = [];
    this.info(kind, (start, end) => values.push(textOf(this.bytes, start, end)));
    return values;
  }

  #walk(first: number, count: number, names: number, visit: (symbol: Readonly<FactSymbol>) => void): void {
    const symbol: FactSymbol = { hash: 0, start: names, length: 0, crc: 0, weak: false };
    for (let at = this.#symbols + first * SYMBOL_WORDS, i = 0; i < count; i++, at += SYMBOL_WORDS) {
      const flags = this.#words[at + 1] ?? 0;
      symbol.hash = this.#words[at] ?? 0;
      symbol.length = flags & LENGTH_MASK;
      symbol.crc = (flags & FLAG_NO_CRC) !== 0 ? NO_CRC : this.#words[at + 2] ?? 0;
      symbol.weak = (flags & FLAG_WEAK) !== 0;
      visit(symbol);
      symbol.start += symbol.length;
    }
  }
}

/** Bytes as latin1. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

/** As a number of 32 bits with a sign, which it is from then on: V8 would compile for that and give up, again and again. */
const FNV_BASIS = 0x811c9dc5 | 0;

/** FNV-1a over bytes. */
function digest(bytes: Uint8Array, start: number, end: number): number {
  let value = FNV_BASIS;
  for (let at = start; at < end; at++) value = Math.imul(value ^ (bytes[at] ?? 0), 0x01000193);
  return value >>> 0;
}

/** The same over the words of symbols: the hash of a name stands for it. */
function digestWords(words: Uint32Array, start: number, end: number): number {
  let value = FNV_BASIS;
  for (let at = start; at < end; at++) {
    value = Math.imul(value ^ (words[at] ?? 0), 0x01000193);
    value ^= value >>> 15;
  }
  return value >>> 0;
}

function hasKey(bytes: Uint8Array, start: number, end: number, key: Uint8Array): boolean {
  const after = start + key.length;
  return (after >= end || bytes[after] === EQUALS) && startsWith(bytes, start, end, key);
}

function startsWith(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start < text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false;
  return true;
}

function dropLong(list: SymbolList): void {
  let kept = 0;
  for (let i = 0; i < list.count; i++) {
    const length = list.lengths[i] ?? 0;
    if (length > MAX_SYMBOL_LENGTH) continue;
    list.names[kept] = list.names[i] ?? 0;
    list.lengths[kept] = length;
    list.crcs[kept] = list.crcs[i] ?? 0;
    list.flags[kept] = list.flags[i] ?? 0;
    kept++;
  }
  list.count = kept;
}

function sum(list: SymbolList): number {
  let total = 0;
  for (let i = 0; i < list.count; i++) total += list.lengths[i] ?? 0;
  return total;
}

/** Writes words from `at` and names from `name`. Returns where the names end. */
function writeSymbols(
  source: Uint8Array, list: SymbolList, needed: boolean, words: Uint32Array, at: number, bytes: Uint8Array, name: number,
): number {
  for (let i = 0; i < list.count; i++, at += SYMBOL_WORDS) {
    const start = list.names[i] ?? 0;
    const length = list.lengths[i] ?? 0;
    const flags = list.flags[i] ?? 0;
    const dot = needed && source[start] === DOT ? 1 : 0;
    words[at] = superFastHash(source, start + dot, length - dot);
    words[at + 1] = length | ((flags & SYMBOL_WEAK) === 0 ? 0 : FLAG_WEAK) | ((flags & SYMBOL_NO_CRC) === 0 ? 0 : FLAG_NO_CRC);
    words[at + 2] = list.crcs[i] ?? 0;
    copy(source, start, bytes, name, length);
    name += length;
  }
  return name;
}

/** For names of some bytes a loop is quicker than making a view. */
function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, length: number): void {
  for (let i = 0; i < length; i++) to[at + i] = from[start + i] ?? 0;
}
