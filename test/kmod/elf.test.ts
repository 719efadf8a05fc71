import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { ElfFile } from '../../src/kmod/elf.ts';
import { exportedSymbols, modinfoStrings, modversions, neededSymbols, NO_CRC, symbolNamespaces } from '../../src/kmod/module-elf.ts';
import { FactsEncoder, factsOf } from '../../src/kmod/module-facts.ts';
import { random } from '../random.ts';
import { buildModule, type ModuleSpec } from './elf-builder.ts';

const SPEC: ModuleSpec = {
  modinfo: ['license=GPL', 'alias=pci:v00008086d*', 'softdep=pre: a'],
  exports: [{ name: 'absolute', crc: 0x12345678 }, { name: 'relative', crc: 0xdeadbeef, relative: true }, { name: 'unversioned' }],
  needs: [{ name: 'printk' }, { name: 'maybe', weak: true }],
  versions: [{ name: 'module_layout', crc: 1 }, { name: 'printk', crc: 0xfffffff0 }],
};

const KINDS = [
  { bits: 64, bigEndian: false }, { bits: 64, bigEndian: true }, { bits: 32, bigEndian: false }, { bits: 32, bigEndian: true },
] as const;

function everything(bytes: Uint8Array): unknown {
  const elf = new ElfFile(bytes, 'x.ko');
  const parts = [
    elf.sections, elf.sections.map((section) => { try { return elf.contents(section).length; } catch (error) { return expectOurs(error); } }),
    exportedSymbols(elf), neededSymbols(elf), modversions(elf), modinfoStrings(elf),
  ];
  const facts = factsOf(new FactsEncoder().encode(elf), 'x.ko');
  facts.needs(() => undefined);
  facts.exports(() => undefined);
  return [parts, facts.values('alias'), facts.values('softdep')];
}

function contentsOf(elf: ElfFile, wanted: string): Uint8Array {
  const section = elf.sections.find(({ name }) => name === wanted);
  return section ? elf.contents(section) : Buffer.from('no such section');
}

function expectOurs(error: unknown): undefined {
  expect(error).toBeInstanceOf(FormatError);
  return undefined;
}

