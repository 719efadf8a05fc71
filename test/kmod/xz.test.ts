import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { FormatError, LimitError, UnsupportedError } from '../../src/errors.ts';
import { FactsReader } from '../../src/kmod/facts-reader.ts';
import { ImageReader } from '../../src/kmod/image-reader.ts';
import { keepsXzClaim, readXzClaim, unxz } from '../../src/kmod/xz.ts';
import { openSystem } from '../../src/system.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { random } from '../random.ts';

const options = { file: 'a.ko.xz', limit: 1 << 20 };

const text = Buffer.from(Array.from({ length: 40 }, (_, i) => `module ${i * i} depends on ${i}\n`).join(''));
/** Machine code of a kind: calls and jumps, near each other and far apart, with operands that the filter takes and leaves. */
const code = Buffer.from(
  Array.from({ length: 600 }, (_, i) => [0xe8, 0x10, i & 255, 0, 0, 0xe9, 255, 255, 255, 255, 0xe8, 0xe8, 0, 1, 0, 255, 0x90, i & 7][i % 18] ?? 0),
);

/** Made with xz 5.4.1. */
const fixtures = {
  // xz -9 --check=crc32
  crc32:
    '/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4APXAMVdADabyLGuEu7tM9F1SCAZ7TzOo6f9WaWnlYOCSkSj+mc/yOvGamRYPCm9HJ/Gi1SmHIZCDu' +
    'FYwjNEDCz28XwEn7HzkX3JEWgfLViXj9aYjE4p/65lz/3yruHJ+XjrL/t+zW1CrLt6kUd10AjQEhm5WvvNbafFTM7MdXjaah8qXsuqsQlzOIwd' +
    'AR9vxNd5K4OqV9mqTzRf3EU5Ngf7sUEh0OVx/Bd8CswZBtQrKR3NhKZsQ6VuvFVqrhSudY2PmYDpuBzyDWAAAAAAAGxm1iAAAd0B2AcAAG91Or' +
    'Y+MA2LAgAAAAABWVo=',
  // xz --check=crc64
  crc64:
    '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4APXAMVdADabyLGuEu7tM9F1SCAZ7TzOo6f9WaWnlYOCSkSj+mc/yOvGamRYPCm9HJ/Gi1SmHIZCDu' +
    'FYwjNEDCz28XwEn7HzkX3JEWgfLViXj9aYjE4p/65lz/3yruHJ+XjrL/t+zW1CrLt6kUd10AjQEhm5WvvNbafFTM7MdXjaah8qXsuqsQlzOIwd' +
    'AR9vxNd5K4OqV9mqTzRf3EU5Ngf7sUEh0OVx/Bd8CswZBtQrKR3NhKZsQ6VuvFVqrhSudY2PmYDpuBzyDWAAAAAAANg044hx57uhAAHhAdgHAA' +
    'C5soLFscRn+wIAAAAABFla',
  // xz --check=sha256
  sha256:
    '/Td6WFoAAArh+wyhAgAhARYAAAB0L+Wj4APXAMVdADabyLGuEu7tM9F1SCAZ7TzOo6f9WaWnlYOCSkSj+mc/yOvGamRYPCm9HJ/Gi1SmHIZCDu' +
    'FYwjNEDCz28XwEn7HzkX3JEWgfLViXj9aYjE4p/65lz/3yruHJ+XjrL/t+zW1CrLt6kUd10AjQEhm5WvvNbafFTM7MdXjaah8qXsuqsQlzOIwd' +
    'AR9vxNd5K4OqV9mqTzRf3EU5Ngf7sUEh0OVx/Bd8CswZBtQrKR3NhKZsQ6VuvFVqrhSudY2PmYDpuBzyDWAAAAAAAGWOQWRfRloCN8SnReIAlo' +
    '2B38T2GoMJ9X07f2j7suXqAAH5AdgHAABPMgcqtunfHAIAAAAAClla',
  // xz --check=none
  none:
    '/Td6WFoAAAD/EtlBAgAhARYAAAB0L+Wj4APXAMVdADabyLGuEu7tM9F1SCAZ7TzOo6f9WaWnlYOCSkSj+mc/yOvGamRYPCm9HJ/Gi1SmHIZCDu' +
    'FYwjNEDCz28XwEn7HzkX3JEWgfLViXj9aYjE4p/65lz/3yruHJ+XjrL/t+zW1CrLt6kUd10AjQEhm5WvvNbafFTM7MdXjaah8qXsuqsQlzOIwd' +
    'AR9vxNd5K4OqV9mqTzRf3EU5Ngf7sUEh0OVx/Bd8CswZBtQrKR3NhKZsQ6VuvFVqrhSudY2PmYDpuBzyDWAAAAAAAAAB2QHYBwAAeTerLagACv' +
    'wCAAAAAABZWg==',
  // xz --check=crc32 --block-size=500
  blocks:
    '/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4AHzAHxdADabyLGuEu7tM9F1SCAZ7TzOo6f9WaWnlYOCSkSj+mc/yOvGamRYPCm9HJ/Gi1SmHIZCDu' +
    'FYwjNEDCz28XwEn7HzkX3JEWgfLViXj9aYjE4p/65lz/3yruHJ+XjrL/t+zW1CrLt6kUd10AjQEhm5WvvNbafFTM7MdLv5rBwAFVaSZgIAIQEW' +
    'AAAAdC/lo+AB4wB8XQAFHEsS313ZYoXZyxlorMVXPrItVKatEeZazmLdjdSqPEVWKf/nGJGVUH/5QTPsGf3rqqDTkpuphLdpN0bhaHfTHvc7Ut' +
    '6lrdPSr/tpnzajkhDbBKoRNb/CTzT84Hw3OF2Uo3VJb4IRr0PCxOOYxQdvwmq6NUvl2D1ND1sAAD+A25UAApQB9AOUAeQDAACAVodWm+NRQAMA' +
    'AAAAAVla',
  // xz --check=crc32 --x86 --lzma2, of the code
  x86:
    '/Td6WFoAAAFpIt42AgEEACEBFgANhjUf4AJXAPpdAHQFPD4Nw2v2nv/XF5A+N0F5EmF0BoAKooK71KXBKpow31U+qYMFE8eq0qS6rfCHoh5bqC' +
    'F/5vrEDTqMkneLx42CxGo99qFRH1/6TGAJlbcsNIexdT1gTbCWRzFiDFgnusrsOV/l+fioxbLXbPCT5OEzjlXHAn/GHDMyswxKDYfpjRtYwOVk' +
    'tpB4Gvj2bz3Vgcibk7RmRJOYXBHGe+DxeCI7LUg+f3G2OJb0MAxLiV14rZSrHp47Ph6XfY5T6VLV6Sx1om8inWZ7lQSNulFdcjxkAvNBRgIzRN' +
    'S+e1eJEdb1aUogsdV+uWL8b1Xt4wzoDTE9KOjj29qQ8nEAAADbEGC4AAGSAtgEAABfCdINPjANiwIAAAAAAVla',
  // xz --check=crc32 --delta --lzma2
  delta:
    '/Td6WFoAAAFpIt42AgEDAQAhARZ5IMTu4APXAR1dADaAmqwPNYBdlRaYQCgghbzz03U122MUUspK4RQkmjl3M6644pRygYZ3jZod2oin8vVKUT' +
    'E4Ki0aYuLC+nTX2a/peTKGYJerNZPNMnnpgolkGrPewpPPnlQejFm9EsFev9+uCIYunXqtl1bu5awokok6wI9G1uFz7jGLnsS9rWE50b0R40wU' +
    'sxo7VfduHxUszBKZqFlaM0DaH9pKohrqoNgdTG4WNyMfh7T73UmZCD5No1wxg0PSq0TzT2FvN+b8XrjZ4o+JHdq2LRDRu6SIsgX9Cnqoyrh2xS' +
    'IBs5eUcUHMLv0KKzEDhvib0U/i7HLlEyXnJVQzr2NN6RLJZWN6uGGQRoZ33k/498+y8+DloOLCwooUmDyMCNpKnQXE8gAAAABsZtYgAAG1AtgH' +
    'AACIgj0VPjANiwIAAAAAAVla',
} as const;

