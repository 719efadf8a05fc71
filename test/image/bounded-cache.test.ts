import { describe, expect, it } from 'vitest';

import { BoundedCache } from '../../src/image/bounded-cache.ts';

describe('BoundedCache', () => {
  it('keeps what was used last, up to its limit', () => {
    const made: number[] = [];
    const cache = new BoundedCache<string>({ limit: 6, weightOf: (value) => value.length });
    const get = (key: number, value: string) => cache.get(key, () => { made.push(key); return value; });
    get(1, 'aa');
    get(2, 'bb');
    get(3, 'cc');
    get(1, 'aa');
    get(4, 'dd');
    expect([get(1, ''), get(3, ''), get(4, ''), get(2, 'new')]).toEqual(['aa', 'cc', 'dd', 'new']);
    expect(made).toEqual([1, 2, 3, 4, 2]);
  });

  it('gives what is too large for it, and does not keep what throws', () => {
    const cache = new BoundedCache<string>({ limit: 1, weightOf: (value) => value.length });
    expect(() => cache.get(1, () => { throw new Error('bad'); })).toThrow('bad');
    expect([cache.get(1, () => 'large'), cache.get(1, () => 'again')]).toEqual(['large', 'again']);
  });
});
