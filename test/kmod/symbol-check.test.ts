// Symbols of a module against the modules and the kernel around it.

import { describe, expect, it } from 'vitest';

import { readImageFacts } from '../../src/kmod/image-facts.ts';
import { type KernelSymbols, parseKallsyms } from '../../src/kmod/kernel-symbols.ts';
import { nearNames } from '../../src/kmod/near-names.ts';
import { checkSymbols, symbolProblemText, type SymbolSurroundings } from '../../src/kmod/symbol-check.ts';
import { vermagicProblem } from '../../src/kmod/vermagic.ts';
import { buildModule, type ModuleSpec } from './elf-builder.ts';

const facts = (spec: ModuleSpec) => readImageFacts(buildModule(spec), 'm.ko');
const NOTHING_KNOWN: KernelSymbols = { exports: () => undefined, symbol: () => undefined };

function around(options: Partial<SymbolSurroundings> & { readonly modules?: Readonly<Record<string, ModuleSpec>> } = {}): SymbolSurroundings {
  const { modules = {}, ...rest } = options;
  return {
    exporters: (symbol) => Object.keys(modules).filter((name) => modules[name]?.exports?.some((each) => each.name === symbol)),
    facts: (module) => (modules[module] ? facts(modules[module]) : undefined),
    isLoaded: () => false, isListed: () => false, kernel: NOTHING_KNOWN, witness: undefined, ...rest,
  };
}

describe('checkSymbols', () => {
  const lib = { exports: [{ name: 'lib_do', crc: 7 }] };

  it('finds nothing where all is there', () => {
    const module = facts({ needs: [{ name: 'lib_do' }, { name: '_printk' }, { name: '_GLOBAL_OFFSET_TABLE_' }], versions: [{ name: 'lib_do', crc: 7 }, { name: 'module_layout', crc: 1 }] });
    const kernel: KernelSymbols = { exports: (symbol) => symbol === '_printk', symbol: () => undefined };
    expect(checkSymbols('m', module, around({ modules: { lib }, isLoaded: (name) => name === 'lib', kernel }))).toEqual([]);
  });

  it('names a symbol that nobody exports, unless it is weak or nothing tells', () => {
    const module = facts({ needs: [{ name: 'gone' }, { name: 'optional', weak: true }] });
    const kernel: KernelSymbols = { exports: () => false, symbol: () => undefined };
    expect(checkSymbols('m', module, around({ kernel }))).toEqual([{ kind: 'missing', symbol: 'gone' }]);
    expect(checkSymbols('m', module, around())).toEqual([]);
  });

  it('names the module that would have a symbol, and whether modules.dep knows', () => {
    const module = facts({ needs: [{ name: 'lib_do' }] });
    expect(checkSymbols('m', module, around({ modules: { lib } }))).toEqual([{ kind: 'unloaded', symbol: 'lib_do', exporter: 'lib', listed: false }]);
    expect(checkSymbols('m', module, around({ modules: { lib, other: lib }, isListed: (name) => name === 'other' })))
      .toEqual([{ kind: 'unloaded', symbol: 'lib_do', exporter: 'other', listed: true }]);
  });

  it('compares versions with those of the exporting module, of the build, and of a module that the kernel takes', () => {
    const module = facts({ needs: [{ name: 'lib_do' }, { name: '_printk' }], versions: [{ name: 'lib_do', crc: 8 }, { name: '_printk', crc: 3 }, { name: 'module_layout', crc: 1 }] });
    const loaded = { modules: { lib }, isLoaded: () => true };
    const kernel: KernelSymbols = { exports: () => true, symbol: (symbol) => (symbol === '_printk' ? { crc: 4, namespace: '' } : undefined) };
    const ofLib = { kind: 'mismatch', symbol: 'lib_do', exporter: 'lib', needed: 8, found: 7 };
    expect(checkSymbols('m', module, around({ ...loaded, kernel }))).toEqual([ofLib, { kind: 'mismatch', symbol: '_printk', needed: 3, found: 4 }]);
    const witness = { module: 'w', facts: facts({ needs: [], versions: [{ name: 'module_layout', crc: 2 }] }) };
    expect(checkSymbols('m', module, around({ ...loaded, witness }))).toEqual([ofLib, { kind: 'mismatch', symbol: 'module_layout', needed: 1, found: 2, witness: 'w' }]);
  });

  it('compares nothing where one side has no versions', () => {
    const module = facts({ needs: [{ name: 'lib_do' }] });
    expect(checkSymbols('m', module, around({ modules: { lib }, isLoaded: () => true }))).toEqual([]);
  });

  it('asks for the import of a namespace, but not of those made for the module', () => {
    const kernelWith = (namespace: string): KernelSymbols => ({ exports: () => true, symbol: () => ({ crc: 0, namespace }) });
    const check = (namespace: string, modinfo: readonly string[] = []) => checkSymbols('snd_x', facts({ needs: [{ name: 's' }], modinfo }), around({ kernel: kernelWith(namespace) }));
    expect(check('NS')).toEqual([{ kind: 'namespace', symbol: 's', namespace: 'NS' }]);
    expect(check('NS', ['import_ns=NS'])).toEqual([]);
    expect([check('module:snd-x'), check('module:a,snd-*')]).toEqual([[], []]);
    expect(check('module:snd')).toEqual([{ kind: 'namespace', symbol: 's', namespace: 'module:snd' }]);
  });

  it('asks for the import of another module\'s namespace too', () => {
    const exporter = { ...facts(lib), namespaces: new Map([['lib_do', 'LIB']]) };
    const there = around({ modules: { lib }, isLoaded: () => true, facts: () => exporter });
    expect(checkSymbols('m', facts({ needs: [{ name: 'lib_do' }] }), there)).toEqual([{ kind: 'namespace', symbol: 'lib_do', exporter: 'lib', namespace: 'LIB' }]);
    expect(checkSymbols('m', facts({ needs: [{ name: 'lib_do' }], modinfo: ['import_ns=LIB'] }), there)).toEqual([]);
  });
});

