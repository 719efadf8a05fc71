import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';

import { LimitError } from '../../src/errors.ts';
import { type Compression, compressionOf, decompress, type DecompressOptions } from '../../src/kmod/compression.ts';
import { type NativeCodec, openSystem } from '../../src/system.ts';
import { random } from '../random.ts';

/** How many modules of each tree in TSMODPROBE_TEST_TREES are compared. */
const MODULES_PER_TREE = 30;
/** A bomb unpacks to this, and has to be refused within this many microseconds of processor time on the slowest machine. */
const BOMB_SIZE = 300_000_000;
const BOMB_TIME = 3_000_000;

const machineCode = readFileSync(process.execPath).subarray(1_000_000, 2_000_000);
const next = random(2);
const noise = Buffer.from(Array.from({ length: 300_000 }, () => next(256)));
const payloads: Readonly<Record<string, Buffer>> = {
  'nothing': Buffer.alloc(0),
  'one byte': Buffer.from('x'),
  'machine code': machineCode,
  'noise': noise,
  'noise between code': Buffer.concat([machineCode.subarray(0, 400_000), noise, machineCode.subarray(0, 400_000)]),
  'zeros': Buffer.alloc(5_000_000),
};

const limit = 64 * 1024 * 1024;
let codecs: NonNullable<DecompressOptions['codecs']> = {};
let zstdCodec: NativeCodec | undefined;
beforeAll(async () => {
  const { zstd } = await openSystem().native();
  zstdCodec = zstd;
  codecs = { zstd };
});

const reasons = new Map(['xz', 'zstd', 'gzip'].map((tool) => [tool, whyNot(tool)]));

describe.each(Object.entries(payloads))('decompress of %s', (_, payload) => {
  it.for<readonly [Compression, readonly string[]]>([
    ['xz', ['-6']], ['xz', ['-9e']], ['xz', ['-0', '--check=crc32']], ['xz', ['--check=crc64']], ['xz', ['--check=sha256']], ['xz', ['--check=none']],
    ['xz', ['--block-size=100000']], ['xz', ['-T2', '--block-size=300000', '--check=crc32']], ['xz', ['--x86', '--lzma2=preset=6']],
    ['xz', ['--check=crc32', '--x86', '--lzma2=preset=6,dict=1MiB']], ['xz', ['--lzma2=preset=6,lc=0,lp=2,pb=0']], ['xz', ['--lzma2=preset=6,lc=4,lp=0,pb=4']],
    ['zstd', ['-1']], ['zstd', ['-19']], ['zstd', ['-1', '--no-check']], ['zstd', ['-3', '--long=27']],
    ['gzip', ['-9']], ['gzip', ['-1']],
  ])('is what went into %s %j', ([tool, args], context) => {
    const reason = reasons.get(tool);
    if (reason !== undefined) return context.skip(reason);
    const packed = pack(tool, args, payload);
    expect(compressionOf(packed)).toBe(tool);
    expectBytes(decompress(packed, tool, { file: tool, limit, codecs }), payload);
    // Members, streams and frames one after another; xz alone allows padding between.
    const padding = Buffer.alloc(tool === 'xz' ? 8 : 0);
    const twice = Buffer.concat([packed, padding, pack(tool, args, Buffer.from('and this')), padding]);
    expectBytes(decompress(twice, tool, { file: tool, limit, codecs }), Buffer.concat([payload, Buffer.from('and this')]));
  });
});

describe('decompress', () => {
  it.for<readonly [Compression, string, number]>([['xz', '-1', 60_000], ['zstd', '-19', 60_000], ['gzip', '-9', 400_000]])('refuses a bomb of %s at once', { timeout: 60_000 }, ([tool, level, size], context) => {
    const reason = reasons.get(tool);
    if (reason !== undefined) return context.skip(reason);
    const bomb = pack(tool, [level], Buffer.alloc(BOMB_SIZE));
    expect(bomb.length).toBeLessThan(size);
    const before = process.cpuUsage();
    expect(() => decompress(bomb, tool, { file: tool, limit: 1_000_000, codecs })).toThrow(LimitError);
    expect(process.cpuUsage(before).user).toBeLessThan(BOMB_TIME);
  });

  it('never gives wrong data for .zst with a bit changed', (context) => {
    const reason = reasons.get('zstd');
    if (reason !== undefined) return context.skip(reason);
    if (zstdCodec === undefined && !('zstdDecompressSync' in zlib)) return context.skip('neither this Node nor libzstd has zstd');
    const payload = machineCode.subarray(0, 3000);
    const whole = pack('zstd', ['-19'], payload);
    for (let round = 0; round < 500; round += 1) {
      const changed = Buffer.from(whole);
      const at = next(changed.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << next(8));
      const result = resultOf(() => decompress(changed, 'zstd', { file: 'zstd', limit, codecs }));
      if (result instanceof Uint8Array) expectBytes(result, payload);
      else expect(result).toMatch(/^(FormatError|LimitError|UnsupportedError)$/);
    }
  });
});

const trees = (process.env['TSMODPROBE_TEST_TREES'] ?? '').split(':').filter((root) => root !== '');

describe('decompress of the modules of a tree', () => {
  it.for(trees.length > 0 ? trees : ['(none)'])('is what xz gives: %s', { timeout: 60_000 }, (root, context) => {
    if (trees.length === 0) return context.skip('TSMODPROBE_TEST_TREES names no tree (roots separated by colons)');
    const reason = reasons.get('xz');
    if (reason !== undefined) return context.skip(reason);
    const all = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ko.xz')).sort();
    if (all.length === 0) return context.skip(`no .ko.xz below ${root}`);
    const step = Math.max(1, Math.floor(all.length / MODULES_PER_TREE));
    for (const path of all.filter((_, index) => index % step === 0).slice(0, MODULES_PER_TREE)) {
      const packed = readFileSync(join(root, path));
      expectBytes(decompress(packed, 'xz', { file: path }), run('xz', ['-dc'], packed));
    }
  });
});

function pack(program: string, args: readonly string[], data: Buffer): Buffer {
  // From a pipe zstd cannot know the size; --stream-size tells it, as a file would, so that both kinds of frame are there.
  const size = program === 'zstd' && args[0] === '-19' ? [`--stream-size=${data.length}`] : [];
  return run(program, [...args, ...size, '-c'], data);
}

function run(program: string, args: readonly string[], input: Buffer): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, maxBuffer: 2 ** 30 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr.toString()}`);
  return stdout;
}

/** With CI=true a missing tool is a failure, not a reason. */
function whyNot(program: string): string | undefined {
  if (spawnSync(program, ['--version']).status === 0) return undefined;
  if (process.env['CI'] === 'true') throw new Error(`CI needs ${program}`);
  return `${program} is not installed`;
}

/** As toEqual, but quick for megabytes. */
function expectBytes(actual: Uint8Array, expected: Buffer): void {
  expect({ length: actual.length, same: Buffer.compare(actual, expected) === 0 }).toEqual({ length: expected.length, same: true });
}

function resultOf(decode: () => Uint8Array): Uint8Array | string {
  try {
    return decode();
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}