describe('ElfFile', () => {
  it.each(KINDS)('reads $bits bit, big-endian: $bigEndian', (kind) => {
    const elf = new ElfFile(buildModule({ ...SPEC, ...kind }), 'x.ko');
    expect({ is64: elf.is64, littleEndian: elf.littleEndian, type: elf.type, machine: elf.machine })
      .toEqual({ is64: kind.bits === 64, littleEndian: !kind.bigEndian, type: 1, machine: 62 });
    expect(elf.sections.map(({ name }) => name))
      .toEqual(['', '__kcrctab', '.modinfo', '__ksymtab_strings', '__versions', '.strtab', '.symtab', '.shstrtab']);
    expect([...elf.symbols()].map(({ name, shndx, bind, value }) => [name, shndx, bind, value])).toEqual([
      ['__crc_absolute', 0xfff1, 1, 0x12345678], ['__crc_relative', 1, 1, 0], ['printk', 0, 1, 0], ['maybe', 0, 2, 0],
    ]);
    expect(Buffer.from(contentsOf(elf, '.modinfo')).toString('latin1')).toBe('license=GPL\0alias=pci:v00008086d*\0softdep=pre: a\0');
    expect(elf.section('.nosuch')).toBe(undefined);
  });

  it('counts sections and finds their names where the header has no room for the numbers', () => {
    const bytes = buildModule(SPEC);
    const count = bytes.readUInt16LE(60);
    const names = bytes.readUInt16LE(62);
    const headers = Number(bytes.readBigUInt64LE(40));
    bytes.writeUInt16LE(0, 60);
    bytes.writeUInt16LE(0xffff, 62);
    bytes.writeBigUInt64LE(BigInt(count), headers + 32);
    bytes.writeUInt32LE(names, headers + 40);
    expect(modinfoStrings(new ElfFile(bytes, 'x.ko'))).toEqual(SPEC.modinfo);
  });

  it('resolves section indexes of symbols that do not fit', () => {
    const table = Buffer.alloc(5 * 4);
    table.writeUInt32LE(1, 2 * 4);
    const bytes = buildModule({ ...SPEC, sections: [{ name: '.symtab_shndx', type: 18, data: table }] });
    const symtab = new ElfFile(bytes, 'x.ko').symbolTable();
    bytes.writeUInt16LE(0xffff, (symtab?.first ?? 0) + 24 + 6);
    expect([...new ElfFile(bytes, 'x.ko').symbols()].map(({ shndx }) => shndx)).toEqual([0xfff1, 1, 0, 0]);
  });

  it('takes NOBITS for empty, and a section outside of the file for absent', () => {
    const bss = { name: '.bss', type: 8, data: Buffer.alloc(0), size: 4 };
    const outside = { name: '.far', data: Buffer.alloc(0), size: 1 << 20 };
    const elf = new ElfFile(buildModule({ ...SPEC, sections: [bss, outside] }), 'x.ko');
    expect(contentsOf(elf, '.bss').length).toBe(0);
    expect(elf.section('.far')).toBe(undefined);
    expect(() => contentsOf(elf, '.far')).toThrow(FormatError);
  });

  it('asks for what it looks at, where the bytes are read piece by piece', () => {
    const whole = buildModule(SPEC);
    const lazy = Buffer.alloc(whole.length, 0xaa);
    const elf = new ElfFile(lazy, 'x.ko', (start, end) => whole.copy(lazy, start, start, end));
    expect([exportedSymbols(elf), neededSymbols(elf), modinfoStrings(elf)])
      .toEqual([exportedSymbols, neededSymbols, modinfoStrings].map((read) => read(new ElfFile(whole, 'x.ko'))));
  });

  it.each(KINDS)('throws FormatError or answers, at every truncation ($bits bit, $bigEndian)', (kind) => {
    const bytes = buildModule({ ...SPEC, ...kind });
    for (let length = 0; length < bytes.length; length++) {
      try {
        everything(bytes.subarray(0, length));
      } catch (error) {
        expectOurs(error);
      }
    }
  });

  it.each(KINDS)('throws FormatError or answers, for seeded mutations ($bits bit, $bigEndian)', (kind) => {
    const original = buildModule({ ...SPEC, ...kind });
    const next = random(3);
    for (let round = 0; round < 1000; round++) {
      const bytes = Buffer.from(original);
      for (let i = next(4); i >= 0; i--) bytes[next(bytes.length)] = [0, 255, next(256)][next(3)] ?? 0;
      try {
        everything(bytes);
      } catch (error) {
        expectOurs(error);
      }
    }
  });
});