describe('symbolProblemText', () => {
  it.each([
    [{ kind: 'missing', symbol: 's' }, 'symbol s: neither the kernel nor any module exports it'],
    [{ kind: 'unloaded', symbol: 's', exporter: 'e', listed: true }, 'symbol s: e exports it and is not loaded'],
    [{ kind: 'unloaded', symbol: 's', exporter: 'e', listed: false }, 'symbol s: e exports it and is not loaded; modules.dep does not say that it is needed'],
    [{ kind: 'mismatch', symbol: 's', needed: 1, found: 0xabcdef01 }, 'symbol s: needed in version 0x00000001, exported by the kernel in version 0xabcdef01'],
    [{ kind: 'mismatch', symbol: 's', needed: 1, found: 2, witness: 'w' }, 'symbol s: needed in version 0x00000001, exported by the kernel in version 0x00000002, as w needs it'],
    [{ kind: 'namespace', symbol: 's', exporter: 'e', namespace: 'NS' }, 'symbol s: e exports it in the namespace NS, which the module does not import'],
  ] as const)('says of %j: %s', (problem, text) => expect(symbolProblemText(problem)).toBe(text));
});

describe('parseKallsyms', () => {
  const wanted = new Set(['a', 'b', 'c']);

  it('finds the kernel\'s names, and not those of modules', () => {
    expect(parseKallsyms('0 T a\n0 t b\t[mod]\nffff D x\n\nbad\n0 T', wanted)).toEqual({ found: new Set(['a']), exportsListed: false, complete: false });
  });

  it('counts exports only where they are listed', () => {
    expect(parseKallsyms('0 T a\n0 T b\n0 r __ksymtab_b\n', wanted)).toEqual({ found: new Set(['b']), exportsListed: true, complete: true });
  });

  it('takes a list with many variables for complete', () => {
    expect(parseKallsyms('0 d v\n'.repeat(1000), wanted).complete).toBe(true);
  });
});

describe('vermagicProblem', () => {
  const of = (vermagic: string, spec: ModuleSpec = {}) => facts({ modinfo: [`vermagic=${vermagic}`], ...spec });
  const witness = (vermagic: string) => ({ module: 'w', facts: of(vermagic) });

  it('lets the release differ where symbols have versions, as the kernel does', () => {
    expect(vermagicProblem(of('6.1 SMP modversions '), witness('6.2 SMP modversions '), '6.2')).toBeUndefined();
    expect(vermagicProblem(of('6.1 SMP '), witness('6.2 SMP '), '6.2')).toBe('built for kernel 6.1, not for 6.2');
    expect(vermagicProblem(of('6.1 SMP '), undefined, '6.2')).toBe('built for kernel 6.1, not for 6.2');
  });

  it('names other flags, and another machine', () => {
    expect(vermagicProblem(of('6.1 SMP '), witness('6.1 SMP preempt '), '6.1')).toBe("built with vermagic '6.1 SMP', where w has '6.1 SMP preempt'");
    expect(vermagicProblem(of('6.1 ', { machine: 40, bits: 32 }), witness('6.1 '), '6.1')).toBe('built for another machine: ELF machine 40 of 32 bits, where w has 62 of 64');
  });
});

describe('nearNames', () => {
  it('lists the nearest first, and nothing far', () => {
    expect(nearNames('e100e', ['e1000e', 'e1000', 'e100', 'xfs', 'e100'])).toEqual(['e100', 'e1000', 'e1000e']);
    expect(nearNames('a'.repeat(65), ['a'.repeat(65)])).toEqual([]);
  });
});
