// ELF files of 32 and 64 bit and of both byte orders: header, sections, symbols.

import { FormatError } from '../errors.ts';

/** A section header. */
export type ElfSection = {
  /** '' where the name lies outside the table of names. */
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly entsize: number;
};

export type ElfSymbol = {
  readonly name: string;
  readonly value: number | bigint;
  /** Index of its section, SHN_XINDEX resolved; 0 for an undefined symbol. */
  readonly shndx: number;
  /** STB_*: 0 local, 1 global, 2 weak. */
  readonly bind: number;
  /** STT_*. */
  readonly type: number;
};

/** Where the entries of .symtab but the first are, and their names. */
export type SymbolTable = {
  readonly first: number;
  readonly end: number;
  /** Bytes an entry. */
  readonly entry: number;
  readonly names: number;
  readonly namesEnd: number;
};

/** elf.h. */
export const SHT_NOBITS = 8;
export const SHT_SYMTAB_SHNDX = 18;
export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
export const SHN_ABS = 0xfff1;
export const SHN_XINDEX = 0xffff;
export const STB_WEAK = 2;

/** The most sections that are read; the kernel's own limit lies in the memory, real modules have some hundreds. */
export const MAX_ELF_SECTIONS = 1 << 17;

/*
 *            32 bit                                         64 bit
 *   Ehdr 52  e_type 16, e_machine 18, e_shoff 32 (u32),     64  e_type 16, e_machine 18, e_shoff 40 (u64),
 *            e_shentsize 46, e_shnum 48, e_shstrndx 50          e_shentsize 58, e_shnum 60, e_shstrndx 62
 *   Shdr 40  name 0, type 4, flags 8, addr 12, offset 16,   64  name 0, type 4, flags 8, addr 16, offset 24,
 *            size 20, link 24, info 28, align 32, entsize 36    size 32, link 40, info 44, align 48, entsize 56
 *   Sym  16  name 0, value 4, size 8, info 12, shndx 14     24  name 0, info 4, shndx 6, value 8, size 16
 *
 * Where there are 0xff00 sections or more, e_shnum is 0 and section 0 has the number as its size; where the table of
 * names is that far up, e_shstrndx is SHN_XINDEX and section 0 has it as its link. Source: elf(5), gABI chapter 4.
 */
const LAYOUTS = {
  elf32: { header: 52, shoff: 32, shentsize: 46, shdr: 40, flags: 8, offset: 16, size: 20, link: 24, info: 28, entsize: 36, sym: 16 },
  elf64: { header: 64, shoff: 40, shentsize: 58, shdr: 64, flags: 8, offset: 24, size: 32, link: 40, info: 44, entsize: 56, sym: 24 },
} as const;

/** A view of an ELF file. Nothing is copied; names and symbols are read when asked for. */
export class ElfFile {
  readonly is64: boolean;
  readonly littleEndian: boolean;
  /** EM_*. */
  readonly machine: number;
  /** ET_*: 1 is relocatable, as modules are. */
  readonly type: number;
  readonly file: string;
  /** The file's bytes. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #layout: (typeof LAYOUTS)['elf32' | 'elf64'];
  /** Where the section headers are, and the names of sections. */
  readonly #table: SectionTable;
  #sections: readonly ElfSection[] | undefined;
  #last: { readonly index: number; readonly section: ElfSection } | undefined;
  readonly #fill: ((start: number, end: number) => void) | undefined;