describe('what a module says of itself', () => {
  it.each(KINDS)('is read in $bits bit, big-endian: $bigEndian', (kind) => {
    const elf = new ElfFile(buildModule({ ...SPEC, ...kind }), 'x.ko');
    expect(modinfoStrings(elf)).toEqual(SPEC.modinfo);
    expect(exportedSymbols(elf)).toEqual([{ name: 'absolute', crc: 0x12345678 }, { name: 'relative', crc: 0xdeadbeef }]);
    expect(neededSymbols(elf)).toEqual([
      { name: 'printk', crc: 0xfffffff0, weak: false }, { name: 'maybe', crc: 0, weak: true }, { name: 'module_layout', crc: 1, weak: false },
    ]);
    expect(modversions(elf)).toEqual(SPEC.versions);
  });

  it('takes the strings of the symbol table section where there are no CRCs', () => {
    const elf = new ElfFile(buildModule({ exports: [{ name: 'a' }, { name: 'b' }] }), 'x.ko');
    expect(exportedSymbols(elf)).toEqual([{ name: 'a', crc: 0 }, { name: 'b', crc: 0 }]);
  });

  it('reads extended versions, whose names may be long', () => {
    const name = '_RNvMs2_NtCs1234567890abcdef_6kernel5printk_a_name_that_does_not_fit_in_56_bytes';
    const elf = new ElfFile(buildModule({ needs: [{ name }], extendedVersions: [{ name: 'module_layout', crc: 3 }, { name, crc: 4 }] }), 'x.ko');
    expect(modversions(elf)).toEqual([{ name: 'module_layout', crc: 3 }, { name, crc: 4 }]);
    expect(neededSymbols(elf)).toEqual([{ name, crc: 4, weak: false }, { name: 'module_layout', crc: 3, weak: false }]);
  });

  it('leaves out the registers that SPARC has among its symbols', () => {
    const needs = [{ name: 'register', type: 13 }, { name: 'real' }];
    expect(neededSymbols(new ElfFile(buildModule({ machine: 43, needs }), 'x.ko'))).toEqual([{ name: 'real', crc: 0, weak: false }]);
    expect(neededSymbols(new ElfFile(buildModule({ machine: 62, needs }), 'x.ko')).length).toBe(2);
  });

  it('has NO_CRC for a CRC that lies outside of its section', () => {
    const elf = new ElfFile(buildModule({ exports: [{ name: 'x', crc: 1, relative: true }], without: ['__kcrctab'] }), 'x.ko');
    // Section 1 is .modinfo now, and empty.
    expect(exportedSymbols(elf)).toEqual([{ name: 'x', crc: NO_CRC }]);
  });

  it('has no namespaces where no symbol has one', () => {
    expect(symbolNamespaces(new ElfFile(buildModule(SPEC), 'x.ko'))).toEqual(new Map());
  });
});

describe('FactsEncoder', () => {
  it('keeps aliases, softdeps, weakdeps and symbols, for one module after the other', () => {
    const encoder = new FactsEncoder();
    const first = factsOf(encoder.encode(new ElfFile(buildModule(SPEC), 'x.ko')), 'x.ko');
    const second = factsOf(encoder.encode(new ElfFile(buildModule({ modinfo: ['weakdep=a b', 'alias', 'aliasx=1', 'alias=devname:x'] }), 'y.ko')), 'y.ko');
    const names = (facts: typeof first, which: 'exports' | 'needs') => {
      const list: string[] = [];
      facts[which](({ start, length, crc, weak }) => list.push(`${Buffer.from(facts.bytes.subarray(start, start + length)).toString('latin1')} ${crc} ${weak}`));
      return list;
    };
    expect([names(first, 'exports'), names(first, 'needs'), first.values('alias'), first.values('softdep'), first.values('weakdep'), first.hasDevname]).toEqual([
      ['absolute 305419896 false', 'relative 3735928559 false'], ['printk 4294967280 false', 'maybe 0 true', 'module_layout 1 false'],
      ['pci:v00008086d*'], ['pre: a'], [], false,
    ]);
    expect([names(second, 'needs'), second.values('alias'), second.values('weakdep'), second.hasDevname]).toEqual([[], ['', 'devname:x'], ['a b'], true]);
    expect(first.record.length + second.record.length).toBeLessThan(1000);
  });

  it('has other digests where something else is kept', () => {
    const digests = (spec: ModuleSpec) => {
      const facts = factsOf(new FactsEncoder().encode(new ElfFile(buildModule(spec), 'x.ko')), 'x.ko');
      return [facts.infoDigest, facts.exportDigest, facts.needDigest];
    };
    const [info, exports, needs] = digests(SPEC);
    expect(digests({ ...SPEC, modinfo: [...SPEC.modinfo ?? [], 'srcversion=1'] })).toEqual([info, exports, needs]);
    expect(digests({ ...SPEC, modinfo: [...SPEC.modinfo ?? [], 'alias=1'] })).toEqual([expect.not.toBeOneOf([info]), exports, needs]);
    expect(digests({ ...SPEC, exports: [...SPEC.exports ?? [], { name: 'z', crc: 1 }] })).toEqual([info, expect.not.toBeOneOf([exports]), needs]);
    expect(digests({ ...SPEC, needs: [...SPEC.needs ?? [], { name: 'z' }] })).toEqual([info, exports, expect.not.toBeOneOf([needs])]);
  });
});
