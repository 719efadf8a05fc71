// What a module's ELF file says of itself: its .modinfo strings, the symbols it exports and needs, with their versions.

import { type ElfFile, SHN_ABS, SHN_UNDEF, STB_WEAK, type SymbolTable } from './elf.ts';

export type ModuleSymbol = {
  readonly name: string;
  /** Its version (CRC); 0 where the module was built without, NO_CRC where it cannot be read. */
  readonly crc: number;
};

export type NeededSymbol = ModuleSymbol & {
  /** It may stay undefined. */
  readonly weak: boolean;
};

/** Symbols in place, as positions of their names in the file's bytes: a tree has hundreds of thousands. */
export class SymbolList {
  count = 0;
  names = new Int32Array(256);
  lengths = new Int32Array(256);
  crcs = new Uint32Array(256);
  flags = new Uint8Array(256);

  push(name: number, length: number, crc: number, flags: number): void {
    if (this.count === this.names.length) this.#grow();
    const at = this.count++;
    this.names[at] = name;
    this.lengths[at] = length;
    this.crcs[at] = crc;
    this.flags[at] = flags;
  }

  #grow(): void {
    const size = this.names.length * 2;
    const { names, lengths, crcs, flags } = this;
    this.names = new Int32Array(size);
    this.lengths = new Int32Array(size);
    this.crcs = new Uint32Array(size);
    this.flags = new Uint8Array(size);
    this.names.set(names);
    this.lengths.set(lengths);
    this.crcs.set(crcs);
    this.flags.set(flags);
  }
}

/** Flags of a symbol. */
export const SYMBOL_WEAK = 1;
export const SYMBOL_NO_CRC = 2;

/** What scanSymbols() finds; serves one module after the other. */
export class SymbolScan {
  readonly exports = new SymbolList();
  readonly needs = new SymbolList();
  readonly versions = new SymbolList();
  /** The versions by name. Open addressing; 0 is free, else index + 1. */
  slots = new Int32Array(1024);
  mask = 0;
}

/** elf.h: machines and a symbol type of SPARC, where registers pose as undefined symbols. */
const EM_SPARC = 2;
const EM_SPARCV9 = 43;
const STT_REGISTER = 13;

/** struct modversion_info, linux/module.h: an unsigned long, then the name in what is left of 64 bytes. */
const MODVERSION_SIZE = 64;
const CRC_PREFIX = Buffer.from('__crc_', 'latin1');
const UNDERSCORE = 0x5f;
const LETTER_C = 0x63;
/** Flag of a version that a symbol has asked for. */
const TAKEN = 0x80;

/** What stands for a CRC that lies outside its section: no 32-bit value. */
export const NO_CRC = -1;

/** The entries of .modinfo, `key=value`, in file order; none where there is no such section. */
export function modinfoStrings(elf: ElfFile): string[] {
  const list = new SymbolList();
  listStrings(elf, '.modinfo', list);
  return symbolsOf(elf, list).map(({ name }) => name);
}

/** The symbols that the module exports, in the order of its symbol table, or of __ksymtab_strings where it has no CRCs. */
export function exportedSymbols(elf: ElfFile): ModuleSymbol[] {
  const scan = new SymbolScan();
  scanSymbols(elf, scan);
  return symbolsOf(elf, scan.exports).map(({ name, crc }) => ({ name, crc }));
}

/**
 * The undefined symbols, then the names that have a version but are no such symbol (`module_layout`). A symbol without
 * version has CRC 0.
 */
export function neededSymbols(elf: ElfFile): NeededSymbol[] {
  const scan = new SymbolScan();
  scanSymbols(elf, scan);
  return symbolsOf(elf, scan.needs);
}

/** The versions that the module expects: of the extended sections of 6.14, which know long names too, or of __versions. */
export function modversions(elf: ElfFile): ModuleSymbol[] {
  const versions = new SymbolList();
  listVersions(elf, versions);
  return symbolsOf(elf, versions).map(({ name, crc }) => ({ name, crc }));
}

/** The namespaces of exported symbols that have one, from the symbols __kstrtabns_NAME. */
export function symbolNamespaces(elf: ElfFile): Map<string, string> {
  const namespaces = new Map<string, string>();
  const prefix = '__kstrtabns_';
  if (!elf.symbolTable()) return namespaces;
  for (const { name, shndx, value } of elf.symbols()) {
    const section = name.startsWith(prefix) ? elf.sectionAt(shndx) : undefined;
    if (!section || typeof value !== 'number') continue;
    const length = elf.contentLength(section);
    const namespace = value < length ? elf.string(section.offset + value, section.offset + length) : '';
    if (namespace !== '') namespaces.set(name.slice(prefix.length), namespace);
  }
  return namespaces;
}

