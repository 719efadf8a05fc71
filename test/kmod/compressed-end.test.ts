import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { FormatError, LimitError, UnsupportedError } from '../../src/errors.ts';
import { compressionOf } from '../../src/image/compression-magic.ts';
import { compressedEnd } from '../../src/kmod/compressed-end.ts';
import { random } from '../random.ts';

const below = random(5);
const INPUT = Buffer.from(Uint8Array.from({ length: 70_000 }, () => below(60)));
const by = (program: string, ...args: string[]) => spawnSync(program, args, { input: INPUT, maxBuffer: 1 << 24 }).stdout;
const SAMPLES: [string, Buffer][] = [
  ['gzip', gzipSync(INPUT)], ['gzip with a name', Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]), Buffer.from('name\0'), gzipSync(INPUT).subarray(10)])],
  ['xz', by('xz', '-0')], ['xz of several blocks', by('xz', '-0', '--block-size=20000', '--check=crc32')], ['xz of sized blocks', by('xz', '-0', '-T2', '--block-size=30000')],
  ['zstd', by('zstd', '-1')], ['zstd without sum', by('zstd', '-1', '--no-check')],
];
const endOf = (data: Uint8Array) => compressedEnd(data, compressionOf(data) ?? 'gzip', 'data');

describe('compressedEnd', () => {
  it.each(SAMPLES)('finds the end of %s, whatever follows', (_, data) => {
    expect(data.length).toBeGreaterThan(10_000);
    for (const more of [Buffer.alloc(0), Buffer.alloc(512), Buffer.from('070701')]) {
      expect(endOf(Buffer.concat([data, more]))).toBe(data.length);
      expect(endOf(Buffer.concat([data, data, more]))).toBe(data.length * 2);
    }
  });

  it.each(SAMPLES)('throws our errors only for damaged %s', (_, data) => {
    for (let round = 0; round < 60; round++) {
      const bytes = Buffer.from(data.subarray(0, round % 2 === 0 ? data.length : below(data.length)));
      bytes[below(Math.min(bytes.length, 64))] = below(256);
      try {
        expect(endOf(bytes)).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError)) throw error;
      }
    }
  });
});
