import * as zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { FormatError, LimitError, UnsupportedError } from '../../src/errors.ts';
import { type Compression, compressionOf, decompress, type DecompressOptions } from '../../src/kmod/compression.ts';
import { readZstdFrames, ZSTD_WINDOW_LIMIT } from '../../src/kmod/zstd-frame.ts';
import type { NativeCodec } from '../../src/system.ts';
import { random } from '../random.ts';

const file = 'a.ko';
const text = Buffer.from(Array.from({ length: 40 }, (_, i) => `module ${i * i} depends on ${i}\n`).join(''));
const nodeHasZstd = 'zstdDecompressSync' in zlib;

/** xz --check=crc32 of 'module'. */
const smallXz = Buffer.from('/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAFbW9kdWxlAAAAKCYkDAABGgbF6sh5kEKZDQEAAAAAAVla', 'base64');

/*
 * Frames with raw and RLE blocks only, which need no compressor: 'abc' with a content size in a single segment, 'xxxxx'
 * without size, an empty one, and a skippable one.
 */
const sized = Buffer.from('28b52ffd2003190000616263', 'hex');
const unsized = Buffer.from('28b52ffd00002b000078', 'hex');
const empty = Buffer.from('28b52ffd2000010000', 'hex');
const skippable = Buffer.from('5a2a4d1802000000ffff', 'hex');

describe('compressionOf', () => {
  it.each<[string, Compression | undefined]>([
    ['28b52ffd00', 'zstd'], ['502a4d18', 'zstd'], ['5f2a4d18', 'zstd'], ['fd377a585a00', 'xz'], ['1f8b', 'gzip'],
    ['7f454c460201', undefined], ['', undefined], ['1f', undefined], ['fd377a585a', undefined], ['602a4d18', undefined], ['502a4d', undefined],
  ])('of %s is %s', (head, compression) => {
    expect(compressionOf(Buffer.from(head, 'hex'))).toBe(compression);
  });
});

describe('decompress of gzip', () => {
  const whole = zlib.gzipSync(text);

  it('reads all members, and takes zeros behind them as padding', () => {
    expect(decompress(Buffer.concat([whole, whole, Buffer.alloc(5)]), 'gzip', { file })).toEqual(Buffer.concat([text, text]));
  });

  it('throws FormatError at whatever byte the file is cut', () => {
    for (let length = 0; length < whole.length; length += 1) {
      expect(errorOf(whole.subarray(0, length), 'gzip'), `cut at ${length}`).toBeInstanceOf(FormatError);
    }
  });

  it('throws FormatError at whatever byte the second member is cut', () => {
    for (let length = 1; length < whole.length; length += 1) {
      expect(errorOf(Buffer.concat([whole, whole.subarray(0, length)]), 'gzip'), `cut at ${length}`).toBeInstanceOf(FormatError);
    }
  });

  it('refuses junk behind the data, also behind zeros', () => {
    expect(errorOf(Buffer.concat([whole, Buffer.from('junk')]), 'gzip')).toBeInstanceOf(FormatError);
    expect(errorOf(Buffer.concat([whole, Buffer.from('\0\0junk')]), 'gzip')).toEqual(
      new FormatError({ file, offset: whole.length + 2, expected: 'the end of the gzip data', actual: 'more bytes' }),
    );
  });

  it('never gives wrong data for a file with a bit changed', () => {
    const next = random(1);
    for (let round = 0; round < 500; round += 1) {
      const changed = Buffer.from(whole);
      const at = next(changed.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << next(8));
      const result = resultOf(changed, 'gzip');
      if (result instanceof Uint8Array) expect(result).toEqual(text);
      else expect(result).toBeInstanceOf(FormatError);
    }
  });

  it('stops at the limit', () => {
    const bomb = zlib.gzipSync(Buffer.alloc(50_000_000));
    expect(errorOf(bomb, 'gzip', { limit: 1_000_000 })).toEqual(overLimit(1_000_000));
    expect(decompress(whole, 'gzip', { file, limit: text.length })).toEqual(text);
    expect(errorOf(whole, 'gzip', { limit: text.length - 1 })).toEqual(overLimit(text.length - 1));
    expect(errorOf(whole, 'gzip', { limit: 0 })).toEqual(overLimit(0));
  });
});

describe('decompress of xz', () => {
  it('uses the native codec with the exact size as limit', () => {
    const asked: number[] = [];
    const codec: NativeCodec = {
      library: 'liblzma.so.5',
      decompress: (_, limit) => {
        asked.push(limit);
        return Buffer.from('MODULE');
      },
    };
    expect(decompress(smallXz, 'xz', { file, codecs: { xz: codec } })).toEqual(Buffer.from('MODULE'));
    expect(asked).toEqual([6]);
  });

  it('decodes itself without a codec and where the codec refuses', () => {
    const codec: NativeCodec = { library: 'liblzma.so.5', decompress: () => { throw new Error('out of memory'); } };
    expect(Buffer.from(decompress(smallXz, 'xz', { file })).toString()).toBe('module');
    expect(Buffer.from(decompress(smallXz, 'xz', { file, codecs: { xz: codec } })).toString()).toBe('module');
  });

  it('asks no codec for a file that is over the limit or has no index', () => {
    const codec: NativeCodec = { library: 'liblzma.so.5', decompress: () => { throw new Error('asked'); } };
    expect(errorOf(smallXz, 'xz', { limit: 5, codecs: { xz: codec } })).toEqual(overLimit(5, 6));
    expect(errorOf(smallXz.subarray(0, 20), 'xz', { codecs: { xz: codec } })).toBeInstanceOf(FormatError);
  });
});

