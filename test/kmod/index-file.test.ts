import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { fnmatch } from '../../src/kmod/alias.ts';
import { buildIndex } from '../../src/kmod/index-build.ts';
import { type IndexEntry, IndexFile } from '../../src/kmod/index-file.ts';
import { random } from '../random.ts';

const ENTRIES: readonly IndexEntry[] = [
  { key: 'pci:v00008086d000010D3sv*sd*bc*sc*i*', value: 'e1000e', priority: 3 },
  { key: 'pci:v00008086d*', value: 'generic', priority: 1 },
  { key: 'pci:v0000[89]086d000010D3*', value: 'range', priority: 2 },
  { key: 'fs_xfs', value: 'xfs', priority: 5 },
  { key: 'fs_xfs', value: 'xfs_other', priority: 5 },
  { key: 'acpi*:PNP0C0C:*', value: 'button', priority: 7 },
  { key: '?s_xfs', value: 'question', priority: 6 },
  { key: 'fs', value: 'short', priority: 9 },
];

const open = (entries: readonly IndexEntry[]) => new IndexFile(buildIndex(entries).bytes, 'test.bin');

describe('IndexFile.search', () => {
  it('finds the values of exactly that key', () => {
    const index = open(ENTRIES);
    expect(index.search('fs')).toEqual([ENTRIES[7]]);
    expect(index.search('fs_xf')).toEqual([]);
    expect(index.search('fs_xfsx')).toEqual([]);
    expect(index.search('')).toEqual([]);
  });
});

describe('IndexFile.searchWild', () => {
  it('finds all patterns that match, by priority, with the pattern', () => {
    const index = open(ENTRIES);
    expect(index.searchWild('pci:v00008086d000010D3sv1sd2bc02sc00i00')).toEqual([ENTRIES[1], ENTRIES[2], ENTRIES[0]]);
    expect(index.searchWild('acpi:X:PNP0C0C:')).toEqual([ENTRIES[5]]);
    expect(index.searchWild('fs_xfs').map((entry) => entry.value)).toEqual(['xfs', 'xfs_other', 'question']);
    expect(index.searchWild('nothing')).toEqual([]);
  });

  it('agrees with fnmatch over every entry, for random patterns and keys', () => {
    const next = random(11);
    const letters = 'ab*?[]-x';
    const word = (alphabet: string, length: number) => Array.from({ length }, () => alphabet[next(alphabet.length)]).join('');
    for (let round = 0; round < 200; round++) {
      const patterns = Array.from({ length: 30 }, (_, priority) => ({ key: word(letters, 1 + next(7)), value: `m${priority}`, priority }))
        .filter(({ key }) => /^(?:[^[\]]|\[[^[\]]+\])*$/.test(key));
      const index = open(patterns);
      for (let probe = 0; probe < 30; probe++) {
        const key = word('abx-', next(8));
        const expected = patterns.filter((pattern) => fnmatch(pattern.key, key)).map((pattern) => pattern.value);
        expect({ key, found: index.searchWild(key).map((entry) => entry.value) }).toEqual({ key, found: expected });
      }
    }
  });
});

describe('IndexFile.entries', () => {
  it('lists what was put in', () => {
    const sorted = [...open(ENTRIES).entries()].map((entry) => entry.value).sort();
    expect(sorted).toEqual(ENTRIES.map((entry) => entry.value).sort());
  });

  it('is empty for an empty index', () => {
    expect([...open([]).entries()]).toEqual([]);
  });
});

describe('a damaged index', () => {
  it('is refused by its magic or version', () => {
    const bytes = buildIndex(ENTRIES).bytes;
    expect(() => new IndexFile(Buffer.from('not an index'), 'x.bin'))
      .toThrow('x.bin: at offset 0: expected the index magic b007f457, found 6e6f7420');
    const newer = Buffer.from(bytes);
    newer[5] = 3;
    expect(() => new IndexFile(newer, 'x.bin')).toThrow('x.bin: at offset 4: expected index version 2.x, found 3.1');
  });

  it('throws FormatError or answers, at every truncation and for seeded mutations', () => {
    const bytes = buildIndex(ENTRIES).bytes;
    const tryAll = (damaged: Uint8Array) => {
      try {
        const index = new IndexFile(damaged, 'x.bin');
        index.search('fs_xfs');
        index.searchWild('pci:v00008086d000010D3sv1sd2bc02sc00i00');
        return [...index.entries()].length;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        return 0;
      }
    };
    for (let length = 0; length < bytes.length; length++) tryAll(bytes.subarray(0, length));
    const next = random(5);
    for (let round = 0; round < 5000; round++) {
      const damaged = Buffer.from(bytes);
      for (let i = 0; i <= next(3); i++) damaged[12 + next(damaged.length - 12)] = next(256);
      expect(tryAll(damaged)).toBeLessThan(1e6);
    }
  });

  it('does not follow nodes in a circle for ever', () => {
    const bytes = Buffer.alloc(12 + 2 + 4);
    bytes.writeUInt32BE(0xb007f457, 0);
    bytes.writeUInt32BE(0x00020001, 4);
    const self = (0x20000000 | 12) >>> 0;
    bytes.writeUInt32BE(self, 8);
    bytes[12] = bytes[13] = '*'.charCodeAt(0);
    bytes.writeUInt32BE(self, 14);
    expect(() => new IndexFile(bytes, 'x.bin').searchWild('aaa')).toThrow(FormatError);
    expect(() => [...new IndexFile(bytes, 'x.bin').entries()]).toThrow(FormatError);
  });
});