const fixture = (name: keyof typeof fixtures) => Buffer.from(fixtures[name], 'base64');

describe('readXzClaim and keepsXzClaim', () => {
  it('tell of the CRC32 of each block, and whether contents have it', () => {
    const file = Buffer.concat([fixture('crc32'), fixture('crc32')]);
    const claim = readXzClaim(file, options);
    expect(claim).toEqual({ size: 2 * text.length, crc32s: Array.from({ length: 2 }, () => ({ size: text.length, crc32: crc32(text) })) });
    const contents = Buffer.concat([text, text]);
    expect(keepsXzClaim(contents, claim)).toBe(true);
    for (const at of [0, text.length - 1, text.length, 2 * text.length - 1]) {
      const changed = Buffer.from(contents);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(keepsXzClaim(changed, claim)).toBe(false);
    }
  });

  it('have nothing to compare where a block has another check', () => {
    for (const name of ['crc64', 'sha256', 'none'] as const) expect(readXzClaim(fixture(name), options)).toEqual({ size: text.length, crc32s: undefined });
  });
});

describe('FactsReader and ImageReader', () => {
  it('take contents with the CRC32 that the file claims, and no others', async () => {
    const damaged = fixture('crc32');
    damaged.writeUInt32LE(1, damaged.length - 12 - 12 - 4);
    const root = fixtureRoot({ 'good.ko.xz': fixture('crc32'), 'bad.ko.xz': damaged });
    const [good, bad] = [`${root}/good.ko.xz`, `${root}/bad.ko.xz`];
    const wrong = `${bad}: at offset ${damaged.length - 12 - 12 - 4}: expected the CRC32 of the block, 6c66d620, found 01000000`;

    const facts = new FactsReader(openSystem());
    expect(await facts.read(good)).toEqual({ failure: 'Exec format error', detail: `${good}: not an ELF file` });
    expect(await facts.read(bad)).toEqual({ failure: 'Invalid argument', detail: wrong });
    facts.close();

    const images = new ImageReader(openSystem());
    expect(await images.use(good, (image) => Buffer.from(image).equals(text))).toBe(true);
    await expect(images.use(bad, () => true)).rejects.toThrow(wrong);
  });
});