describe('readZstdFrames', () => {
  it('finds the frames, skippable ones too, with what they say of their size', () => {
    expect(readZstdFrames(Buffer.concat([sized, skippable, unsized]), file)).toEqual([
      { offset: 0, end: 12, skippable: false, contentSize: 3, bound: 3 },
      { offset: 12, end: 22, skippable: true, contentSize: 0, bound: 0 },
      { offset: 22, end: 32, skippable: false, contentSize: undefined, bound: 5 },
    ]);
  });

  it('throws FormatError at whatever byte a file is cut that is not the end of a frame', () => {
    const whole = Buffer.concat([sized, skippable, unsized]);
    for (let length = 0; length < whole.length; length += 1) {
      if (length === 12 || length === 22) continue;
      expect(() => readZstdFrames(whole.subarray(0, length), file), `cut at ${length}`).toThrow(FormatError);
    }
  });

  it.each([
    ['junk behind the last frame', Buffer.concat([sized, Buffer.from('junk')])],
    ['the reserved bit of the descriptor', Buffer.from('28b52ffd2803190000616263', 'hex')],
    ['a block of the reserved type', Buffer.from('28b52ffd20031f0000616263', 'hex')],
    ['a block that is longer than the content', Buffer.from('28b52ffd2002190000616263', 'hex')],
    ['a content size that the blocks cannot make', Buffer.from('28b52ffd2004190000616263', 'hex')],
    ['a dictionary', Buffer.from('28b52ffd210703190000616263', 'hex')],
  ])('refuses %s', (_, data) => {
    expect(() => readZstdFrames(data, file)).toThrow(FormatError);
  });

  it('refuses a window that is too large to allocate', () => {
    expect(() => readZstdFrames(Buffer.from('28b52ffd00f82b000078', 'hex'), file)).toThrow(
      new LimitError({ file, limit: 'zstd window', maximum: ZSTD_WINDOW_LIMIT, actual: 2 ** 41 }),
    );
  });
});

describe('decompress of zstd', () => {
  it('reads all frames and skips the skippable', (context) => {
    if (!nodeHasZstd) return context.skip('this Node has no zstd; the oracle tests do the same with libzstd');
    const data = Buffer.concat([skippable, sized, unsized, empty, sized]);
    expect(Buffer.from(decompress(data, 'zstd', { file })).toString()).toBe('abcxxxxxabc');
    expect(errorOf(data, 'zstd', { limit: 10 })).toEqual(overLimit(10));
  });

  it('hands each frame to the codec with what may still come out', (context) => {
    if (nodeHasZstd) return context.skip('this Node has zstd and does not ask the codec');
    const asked: [string, number][] = [];
    const codec: NativeCodec = {
      library: 'libzstd.so.1',
      decompress: (data, limit) => {
        asked.push([Buffer.from(data).toString('hex'), limit]);
        return data.length === sized.length ? Buffer.from('abc') : Buffer.from('xxxxx');
      },
    };
    const result = decompress(Buffer.concat([sized, skippable, unsized]), 'zstd', { file, limit: 8, codecs: { zstd: codec } });
    expect(Buffer.from(result).toString()).toBe('abcxxxxx');
    expect(asked).toEqual([[sized.toString('hex'), 3], [unsized.toString('hex'), 5]]);
  });

  it('turns the errors of the codec into ours, with the place of the frame', (context) => {
    if (nodeHasZstd) return context.skip('this Node has zstd and does not ask the codec');
    const refusing = (error: Error): NativeCodec => ({ library: 'libzstd.so.1', decompress: () => { throw error; } });
    const data = Buffer.concat([skippable, unsized]);
    expect(errorOf(data, 'zstd', { codecs: { zstd: refusing(new Error('Data corruption detected')) } })).toEqual(
      new FormatError({ file, offset: 10, expected: 'a valid zstd frame', actual: 'Data corruption detected' }),
    );
    const full = new LimitError({ file: 'libzstd.so.1', limit: 'decompressed size', maximum: 4 });
    expect(errorOf(data, 'zstd', { limit: 4, codecs: { zstd: refusing(full) } })).toEqual(overLimit(4));
  });

  it('refuses sizes over the limit before it asks for a decoder', () => {
    expect(errorOf(Buffer.concat([sized, sized]), 'zstd', { limit: 5 })).toEqual(overLimit(5, 6));
  });

  it('says what to install where nothing can decode it', (context) => {
    if (nodeHasZstd) return context.skip('this Node has zstd');
    expect(errorOf(sized, 'zstd')).toBeInstanceOf(UnsupportedError);
    expect(String(errorOf(sized, 'zstd'))).toContain('libzstd.so.1');
  });
});

function overLimit(maximum: number, actual?: number): LimitError {
  return new LimitError({ file, limit: 'limit of decompressed bytes', maximum, ...(actual === undefined ? {} : { actual }) });
}

function resultOf(data: Uint8Array, compression: Compression, options: Partial<DecompressOptions> = {}): Uint8Array | Error {
  try {
    return decompress(data, compression, { file, ...options });
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

function errorOf(data: Uint8Array, compression: Compression, options?: Partial<DecompressOptions>): unknown {
  const result = resultOf(data, compression, options);
  return result instanceof Error ? result : 'no error';
}
