// What modules say of themselves: the entries, parameters, build ids and what is made of damaged ones.

import { describe, expect, it } from 'vitest';

import { FormatError, LimitError } from '../../src/errors.ts';
import { MAX_MODINFO_SIZE, parseBuiltinInfo, parseModuleInfo } from '../../src/kmod/modinfo.ts';
import { random } from '../random.ts';
import { buildModule } from './elf-builder.ts';
import { cms, signed } from './signed-module.ts';

const note = (...words: (number | string)[]) => Buffer.concat(words.map((word) => {
  if (typeof word === 'string') return Buffer.from(word);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(word);
  return bytes;
}));

describe('parseModuleInfo', () => {
  it('gives entries in file order, parameters merged, build id and signature', () => {
    const image = signed(buildModule({
      modinfo: ['license=GPL', 'parmtype=a:int', 'parm=a:The a', 'alias=x=y', 'parm=b:The b', 'noequals', 'parmtype=c:bool', 'parm=bad'],
      sections: [{ name: '.note.gnu.build-id', type: 7, data: note(4, 3, 3, 'GNU\0', 'id!\0') }],
    }), cms());
    expect(parseModuleInfo(image, 'x.ko')).toEqual({
      entries: [
        { key: 'license', value: 'GPL' }, { key: 'parmtype', value: 'a:int' }, { key: 'parm', value: 'a:The a' }, { key: 'alias', value: 'x=y' },
        { key: 'parm', value: 'b:The b' }, { key: 'noequals', value: '' }, { key: 'parmtype', value: 'c:bool' }, { key: 'parm', value: 'bad' },
      ],
      parameters: [{ name: 'a', type: 'int', description: 'The a' }, { name: 'b', description: 'The b' }, { name: 'c', type: 'bool' }],
      badParameters: [{ key: 'parm', value: 'bad' }],
      buildId: Uint8Array.from(Buffer.from('id!')),
      signature: expect.objectContaining({ signer: 'Test key' }),
    });
  });

  it.each([[32, true], [32, false], [64, true]] as const)('reads %i bit, big endian: %s', (bits, bigEndian) => {
    expect(parseModuleInfo(buildModule({ bits, bigEndian, modinfo: ['a=b'] }), 'x.ko')?.entries).toEqual([{ key: 'a', value: 'b' }]);
  });

  it('takes padding for nothing, and has nothing of a file without .modinfo', () => {
    expect(parseModuleInfo(buildModule({ modinfo: ['', '', 'a=1', '', 'b=2'] }), 'x.ko')?.entries).toEqual([{ key: 'a', value: '1' }, { key: 'b', value: '2' }]);
    expect(parseModuleInfo(buildModule({ modinfo: [] }), 'x.ko')?.entries).toEqual([]);
    expect(parseModuleInfo(buildModule({ without: ['.modinfo'] }), 'x.ko')).toBeUndefined();
  });

  it('reads UTF-8, and bytes that are none as latin1', () => {
    const entry = (text: string) => parseModuleInfo(buildModule({ modinfo: [text] }), 'x.ko')?.entries[0]?.value;
    expect([entry(`author=${Buffer.from('Jürgen').toString('latin1')}`), entry('author=J\xfcrgen')]).toEqual(['Jürgen', 'Jürgen']);
  });

  it('has no build id where the note is damaged or another', () => {
    const idOf = (data: Uint8Array) => parseModuleInfo(buildModule({ sections: [{ name: '.note.gnu.build-id', data }] }), 'x.ko')?.buildId;
    expect([note(4, 0xffffffff, 3, 'GNU\0'), note(0xfffffff0, 4, 3, 'GNU\0'), note(4, 4), note(6, 1, 1, 'Linux\0\0\0', 'x\0\0\0'), Buffer.alloc(0)].map(idOf))
      .toEqual([undefined, undefined, undefined, undefined, undefined]);
    expect(idOf(note(6, 1, 1, 'Linux\0\0\0', 'x\0\0\0', 4, 1, 3, 'GNU\0', 'z\0\0\0'))).toEqual(Uint8Array.from([0x7a]));
  });

  it('throws for what is no module, and for too much', () => {
    expect(() => parseModuleInfo(Buffer.from('abc'), 'x.ko')).toThrow(FormatError);
    expect(() => parseModuleInfo(Buffer.from('not a module at all'), 'x.ko')).toThrow(FormatError);
    expect(() => parseModuleInfo(buildModule({ modinfo: ['x'.repeat(MAX_MODINFO_SIZE)] }), 'x.ko')).toThrow(LimitError);
  });

  it('throws nothing but FormatError for truncations and mutations', () => {
    const image = signed(buildModule({ modinfo: ['license=GPL', 'parm=a:b'], sections: [{ name: '.note.gnu.build-id', data: note(4, 4, 3, 'GNU\0', 'abcd') }] }), cms());
    const next = random(5);
    const probe = (bytes: Uint8Array) => {
      try {
        parseModuleInfo(bytes, 'x.ko');
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    };
    for (let length = 0; length < image.length; length++) probe(image.subarray(0, length));
    for (let round = 0; round < 3000; round++) {
      const mutated = Buffer.from(image);
      for (let i = next(4); i >= 0; i--) mutated[next(mutated.length)] = next(256);
      probe(mutated);
    }
  });
});

describe('parseBuiltinInfo', () => {
  const list = Buffer.from('ab.license=MIT\0a.license=GPL\0a.parm=x:An x\0a.parmtype=x:int\0b.license=BSD\0a.alias=late\0odd\0');

  it('gives the entries of the module that stand together', () => {
    expect(parseBuiltinInfo(list, 'a', 'modules.builtin.modinfo')).toEqual({
      entries: [{ key: 'license', value: 'GPL' }, { key: 'parm', value: 'x:An x' }, { key: 'parmtype', value: 'x:int' }],
      parameters: [{ name: 'x', description: 'An x', type: 'int' }], badParameters: [], buildId: undefined, signature: undefined,
    });
  });

  it('gives nothing for a module that is not there', () => {
    expect(parseBuiltinInfo(list, 'c', 'modules.builtin.modinfo').entries).toEqual([]);
    expect(parseBuiltinInfo(Buffer.from('a.x=1'), 'a', 'modules.builtin.modinfo').entries).toEqual([{ key: 'x', value: '1' }]);
  });
});
