// ELF files as kernel modules have them, made from what they should say.

export type ModuleSpec = {
  readonly bits?: 32 | 64;
  readonly bigEndian?: boolean;
  readonly machine?: number;
  /** `key=value`. */
  readonly modinfo?: readonly string[];
  /** Exported symbols; with a CRC as symbols __crc_NAME. */
  readonly exports?: readonly { readonly name: string; readonly crc?: number; /** The CRC stands in a section. */ readonly relative?: boolean }[];
  readonly needs?: readonly { readonly name: string; readonly weak?: boolean; readonly type?: number }[];
  /** Records of __versions. */
  readonly versions?: readonly { readonly name: string; readonly crc: number }[];
  readonly extendedVersions?: readonly { readonly name: string; readonly crc: number }[];
  readonly sections?: readonly Section[];
  readonly without?: readonly string[];
};

export type Section = { readonly name: string; readonly type?: number; readonly data: Uint8Array; readonly link?: number; readonly size?: number };

const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHN_ABS = 0xfff1;

type Endian = { u16(value: number): Uint8Array; u32(value: number): Uint8Array; word(value: number): Uint8Array };

/** The bytes of a module. */
export function buildModule(spec: ModuleSpec = {}): Buffer {
  const { bits = 64, bigEndian = false } = spec;
  const put = endian(bits, bigEndian);
  const strings = new Strings();
  const crcs: number[] = [];
  const symbols: Uint8Array[] = [symbol(put, bits, { name: 0, value: 0, info: 0, shndx: 0 })];
  for (const { name, crc, relative = false } of spec.exports ?? []) {
    if (crc === undefined) continue;
    if (relative) crcs.push(crc);
    const value = relative ? (crcs.length - 1) * 4 : crc;
    symbols.push(symbol(put, bits, { name: strings.add(`__crc_${name}`), value, info: 0x10, shndx: relative ? 1 : SHN_ABS }));
  }
  for (const { name, weak = false, type = 0 } of spec.needs ?? []) {
    symbols.push(symbol(put, bits, { name: strings.add(name), value: 0, info: (weak ? 0x20 : 0x10) | type, shndx: 0 }));
  }
  const text = (lines: readonly string[]) => Buffer.from(lines.map((line) => `${line}\0`).join(''), 'latin1');
  const sections: Section[] = [
    { name: '__kcrctab', data: Buffer.concat(crcs.map((crc) => put.u32(crc))) },
    { name: '.modinfo', data: text(spec.modinfo ?? []) },
    ...(spec.exports ? [{ name: '__ksymtab_strings', data: text(spec.exports.map(({ name }) => name)) }] : []),
    ...(spec.versions ? [{ name: '__versions', data: Buffer.concat(spec.versions.map((version) => modversion(put, version))) }] : []),
    ...(spec.extendedVersions ? [
      { name: '__version_ext_crcs', data: Buffer.concat(spec.extendedVersions.map(({ crc }) => put.u32(crc))) },
      { name: '__version_ext_names', data: text(spec.extendedVersions.map(({ name }) => name)) },
    ] : []),
    ...(spec.sections ?? []),
    { name: '.strtab', type: SHT_STRTAB, data: strings.bytes() },
    { name: '.symtab', type: SHT_SYMTAB, data: Buffer.concat(symbols) },
  ].filter(({ name }) => !(spec.without ?? []).includes(name));
  return assemble(spec, put, sections);
}

function assemble(spec: ModuleSpec, put: Endian, sections: readonly Section[]): Buffer {
  const { bits = 64, bigEndian = false, machine = 62 } = spec;
  const names = new Strings();
  const all: Section[] = [...sections, { name: '.shstrtab', type: SHT_STRTAB, data: Buffer.alloc(0) }];
  const offsets = all.map(({ name }) => names.add(name));
  all[all.length - 1] = { name: '.shstrtab', type: SHT_STRTAB, data: names.bytes() };
  const strtab = all.findIndex(({ name }) => name === '.strtab') + 1;
  const headerSize = bits === 64 ? 64 : 52;
  const parts: Uint8Array[] = [];
  let at = headerSize;
  const headers = [sectionHeader(put, bits, { name: 0, type: 0, offset: 0, size: 0, link: 0 })];
  all.forEach(({ type = SHT_PROGBITS, data, link, size }, index) => {
    headers.push(sectionHeader(put, bits, {
      name: offsets[index] ?? 0, type, offset: at, size: size ?? data.length, link: link ?? (type === SHT_SYMTAB ? strtab : 0),
    }));
    const padded = Buffer.alloc(Math.ceil(data.length / 8) * 8 + (at === headerSize ? (8 - headerSize % 8) % 8 : 0));
    padded.set(data);
    parts.push(padded);
    at += padded.length;
  });
  const ident = Buffer.from([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, bigEndian ? 2 : 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const header = Buffer.concat([
    ident, put.u16(1), put.u16(machine), put.u32(1), put.word(0), put.word(0), put.word(at), put.u32(0),
    put.u16(headerSize), put.u16(0), put.u16(0), put.u16(bits === 64 ? 64 : 40), put.u16(headers.length), put.u16(headers.length - 1),
  ]);
  return Buffer.concat([header, ...parts, ...headers]);
}

function sectionHeader(
  put: Endian, bits: 32 | 64, { name, type, offset, size, link }: { name: number; type: number; offset: number; size: number; link: number },
): Buffer {
  const entsize = type === SHT_SYMTAB ? (bits === 64 ? 24 : 16) : 0;
  return Buffer.concat([
    put.u32(name), put.u32(type), put.word(0), put.word(0), put.word(offset), put.word(size), put.u32(link), put.u32(0), put.word(1), put.word(entsize),
  ]);
}

function symbol(
  put: Endian, bits: 32 | 64, { name, value, info, shndx }: { name: number; value: number; info: number; shndx: number },
): Buffer {
  const tail = [Buffer.from([info, 0]), put.u16(shndx)];
  return bits === 64
    ? Buffer.concat([put.u32(name), ...tail, put.word(value), put.word(0)])
    : Buffer.concat([put.u32(name), put.word(value), put.word(0), ...tail]);
}

function modversion(put: Endian, { name, crc }: { readonly name: string; readonly crc: number }): Buffer {
  const record = Buffer.alloc(64);
  const word = put.word(crc);
  record.set(word);
  record.write(name, word.length, 'latin1');
  return record;
}

function endian(bits: 32 | 64, bigEndian: boolean): Endian {
  const made = (size: number, value: number) => {
    const buffer = Buffer.alloc(size);
    if (size === 2) buffer.writeUInt16LE(value);
    else if (size === 4) buffer.writeUInt32LE(value >>> 0);
    else buffer.writeBigUInt64LE(BigInt(value));
    return bigEndian ? buffer.reverse() : buffer;
  };
  return { u16: (value) => made(2, value), u32: (value) => made(4, value), word: (value) => made(bits / 8, value) };
}

class Strings {
  #text = '\0';

  add(name: string): number {
    const offset = this.#text.length;
    this.#text += `${name}\0`;
    return offset;
  }

  bytes(): Buffer {
    return Buffer.from(this.#text, 'latin1');
  }
}
