// Who exports which symbol, and which modules a module needs for its own.

import { superFastHash, SYMBOL_BUCKETS } from './hash-order.ts';
import { type FactSymbol, type ModuleFacts, textOf } from './module-facts.ts';
import type { KernelSymbol } from './symvers.ts';

/** What -e reports. */
export type SymbolProblem = { readonly kind: 'unknown' | 'version'; readonly symbol: string };

/** A name as bytes, and the index of the module that exports it. */
export type SymbolVisitor = (bytes: Uint8Array, start: number, end: number, owner: number) => void;

/** Symbols that the module loader or the linker makes up; asked for only where the kernel's own are known. */
const FAKE_SYMBOLS = ['__this_module', '_GLOBAL_OFFSET_TABLE_', 'TOC.'];
const KERNEL = -1;
const DOT = 0x2e;

/** All exported symbols: a hash table over names as bytes. Of two exports of one name the later counts. */
export class DepmodSymbols {
  /** Open addressing; 0 is free, else index + 1 of the symbol. */
  #slots = new Int32Array(1 << 15);
  #count = 0;
  #hashes = new Uint32Array(1 << 14);
  #owners = new Int32Array(1 << 14);
  /** Doubles, because NO_CRC is none of the 32-bit values. */
  #crcs = new Float64Array(1 << 14);
  #starts = new Int32Array(1 << 14);
  #lengths = new Int32Array(1 << 14);
  readonly #sources: Uint8Array[] = [];
  readonly #prefix: number | undefined;
  #order: readonly number[] | undefined;

  /** @param prefix the character that an architecture puts before C names (`-P`) */
  constructor(prefix?: string) {
    this.#prefix = prefix === undefined || prefix === '' ? undefined : prefix.charCodeAt(0);
  }

  addKernelSymbols(symbols: readonly KernelSymbol[]): void {
    for (const { name, crc } of symbols) this.#addKernelSymbol(name, crc, true);
    for (const name of FAKE_SYMBOLS) this.#addKernelSymbol(name, 0, false);
  }