  /**
   * Throws FormatError where header or section headers do not fit the file.
   *
   * @param fill is called before a range of `bytes` is looked at, for a buffer of the file's size whose content is read
   *   when it is wanted: a fifth of a module is enough to know it.
   */
  constructor(bytes: Uint8Array, file: string, fill?: (start: number, end: number) => void) {
    this.file = file;
    this.bytes = bytes;
    this.#fill = fill;
    fill?.(0, Math.min(bytes.length, LAYOUTS.elf64.header));
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    checkIdentity(bytes, file);
    this.is64 = bytes[4] === 2;
    this.littleEndian = bytes[5] === 1;
    this.#layout = this.is64 ? LAYOUTS.elf64 : LAYOUTS.elf32;
    if (bytes.length < this.#layout.header) throw damaged(file, 0, `an ELF header of ${this.#layout.header} bytes`, `${bytes.length} bytes`);
    this.type = this.view.getUint16(16, this.littleEndian);
    this.machine = this.view.getUint16(18, this.littleEndian);
    this.#table = this.#readTable();
  }

  /** All headers by index, also those whose content lies outside the file. */
  get sections(): readonly ElfSection[] {
    return (this.#sections ??= Array.from({ length: this.#table.count }, (_, index) => this.#readHeader(index)));
  }

  /** The header of that index, or undefined. */
  sectionAt(index: number): ElfSection | undefined {
    if (index >= this.#table.count) return undefined;
    // All versions of exported symbols are in one section.
    if (this.#last?.index !== index) this.#last = { index, section: this.#readHeader(index) };
    return this.#last.section;
  }

  /** The first section of that name whose content lies within the file, section 0 excepted; others are as if absent. */
  section(name: string): ElfSection | undefined {
    const wanted = nameBytes(name);
    for (let index = 1; index < this.#table.count; index++) {
      if (!this.#isNamed(index, wanted)) continue;
      const section = this.#readHeader(index);
      if (this.#isInside(section)) return section;
    }
    return undefined;
  }

  /** The section's bytes, in place; empty for NOBITS. Throws FormatError where they lie outside the file. */
  contents(section: ElfSection): Uint8Array {
    const { offset } = section;
    return this.bytes.subarray(offset, offset + this.contentLength(section));
  }

  /** How many bytes that are, which then can be looked at. Throws as `contents`. */
  contentLength(section: ElfSection): number {
    if (section.type === SHT_NOBITS) return 0;
    if (!this.#isInside(section)) {
      throw damaged(this.file, section.offset, `section ${section.name} of ${section.size} bytes`, 'the end of the file');
    }
    this.#fill?.(section.offset, section.offset + section.size);
    return section.size;
  }

  /** The text from `offset` up to a NUL or to `end`, as latin1: names are bytes. */
  string(offset: number, end: number): string {
    const nul = this.bytes.indexOf(0, offset);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + offset, (nul < 0 || nul > end ? end : nul) - offset).toString('latin1');
  }

  /** .symtab and .strtab, or undefined where one is missing or entries are cut. Sections are known by name, as for kmod. */
  symbolTable(): SymbolTable | undefined {
    const table = this.section('.symtab');
    const names = this.section('.strtab');
    const { sym } = this.#layout;
    if (!table || !names || table.size % sym !== 0) return undefined;
    const end = table.offset + this.contentLength(table);
    const namesEnd = names.offset + this.contentLength(names);
    return { first: Math.min(table.offset + sym, end), end, entry: sym, names: names.offset, namesEnd };
  }

  /** The symbols of .symtab but the first, in order; none where symbolTable() is undefined. Throws FormatError. */
  *symbols(): Generator<ElfSymbol> {
    const table = this.symbolTable();
    if (!table) return;
    const { names, namesEnd, entry } = table;
    const { view, littleEndian, is64 } = this;
    const extended = this.#extendedIndexes();
    for (let at = table.first, index = 1; at < table.end; at += entry, index++) {
      const name = names + view.getUint32(at, littleEndian);
      if (name >= namesEnd) throw damaged(this.file, at, 'a name within .strtab', `offset ${name - names}`);
      const info = view.getUint8(at + (is64 ? 4 : 12));
      const shndx = view.getUint16(at + (is64 ? 6 : 14), littleEndian);
      yield {
        name: this.string(name, namesEnd),
        value: is64 ? narrow(view.getBigUint64(at + 8, littleEndian)) : view.getUint32(at + 4, littleEndian),
        shndx: shndx === SHN_XINDEX ? extended?.(index) ?? shndx : shndx,
        bind: info >> 4,
        type: info & 15,
      };
    }
  }

  #readTable(): SectionTable {
    const { view, littleEndian, bytes, file } = this;
    const { shoff, shentsize, shdr } = this.#layout;
    const start = this.#word(shoff);
    const entry = view.getUint16(shentsize, littleEndian);
    if (entry !== shdr) throw damaged(file, shentsize, `section headers of ${shdr} bytes`, `${entry}`);
    if (start + entry > bytes.length) throw damaged(file, shoff, 'section headers within the file', `offset ${start}`);
    this.#fill?.(start, start + entry);
    const count = view.getUint16(shentsize + 2, littleEndian) || this.#word(start + this.#layout.size);
    const nameIndex = view.getUint16(shentsize + 4, littleEndian);
    const table = nameIndex === SHN_XINDEX ? view.getUint32(start + this.#layout.link, littleEndian) : nameIndex;
    if (count > MAX_ELF_SECTIONS || start + count * entry > bytes.length) {
      throw damaged(file, start, 'section headers within the file', `${count} of ${entry} bytes`);
    }
    this.#fill?.(start, start + count * entry);
    if (table >= count) throw damaged(file, shentsize + 4, 'the index of the section names', `${table} of ${count}`);
    const names = this.#word(start + table * entry + this.#layout.offset);
    const size = this.#word(start + table * entry + this.#layout.size);
    if (size > 0 && names + size <= bytes.length) this.#fill?.(names, names + size);
    if (size === 0 || names + size > bytes.length || bytes[names + size - 1] !== 0) {
      throw damaged(file, names, 'section names that end with NUL within the file', `${size} bytes`);
    }
    return { start, entry, count, names, namesEnd: names + size };
  }

  #isNamed(index: number, wanted: Uint8Array): boolean {
    const { start, entry, names, namesEnd } = this.#table;
    const name = names + this.view.getUint32(start + index * entry, this.littleEndian);
    if (name + wanted.length >= namesEnd || this.bytes[name + wanted.length] !== 0) return false;
    for (let i = 0; i < wanted.length; i++) if (this.bytes[name + i] !== wanted[i]) return false;
    return true;
  }

  #readHeader(index: number): ElfSection {
    const { start, entry, names, namesEnd } = this.#table;
    const at = start + index * entry;
    const { view, littleEndian } = this;
    const layout = this.#layout;
    const name = names + view.getUint32(at, littleEndian);
    return {
      name: name < namesEnd ? this.string(name, namesEnd) : '',
      type: view.getUint32(at + 4, littleEndian),
      flags: this.#word(at + layout.flags),
      offset: this.#word(at + layout.offset),
      size: this.#word(at + layout.size),
      link: view.getUint32(at + layout.link, littleEndian),
      info: view.getUint32(at + layout.info, littleEndian),
      entsize: this.#word(at + layout.entsize),
    };
  }

  #isInside(section: ElfSection): boolean {
    return section.offset + section.size <= this.bytes.length;
  }

  /** Section indexes of symbols that do not fit 16 bits, by the symbol's index. */
  #extendedIndexes(): ((symbol: number) => number | undefined) | undefined {
    const section = this.sections.find(({ type }) => type === SHT_SYMTAB_SHNDX);
    if (!section) return undefined;
    const { length } = this.contents(section);
    return (symbol) => symbol * 4 + 4 <= length ? this.view.getUint32(section.offset + symbol * 4, this.littleEndian) : undefined;
  }

  /** A word of the file's class. Beyond 2^53 the number is inexact, and far beyond every file. */
  #word(at: number): number {
    const { view, littleEndian } = this;
    if (!this.is64) return view.getUint32(at, littleEndian);
    const low = view.getUint32(littleEndian ? at : at + 4, littleEndian);
    const high = view.getUint32(littleEndian ? at + 4 : at, littleEndian);
    return high * 0x1_0000_0000 + low;
  }
}

type SectionTable = { readonly start: number; readonly entry: number; readonly count: number; readonly names: number; readonly namesEnd: number };

function checkIdentity(bytes: Uint8Array, file: string): void {
  if (bytes.length < 16 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) {
    const magic = [...bytes.subarray(0, 4)];
    throw damaged(file, 0, 'the ELF magic 7f 45 4c 46', magic.map((byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'an empty file');
  }
  if (bytes[4] !== 1 && bytes[4] !== 2) throw damaged(file, 4, 'an ELF class of 1 or 2', `${bytes[4]}`);
  if (bytes[5] !== 1 && bytes[5] !== 2) throw damaged(file, 5, 'an ELF byte order of 1 or 2', `${bytes[5]}`);
}

/** The bytes of a section's name: there are a handful, which every module is asked for. */
function nameBytes(name: string): Uint8Array {
  let bytes = knownNames.get(name);
  if (!bytes) {
    bytes = Buffer.from(name, 'latin1');
    knownNames.set(name, bytes);
  }
  return bytes;
}

const knownNames = new Map<string, Uint8Array>();

function narrow(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function damaged(file: string, offset: number, expected: string, actual: string): FormatError {
  return new FormatError({ file, offset, expected, actual });
}
