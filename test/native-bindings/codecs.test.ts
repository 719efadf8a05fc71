import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

import { openCodecs } from '../../native-bindings/codecs.ts';
import { loadKoffi } from '../../native-bindings/koffi.ts';
import type { NativeCodec } from '../../native-bindings/native.ts';
import { LimitError } from '../../src/errors.ts';

const { xz, zstd } = openCodecs(loadKoffi());
const MIB = 1024 * 1024;

/** Compressible, and not by one rule alone. */
const sample = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `${index * 7919} alias pci:v${index % 97}\n`).join(''));

const compress = (program: string, args: readonly string[], input: Uint8Array): Buffer =>
  execFileSync(program, ['-1', ...args, '-c'], { input, maxBuffer: 64 * MIB });

describe.each([
  { program: 'xz', codec: xz(), check: ['--check=crc64'], none: 'liblzma.so.5' },
  { program: 'zstd', codec: zstd(), check: ['--check'], none: 'libzstd.so.1' },
])('the $program codec', ({ program, codec, check, none }) => {
  const decompress: NativeCodec['decompress'] = (data, limit) => {
    if (!codec) throw new Error(`${none} is not installed`);
    return codec.decompress(data, limit);
  };
  const packed = compress(program, check, sample);

  it('gives the bytes back, with the limit at their exact number', () => {
    expect(sample.equals(decompress(packed, sample.length))).toBe(true);
  });

  it('refuses to give more than the limit', () => {
    expect(() => decompress(packed, sample.length - 1)).toThrow(
      new LimitError({ file: none, limit: 'decompressed size', maximum: sample.length - 1 }),
    );
    expect(() => decompress(packed, 0)).toThrow(LimitError);
  });

  it('refuses 32 MiB of zeros beyond a limit of 1 MiB', () => {
    const bomb = compress(program, [], Buffer.alloc(32 * MIB));
    expect(() => decompress(bomb, MIB)).toThrow(LimitError);
    expect(decompress(bomb, 64 * MIB).length).toBe(32 * MIB);
  });

  it('reads all of several files in one', () => {
    const parts = [sample, Buffer.from('second'), Buffer.alloc(0), Buffer.from('last')];
    const joined = Buffer.concat(parts.map((part) => compress(program, check, part)));
    expect(Buffer.concat(parts).equals(decompress(joined, 2 * sample.length))).toBe(true);
  });

  it('gives nothing for a file that holds nothing', () => {
    expect(decompress(compress(program, check, Buffer.alloc(0)), 0).length).toBe(0);
  });

  it('throws for data that is cut anywhere, at its end, or followed by something else', () => {
    const small = compress(program, check, sample.subarray(0, 300));
    for (let length = 0; length < small.length; length++) {
      expect(() => decompress(small.subarray(0, length), MIB)).toThrow(`${none}: `);
    }
    expect(() => decompress(Buffer.concat([small, Buffer.from('junk')]), MIB)).toThrow(`${none}: `);
  });

  it('never gives other bytes for data with one bit changed', () => {
    const small = compress(program, check, sample.subarray(0, 300));
    const wrong: number[] = [];
    for (let bit = 0; bit < small.length * 8; bit++) {
      const changed = Buffer.from(small);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        if (!sample.subarray(0, 300).equals(decompress(changed, MIB))) wrong.push(bit);
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith(none))) throw error;
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('the xz codec', () => {
  it('refuses a dictionary that needs more memory than it may have', () => {
    const packed = compress('xz', ['--lzma2=dict=512MiB'], Buffer.from('small'));
    expect(() => xz()?.decompress(packed, MIB)).toThrow('liblzma.so.5: more than 134217728 bytes of memory are needed');
  });
});

describe('decompressInto and decompressIntoSync of the xz codec', () => {
  const packed = compress('xz', [], sample);
  const both = async (data: Uint8Array, output: Uint8Array) => [xz()?.decompressIntoSync?.(data, output), await xz()?.decompressInto?.(data, output)];

  it('fill the output, with one decoder for file after file', async () => {
    for (const text of [sample, Buffer.from('second'), Buffer.alloc(0), sample]) {
      const output = Buffer.alloc(text.length);
      expect(await both(compress('xz', [], text), output)).toEqual([text.length, text.length]);
      expect(output.equals(text)).toBe(true);
    }
  });

  it('tell how many bytes came where there is room for more', async () => {
    expect(await both(packed, Buffer.alloc(sample.length + 100))).toEqual([sample.length, sample.length]);
  });

  it('give undefined for what does not fit, is damaged, cut, or needs too much memory, and the next file is good again', async () => {
    const damaged = Buffer.from(packed);
    damaged[packed.length >> 1] = (damaged[packed.length >> 1] ?? 0) ^ 1;
    const bad: [Uint8Array, number][] = [
      [packed, sample.length - 1], [damaged, sample.length], [packed.subarray(0, -1), sample.length], [Buffer.alloc(0), 10],
      [compress('xz', ['--lzma2=dict=512MiB'], Buffer.from('small')), MIB],
    ];
    for (const [data, size] of bad) {
      expect(await both(data, Buffer.alloc(size))).toEqual([undefined, undefined]);
      expect(await both(packed, Buffer.alloc(sample.length))).toEqual([sample.length, sample.length]);
    }
  });

  it('leave the check of the contents to the caller where they are told to', async () => {
    const other = compress('xz', ['--check=crc32'], Buffer.from('text'));
    // Behind the block stand the check, the index of 8 bytes with its CRC32, and the footer of 12.
    other[other.length - 12 - 8 - 1] = (other[other.length - 12 - 8 - 1] ?? 0) ^ 1;
    expect(await both(other, Buffer.alloc(4))).toEqual([undefined, undefined]);
    expect([xz()?.decompressIntoSync?.(other, Buffer.alloc(4), true), await xz()?.decompressInto?.(other, Buffer.alloc(4), true)]).toEqual([4, 4]);
    expect(await both(other, Buffer.alloc(4))).toEqual([undefined, undefined]);
  });

  it('go on after a large dictionary and after release()', async () => {
    const output = Buffer.alloc(sample.length);
    expect(await both(compress('xz', ['--lzma2=dict=64MiB'], sample), output)).toEqual([sample.length, sample.length]);
    expect(await both(packed, output)).toEqual([sample.length, sample.length]);
    xz()?.release?.();
    expect(await both(packed, output)).toEqual([sample.length, sample.length]);
  });

  it('decode several files on threads at a time', async () => {
    const outputs = Array.from({ length: 8 }, () => Buffer.alloc(sample.length));
    const lengths = await Promise.all(outputs.map((output) => xz()?.decompressInto?.(packed, output)));
    expect(lengths).toEqual(outputs.map(() => sample.length));
    expect(outputs.every((output) => output.equals(sample))).toBe(true);
  });
});

describe('the zstd codec', () => {
  it('reads frames that do not tell their size', () => {
    const packed = execFileSync('zstd', ['-c', '--no-content-size'], { input: sample, maxBuffer: 64 * MIB });
    expect(sample.equals(zstd()?.decompress(packed, 64 * MIB) ?? new Uint8Array())).toBe(true);
  });
});

describe('openCodecs', () => {
  it('has no codec where the library is not installed', () => {
    const koffi = loadKoffi();
    const load = (): never => {
      throw new Error('Failed to load shared library: liblzma.so.5: cannot open shared object file');
    };
    const codecs = openCodecs({ ...koffi, load });
    expect([codecs.xz(), codecs.zstd()]).toEqual([undefined, undefined]);
  });
});