/** Fills `scan` with what the module exports and needs. Throws FormatError where sections lie outside the file. */
export function scanSymbols(elf: ElfFile, scan: SymbolScan): void {
  const { exports, needs } = scan;
  exports.count = 0;
  needs.count = 0;
  loadVersions(elf, scan);
  const table = elf.symbolTable();
  const sound = table === undefined ? false : scanTable(elf, table, scan);
  if (!sound || exports.count === 0) {
    exports.count = 0;
    listStrings(elf, '__ksymtab_strings', exports);
  }
  if (table) listUnusedVersions(scan);
}

/**
 * One pass over .symtab: undefined symbols are needs, __crc_NAME exports NAME (EXPORT_SYMBOL, scripts/mod/modpost.c).
 * False where a name is outside of the table of names: then no export counts, and no need if it was one's.
 */
function scanTable(elf: ElfFile, table: SymbolTable, scan: SymbolScan): boolean {
  const { view, littleEndian, is64, bytes, machine } = elf;
  const { names, namesEnd, end, entry } = table;
  const { exports, needs } = scan;
  const infoAt = is64 ? 4 : 12;
  const shndxAt = is64 ? 6 : 14;
  const registers = machine === EM_SPARC || machine === EM_SPARCV9;
  let sound = true;
  let needsSound = true;
  for (let at = table.first; at < end; at += entry) {
    const name = names + view.getUint32(at, littleEndian);
    const shndx = view.getUint16(at + shndxAt, littleEndian);
    if (name >= namesEnd) {
      sound = false;
      needsSound &&= shndx !== SHN_UNDEF;
      continue;
    }
    if (shndx === SHN_UNDEF) {
      const info = bytes[at + infoAt] ?? 0;
      const length = nameLength(bytes, name, namesEnd);
      if (length > 0 && !(registers && (info & 15) === STT_REGISTER)) takeNeed(bytes, scan, name, length, info >> 4 === STB_WEAK);
    }
    if (bytes[name] === UNDERSCORE && bytes[name + 2] === LETTER_C && bytes[name + 5] === UNDERSCORE && isCrcName(bytes, name)) {
      const start = Math.min(name + CRC_PREFIX.length, namesEnd);
      const crc = crcAt(elf, at);
      exports.push(start, nameLength(bytes, start, namesEnd), crc, crc === NO_CRC ? SYMBOL_NO_CRC : 0);
    }
  }
  if (!needsSound) {
    needs.count = 0;
    scan.versions.count = 0;
  }
  return sound;
}

function takeNeed(bytes: Uint8Array, scan: SymbolScan, name: number, length: number, weak: boolean): void {
  const { needs, versions } = scan;
  const flags = weak ? SYMBOL_WEAK : 0;
  const index = versions.count === 0 ? -1 : (scan.slots[slotOf(bytes, scan, name, length)] ?? 0) - 1;
  if (index < 0) {
    needs.push(name, length, 0, flags);
    return;
  }
  const version = versions.flags[index] ?? 0;
  versions.flags[index] = version | TAKEN;
  needs.push(name, length, versions.crcs[index] ?? 0, flags | (version & SYMBOL_NO_CRC));
}

function listUnusedVersions({ needs, versions }: SymbolScan): void {
  for (let i = 0; i < versions.count; i++) {
    const flags = versions.flags[i] ?? 0;
    if ((flags & TAKEN) === 0) needs.push(versions.names[i] ?? 0, versions.lengths[i] ?? 0, versions.crcs[i] ?? 0, flags);
  }
}

function isCrcName(bytes: Uint8Array, name: number): boolean {
  for (let i = 0; i < CRC_PREFIX.length; i++) if (bytes[name + i] !== CRC_PREFIX[i]) return false;
  return true;
}

/** The value of a __crc_ symbol: absolute, or the u32 that it stands at in its section (relative CRCs). */
function crcAt(elf: ElfFile, at: number): number {
  const { view, littleEndian, is64 } = elf;
  const shndx = view.getUint16(at + (is64 ? 6 : 14), littleEndian);
  const low = is64 ? view.getUint32(littleEndian ? at + 8 : at + 12, littleEndian) : view.getUint32(at + 4, littleEndian);
  const high = is64 ? view.getUint32(littleEndian ? at + 12 : at + 8, littleEndian) : 0;
  if (shndx === SHN_ABS || shndx === SHN_UNDEF) return high === 0 ? low : NO_CRC;
  const section = elf.sectionAt(shndx);
  if (!section || high !== 0 || section.offset + section.size > elf.bytes.length || low + 4 > elf.contentLength(section)) return NO_CRC;
  return view.getUint32(section.offset + low, littleEndian);
}