describe('unxz', () => {
  it.each(['crc32', 'crc64', 'sha256', 'none', 'blocks'] as const)('decodes a file with %s', (name) => {
    expect(Buffer.from(unxz(fixture(name), options))).toEqual(text);
  });

  it('undoes the x86 filter', () => {
    expect(Buffer.from(unxz(fixture('x86'), options))).toEqual(code);
  });

  it('decodes streams one after another, with padding between and behind', () => {
    const file = Buffer.concat([fixture('crc32'), Buffer.alloc(8), fixture('blocks'), fixture('sha256'), Buffer.alloc(4)]);
    expect(Buffer.from(unxz(file, options))).toEqual(Buffer.concat([text, text, text]));
    expect(readXzClaim(file, options)).toEqual({ size: 3 * text.length, crc32s: undefined });
  });

  it('decodes stored chunks and a file without blocks', () => {
    const block = blockOf([1, 0, 4, ...Buffer.from('hello'), 2, 0, 0, 0x21, 0]);
    expect(Buffer.from(unxz(xzOf([{ block, size: 6 }]), options)).toString()).toBe('hello!');
    expect(unxz(xzOf([]), options)).toEqual(new Uint8Array(0));
  });

  it('names the place and the values when a check is wrong', () => {
    const damaged = fixture('crc32');
    const check = damaged.length - 12 - 12 - 4;
    damaged.writeUInt32LE(1, check);
    expect(errorOf(damaged)).toEqual(
      new FormatError({ file: 'a.ko.xz', offset: check, expected: 'the CRC32 of the block, 6c66d620', actual: '01000000' }),
    );
  });

  it('refuses a filter that the kernel has not either, by its name', () => {
    expect(errorOf(fixture('delta'))).toEqual(
      new UnsupportedError('a.ko.xz: the xz filter delta is not supported; recompress it with xz --check=crc32'),
    );
  });

  it('refuses a check that nobody knows', () => {
    expect(errorOf(xzOf([{ block: blockOf([1, 0, 0, 0x21, 0]), size: 1 }], 2))).toBeInstanceOf(UnsupportedError);
  });

  it('throws FormatError at whatever byte the file is cut', () => {
    for (const name of ['crc32', 'sha256', 'none', 'blocks', 'x86'] as const) {
      const whole = fixture(name);
      for (let length = 0; length < whole.length; length += 1) {
        expect(errorOf(whole.subarray(0, length)), `${name} cut at ${length}`).toBeInstanceOf(FormatError);
      }
    }
  });

  it('never gives wrong data for a file with a few bits changed', () => {
    const next = random(20261121);
    for (let round = 0; round < 2000; round += 1) {
      const name = (['crc32', 'crc64', 'blocks', 'x86'] as const)[round % 4] ?? 'crc32';
      const changed = fixture(name);
      for (let count = 1 + next(3); count > 0; count -= 1) {
        const at = next(changed.length);
        changed[at] = (changed[at] ?? 0) ^ (1 << next(8));
      }
      const result = resultOf(changed);
      if (result instanceof Uint8Array) expect(Buffer.from(result)).toEqual(name === 'x86' ? code : text);
      else expect(result.constructor, String(result)).toBeOneOf([FormatError, LimitError, UnsupportedError]);
    }
  });

  it('throws only our errors for damaged LZMA data that no checksum guards', () => {
    const next = random(5);
    const whole = fixture('none');
    for (let round = 0; round < 2000; round += 1) {
      const changed = Buffer.from(whole);
      for (let count = 1 + next(4); count > 0; count -= 1) changed[24 + next(whole.length - 24 - 28)] = next(256);
      const result = resultOf(changed);
      if (result instanceof Uint8Array) expect(result).toHaveLength(text.length);
      else expect(result).toBeInstanceOf(FormatError);
    }
  });

  it('throws LimitError for more than the limit, and takes exactly the limit', () => {
    expect(errorOf(fixture('blocks'), text.length - 1)).toEqual(
      new LimitError({ file: 'a.ko.xz', limit: 'limit of decompressed bytes', maximum: text.length - 1, actual: text.length }),
    );
    expect(unxz(fixture('blocks'), { ...options, limit: text.length })).toHaveLength(text.length);
  });

  it('does not believe an index that claims more than the chunks hold', () => {
    const before = process.memoryUsage().arrayBuffers;
    const lie = xzOf([{ block: blockOf([1, 0, 0, 0x21, 0]), size: 500_000_000 }]);
    expect(errorOf(lie, 2 ** 30)).toEqual(
      new FormatError({ file: 'a.ko.xz', offset: 12, expected: 'a block of 500000000 bytes by the uncompressed size of the index', actual: '1' }),
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
  });

  it('refuses a number of records that the index cannot hold', () => {
    expect(errorOf(xzOf([], 1, [0xff, 0xff, 0xff, 0xff, 0x7f]))).toBeInstanceOf(FormatError);
  });

  it.each([
    ['a first chunk that resets nothing', 1, [2, 0, 0, 0x21, 0]],
    ['LZMA without properties', 6, [1, 0, 0, 0x21, 0xa0, 0, 4, 0, 4, 0, 0, 0, 0, 0, 0]],
    ['lc + lp over 4', 10, [0xe0, 0, 9, 0, 4, 13, 0, 0, 0, 0, 0, 0]],
    ['an unknown control byte', 1, [3, 0, 0, 0x21, 0]],
    ['a range coder that does not begin with 0', 10, [0xe0, 0, 9, 0, 4, 0x5d, 1, 0, 0, 0, 0, 0]],
    ['a match before the data', 10, [0xe0, 0, 9, 0, 5, 0x5d, 0, 255, 255, 255, 254, 255, 0]],
  ])('refuses %s', (_, size, data) => {
    expect(errorOf(xzOf([{ block: blockOf(data), size }], 0))).toBeInstanceOf(FormatError);
  });
});

function resultOf(data: Uint8Array, limit = options.limit): Uint8Array | Error {
  try {
    return unxz(data, { ...options, limit });
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

function errorOf(data: Uint8Array, limit?: number): unknown {
  const result = resultOf(data, limit);
  return result instanceof Error ? result : 'no error';
}

/** A block header for LZMA2 and the data behind it; the padding and the check come from xzOf. */
function blockOf(data: readonly number[]): Buffer {
  return Buffer.concat([withCrc([2, 0, 0x21, 1, 0, 0, 0, 0]), Buffer.from(data)]);
}

/** A file with right CRCs around blocks of which the index says what the test likes. The checks are those of 'hello!'. */
function xzOf(blocks: readonly { block: Buffer; size: number }[], check = 1, count: readonly number[] = [blocks.length]): Buffer {
  const checkBytes = check === 0 ? Buffer.alloc(0) : le32(crc32('hello!'));
  const bodies = blocks.map(({ block }) => Buffer.concat([block, Buffer.alloc(-block.length & 3), checkBytes]));
  const records = blocks.flatMap(({ block, size }) => [...vli(block.length + checkBytes.length), ...vli(size)]);
  const fields = [0, ...count, ...records];
  const index = withCrc([...fields, ...Buffer.alloc(-fields.length & 3)]);
  const footer = Buffer.from([...le32(index.length / 4 - 1), 0, check]);
  return Buffer.concat([
    Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), withCrc([0, check]), ...bodies, index, le32(crc32(footer)), footer, Buffer.from('YZ'),
  ]);
}

function withCrc(bytes: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from(bytes), le32(crc32(Buffer.from(bytes)))]);
}

function le32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function vli(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...vli(Math.floor(value / 0x80))];
}
