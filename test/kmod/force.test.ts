// Copies of modules that load where their versions forbid it.

import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { ElfFile } from '../../src/kmod/elf.ts';
import { forceImage } from '../../src/kmod/force.ts';
import { parseModuleInfo } from '../../src/kmod/modinfo.ts';
import { buildModule } from './elf-builder.ts';
import { cms, signed } from './signed-module.ts';

const SHF_ALLOC = 2;

/** A module whose sections are all loaded. */
function module(bits: 32 | 64, bigEndian: boolean): Buffer {
  const image = buildModule({
    bits, bigEndian, modinfo: ['license=GPL', 'vermagic=6.1 SMP ', 'srcversion=1'], versions: [{ name: 'printk', crc: 7 }],
    extendedVersions: [{ name: 'printk', crc: 7 }],
  });
  const { view, sections } = new ElfFile(image, 'x.ko');
  const headers = bits === 64 ? Number(view.getBigUint64(40, !bigEndian)) : view.getUint32(32, !bigEndian);
  const size = bits === 64 ? 64 : 40;
  sections.forEach((_, index) => {
    const at = headers + index * size + 8;
    if (bits === 64) view.setBigUint64(at, BigInt(SHF_ALLOC | 1), !bigEndian);
    else view.setUint32(at, SHF_ALLOC | 1, !bigEndian);
  });
  return image;
}

const flagsOf = (image: Uint8Array) => Object.fromEntries(new ElfFile(image, 'x.ko').sections.map(({ name, flags }) => [name, flags]));

describe.each([[32, true], [32, false], [64, true], [64, false]] as const)('forceImage of %i bit, big endian: %s', (bits, bigEndian) => {
  const image = module(bits, bigEndian);

  it('hides the versions of symbols, in all their forms', () => {
    const forced = forceImage(image, { modversions: true, vermagic: false }, 'x.ko');
    expect(flagsOf(forced)).toEqual({ ...flagsOf(image), __versions: 1, __version_ext_crcs: 1, __version_ext_names: 1 });
    expect(parseModuleInfo(forced, 'x.ko')).toEqual(parseModuleInfo(image, 'x.ko'));
  });

  it('blanks vermagic and nothing else', () => {
    const forced = forceImage(image, { modversions: false, vermagic: true }, 'x.ko');
    expect(parseModuleInfo(forced, 'x.ko')?.entries).toEqual([{ key: 'license', value: 'GPL' }, { key: 'srcversion', value: '1' }]);
    expect(flagsOf(forced)).toEqual(flagsOf(image));
    expect(forced.length).toBe(image.length);
  });
});

describe('forceImage', () => {
  it('leaves the original alone and drops the signature', () => {
    const image = module(64, false);
    const original = signed(image, cms());
    const before = Buffer.from(original);
    const forced = forceImage(original, { modversions: true, vermagic: true }, 'x.ko');
    expect([forced.length, original.equals(before)]).toEqual([image.length, true]);
  });

  it('takes a module without either', () => {
    const image = buildModule({ without: ['.modinfo'] });
    expect(Buffer.from(forceImage(image, { modversions: true, vermagic: true }, 'x.ko')).equals(image)).toBe(true);
  });

  it('refuses what is no module', () => {
    expect(() => forceImage(Buffer.from('text, and more of it'), { modversions: true, vermagic: true }, 'x.ko')).toThrow(FormatError);
  });
});
