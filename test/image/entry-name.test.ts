import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { compareNames, decodeName, encodeName } from '../../src/image/entry-name.ts';
import { random } from '../random.ts';

const NAMES = [[0x61], [0xc3, 0xa9], [0xe9], [0xff, 0x61], [0xf0, 0x9f, 0x98, 0x80], [0xef, 0xbf, 0xbd], [0xed, 0xb3, 0xbf], [0xc3, 0xa9, 0x80], [0xef, 0xbb, 0xbf, 0x61]].map((bytes) => Buffer.from(bytes));

describe('decodeName', () => {
  it('says each name in its own way, so that encodeName gives the bytes back', () => {
    const below = random(1);
    const names = [...NAMES, ...Array.from({ length: 500 }, () => Buffer.from(Array.from({ length: 1 + below(6) }, () => 0x30 + below(0xd0))))];
    const decoded = names.map((name) => decodeName(name, 'image', 0));
    expect(decoded.map((name) => encodeName(name))).toEqual(names);
    expect(decoded.slice(0, 4)).toEqual(['a', 'é', '\udce9', '\udcffa']);
  });

  it.each(['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)])('refuses %j', (name) => {
    expect(() => decodeName(Buffer.from(name), 'image', 5)).toThrow(FormatError);
  });
});

describe('compareNames', () => {
  it('orders as the bytes are', () => {
    const below = random(2);
    const names = [...NAMES, Buffer.from('ab'), ...Array.from({ length: 60 }, () => Buffer.from(Array.from({ length: 1 + below(3) }, () => 0x30 + below(0xd0))))];
    const sorted = names.toSorted(Buffer.compare).map((name) => decodeName(name, 'image', 0));
    expect(names.map((name) => decodeName(name, 'image', 0)).sort(compareNames)).toEqual(sorted);
  });
});