function loadVersions(elf: ElfFile, scan: SymbolScan): void {
  const { versions } = scan;
  listVersions(elf, versions);
  let size = 1;
  while (size < versions.count * 2) size *= 2;
  if (size > scan.slots.length) scan.slots = new Int32Array(size);
  else scan.slots.fill(0, 0, size);
  scan.mask = size - 1;
  for (let i = 0; i < versions.count; i++) {
    const slot = slotOf(elf.bytes, scan, versions.names[i] ?? 0, versions.lengths[i] ?? 0);
    // Of two versions of one name the first counts.
    if (scan.slots[slot] === 0) scan.slots[slot] = i + 1;
  }
}

/** The slot that has the name, or where it would go. */
function slotOf(bytes: Uint8Array, scan: SymbolScan, name: number, length: number): number {
  const { slots, mask, versions } = scan;
  for (let slot = hash(bytes, name, length) & mask; ; slot = (slot + 1) & mask) {
    const index = (slots[slot] ?? 0) - 1;
    if (index < 0 || (versions.lengths[index] === length && equalBytes(bytes, versions.names[index] ?? 0, name, length))) return slot;
  }
}

function listVersions(elf: ElfFile, versions: SymbolList): void {
  versions.count = 0;
  if (listExtendedVersions(elf, versions)) return;
  const section = elf.section('__versions');
  const length = section ? elf.contentLength(section) : 0;
  if (!section || length % MODVERSION_SIZE !== 0) return;
  const { view, littleEndian, is64, bytes } = elf;
  for (let at = section.offset; at < section.offset + length; at += MODVERSION_SIZE) {
    const crc = view.getUint32(is64 && !littleEndian ? at + 4 : at, littleEndian);
    const high = is64 ? view.getUint32(littleEndian ? at + 4 : at, littleEndian) : 0;
    const name = at + (is64 ? 8 : 4);
    versions.push(name, nameLength(bytes, name, at + MODVERSION_SIZE), crc, high === 0 ? 0 : SYMBOL_NO_CRC);
  }
}

/** CONFIG_EXTENDED_MODVERSIONS (6.14): u32 CRCs in one section, NUL-ended names of any length in another, pair by pair. */
function listExtendedVersions(elf: ElfFile, versions: SymbolList): boolean {
  const section = elf.section('__version_ext_crcs');
  if (!section) return false;
  const crcs = Math.floor(elf.contentLength(section) / 4);
  listStrings(elf, '__version_ext_names', versions);
  versions.count = Math.min(versions.count, crcs);
  for (let i = 0; i < versions.count; i++) versions.crcs[i] = elf.view.getUint32(section.offset + i * 4, elf.littleEndian);
  return versions.count > 0;
}

/** The non-empty NUL-ended strings of a section, with CRC 0. */
export function listStrings(elf: ElfFile, name: string, list: SymbolList): void {
  const section = elf.section(name);
  if (!section) return;
  const end = section.offset + elf.contentLength(section);
  for (let at = section.offset; at < end;) {
    const length = nameLength(elf.bytes, at, end);
    if (length > 0) list.push(at, length, 0, 0);
    at += length + 1;
  }
}

function symbolsOf(elf: ElfFile, list: SymbolList): NeededSymbol[] {
  const symbols: NeededSymbol[] = [];
  for (let i = 0; i < list.count; i++) {
    const start = list.names[i] ?? 0;
    const flags = list.flags[i] ?? 0;
    const name = elf.string(start, start + (list.lengths[i] ?? 0));
    symbols.push({ name, crc: (flags & SYMBOL_NO_CRC) === 0 ? list.crcs[i] ?? 0 : NO_CRC, weak: (flags & SYMBOL_WEAK) !== 0 });
  }
  return symbols;
}

/** Bytes before a NUL or `end`. */
function nameLength(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== 0) at++;
  return at - start;
}

function hash(bytes: Uint8Array, start: number, length: number): number {
  let value = 0;
  for (let at = start; at < start + length; at++) value = (Math.imul(value, 31) + (bytes[at] ?? 0)) | 0;
  return value ^ (value >>> 15);
}

function equalBytes(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false;
  return true;
}
