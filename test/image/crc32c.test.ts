import { describe, expect, it } from 'vitest';

import { crc32c } from '../../src/image/crc32c.ts';

describe('crc32c', () => {
  it('gives the sums of RFC 3720, B.4, which inverts before and after', () => {
    const sum = (bytes: Uint8Array) => ~crc32c(~0, bytes) >>> 0;
    expect([sum(Buffer.alloc(32)), sum(Buffer.alloc(32, 0xff)), sum(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))])
      .toEqual([0x8a9136aa, 0x62a8ab43, 0x46dd794e]);
  });

  it('goes on from what came before', () => {
    expect(crc32c(crc32c(~0, Buffer.from('1234')), Buffer.from('56789'))).toBe(crc32c(~0, Buffer.from('123456789')));
  });
});