  addExports(owner: number, facts: ModuleFacts): void {
    facts.exports((symbol) => this.#add(facts.bytes, this.#withoutPrefix(facts.bytes, symbol), owner, symbol.crc));
  }

  /**
   * The modules that export what `facts` needs, each once, in the order of need.
   *
   * @param report hears of symbols that nobody exports and of versions that differ, weak ones excepted
   * @param onOwner hears of each module in the result, and of the first symbol that led to it
   */
  needs(facts: ModuleFacts, report?: (problem: SymbolProblem) => void, onOwner?: (owner: number, symbol: string) => void): number[] {
    const owners: number[] = [];
    facts.needs((symbol) => {
      const index = this.#find(facts.bytes, this.#withoutPrefix(facts.bytes, withoutDot(facts.bytes, symbol)));
      if (index < 0 && !report) return;
      const owner = this.#owners[index];
      if (report && !symbol.weak && (owner === undefined || this.#crcs[index] !== symbol.crc)) {
        report({ kind: owner === undefined ? 'unknown' : 'version', symbol: textOf(facts.bytes, symbol.start, symbol.start + symbol.length) });
      }
      if (owner === undefined || owner === KERNEL || owners.includes(owner)) return;
      owners.push(owner);
      onOwner?.(owner, textOf(facts.bytes, symbol.start, symbol.start + symbol.length));
    });
    return owners;
  }

  /** Calls `visit` with the symbols that modules export, in the order of libkmod's hash table. */
  ordered(visit: SymbolVisitor): void {
    this.#order ??= this.#sort();
    for (const index of this.#order) {
      const start = this.#starts[index] ?? 0;
      visit(this.#sources[index] ?? EMPTY, start, start + (this.#lengths[index] ?? 0), this.#owners[index] ?? KERNEL);
    }
  }

  #sort(): number[] {
    const buckets: number[][] = Array.from({ length: SYMBOL_BUCKETS }, () => []);
    for (let index = 0; index < this.#count; index++) {
      if (this.#owners[index] !== KERNEL) buckets[(this.#hashes[index] ?? 0) & (SYMBOL_BUCKETS - 1)]?.push(index);
    }
    for (const bucket of buckets) if (bucket.length > 1) bucket.sort((a, b) => this.#compare(a, b));
    return buckets.flat();
  }

  /** As strcmp(3). */
  #compare(a: number, b: number): number {
    const [bytesA, bytesB] = [this.#sources[a] ?? EMPTY, this.#sources[b] ?? EMPTY];
    const [startA, startB] = [this.#starts[a] ?? 0, this.#starts[b] ?? 0];
    const [lengthA, lengthB] = [this.#lengths[a] ?? 0, this.#lengths[b] ?? 0];
    for (let i = 0; i < lengthA && i < lengthB; i++) {
      const difference = (bytesA[startA + i] ?? 0) - (bytesB[startB + i] ?? 0);
      if (difference !== 0) return difference;
    }
    return lengthA - lengthB;
  }

  #addKernelSymbol(name: string, crc: number, stripPrefix: boolean): void {
    const bytes = Buffer.from(name, 'latin1');
    const symbol = { hash: superFastHash(bytes, 0, bytes.length), start: 0, length: bytes.length };
    this.#add(bytes, stripPrefix ? this.#withoutPrefix(bytes, symbol) : symbol, KERNEL, crc);
  }

  #add(bytes: Uint8Array, symbol: Name, owner: number, crc: number): void {
    this.#order = undefined;
    const slot = this.#slotOf(bytes, symbol);
    let index = (this.#slots[slot] ?? 0) - 1;
    if (index < 0) {
      index = this.#count++;
      this.#slots[slot] = this.#count;
      this.#hashes[index] = symbol.hash;
    }
    this.#owners[index] = owner;
    this.#crcs[index] = crc;
    this.#sources[index] = bytes;
    this.#starts[index] = symbol.start;
    this.#lengths[index] = symbol.length;
    // Half of the slots stay free, and the other arrays have an entry for each of the other half.
    if (this.#count * 2 >= this.#slots.length) this.#grow();
  }

  #find(bytes: Uint8Array, symbol: Name): number {
    return (this.#slots[this.#slotOf(bytes, symbol)] ?? 0) - 1;
  }

  #slotOf(bytes: Uint8Array, { hash, start, length }: Name): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const index = (this.#slots[slot] ?? 0) - 1;
      if (index < 0) return slot;
      if (this.#hashes[index] === hash && this.#lengths[index] === length && this.#equals(index, bytes, start, length)) return slot;
    }
  }

  #equals(index: number, bytes: Uint8Array, start: number, length: number): boolean {
    const source = this.#sources[index] ?? EMPTY;
    const from = this.#starts[index] ?? 0;
    for (let i = 0; i < length; i++) if (source[from + i] !== bytes[start + i]) return false;
    return true;
  }

  #grow(): void {
    this.#hashes = grown(this.#hashes, new Uint32Array(this.#slots.length));
    this.#owners = grown(this.#owners, new Int32Array(this.#slots.length));
    this.#crcs = grown(this.#crcs, new Float64Array(this.#slots.length));
    this.#starts = grown(this.#starts, new Int32Array(this.#slots.length));
    this.#lengths = grown(this.#lengths, new Int32Array(this.#slots.length));
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let index = 0; index < this.#count; index++) {
      let slot = (this.#hashes[index] ?? 0) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = index + 1;
    }
    this.#slots = slots;
  }

  #withoutPrefix(bytes: Uint8Array, symbol: Name): Name {
    if (this.#prefix === undefined || bytes[symbol.start] !== this.#prefix || symbol.length === 0) return symbol;
    const start = symbol.start + 1;
    const length = symbol.length - 1;
    return { hash: superFastHash(bytes, start, length), start, length };
  }
}

function grown<Numbers extends Uint32Array | Int32Array | Float64Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

type Name = { readonly hash: number; readonly start: number; readonly length: number };

const EMPTY = new Uint8Array(0);

/** The hash of a record leaves the dot out already. */
function withoutDot(bytes: Uint8Array, symbol: Readonly<FactSymbol>): Name {
  if (bytes[symbol.start] !== DOT || symbol.length === 0) return symbol;
  return { hash: symbol.hash, start: symbol.start + 1, length: symbol.length - 1 };
}
