import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import { FormatError, LimitError, UnsupportedError } from '../../src/errors.ts';
import { memorySource } from '../../src/image/byte-source.ts';
import { erofsChunks, type ErofsWriteEntry } from '../../src/image/erofs-write.ts';
import { openErofs } from '../../src/image/erofs.ts';
import { walk } from '../../src/image/image-tree.ts';
import { random } from '../random.ts';

const file = (path: string, contents: Buffer): ErofsWriteEntry => ({ path, kind: 'file', size: contents.length, read: (target, offset) => void contents.copy(target, 0, offset) });
const SIZES = [0, 1, 4095, 4096, 4097, 1024 * 1024 - 1, 1024 * 1024 + 4097, 3 * 1024 * 1024];
const below = random(3);
const CONTENTS = SIZES.map((size) => Buffer.alloc(size, Buffer.from(Array.from({ length: 997 }, () => below(256)))));
const ENTRIES: readonly ErofsWriteEntry[] = [
  ...CONTENTS.map((contents) => file(`sizes/of/${contents.length}`, contents)),
  ...Array.from({ length: 600 }, (_, index) => file(`many/name number ${index}`, Buffer.from(`${index}`))),
  { path: 'link', kind: 'symlink', target: 'many' }, { path: 'far', kind: 'symlink', target: 'x'.repeat(4000) }, { path: '', kind: 'directory', mode: 0o700 },
  { path: 'many', kind: 'directory', mode: 0o711 }, { path: '!', kind: 'directory' }, file('\udcff', Buffer.from('not UTF-8')), { path: 'naïve', kind: 'symlink', target: 'é' },
];

function imageOf(entries: Iterable<ErofsWriteEntry>, mtime?: number): Buffer {
  return Buffer.concat(Array.from(erofsChunks(entries, mtime === undefined ? {} : { mtime }), (bytes) => Buffer.from(bytes)));
}

describe('erofsChunks', () => {
  it('writes what openErofs reads: each file in one piece, on a block', () => {
    const tree = openErofs(memorySource(imageOf(ENTRIES, 1_600_000_000), 'image'));
    for (const contents of CONTENTS) {
      const entry = tree.entry(`sizes/of/${contents.length}`);
      expect(entry).toMatchObject({ kind: 'file', size: contents.length, mode: 0o644, uid: 0, gid: 0, mtime: 1_600_000_000 });
      expect(entry && contents.equals(tree.read(entry))).toBe(true);
      const extent = entry && tree.extent(entry);
      expect([extent?.length ?? 0, (extent?.offset ?? 0) % 4096]).toEqual([contents.length, 0]);
    }
    expect(tree.list('')).toEqual(['!', 'far', 'link', 'many', 'naïve', 'sizes', '\udcff']);
    expect(tree.list('many')?.length).toBe(600);
    expect(['', 'many', '!'].map((path) => tree.entry(path)?.mode)).toEqual([0o700, 0o711, 0o755]);
    const links = ['link', 'far', 'naïve'].map((path) => tree.entry(path)).map((entry) => entry && tree.readlink(entry));
    expect(links).toEqual(['many', 'x'.repeat(4000), 'é']);
  });

  it('writes the same bytes whatever the order of the entries', () => {
    const sum = (image: Buffer) => createHash('sha256').update(image).digest('hex');
    expect(sum(imageOf(ENTRIES.toReversed()))).toBe(sum(imageOf(ENTRIES)));
  });

  it('takes the later one of two entries, and refuses what cannot be', () => {
    const tree = openErofs(memorySource(imageOf([file('a/b', Buffer.from('1')), file('a/b', Buffer.from('22'))]), 'image'));
    expect(tree.entry('a/b')?.size).toBe(2);
    expect(() => imageOf([file('a', Buffer.from('')), file('a/b', Buffer.from(''))])).toThrow(FormatError);
    expect(() => imageOf([file('../a', Buffer.from(''))])).toThrow(FormatError);
    expect(() => imageOf([{ path: 'a', kind: 'file', size: 2 ** 32, read: () => undefined }])).toThrow(LimitError);
    expect(() => imageOf([file('x'.repeat(256), Buffer.from(''))])).toThrow(LimitError);
  });
});

describe('openErofs', () => {
  const image = imageOf(ENTRIES.filter(({ path }) => !path.includes('1048') && !path.includes('3145')));

  it('refuses a superblock with another sum', () => {
    const bytes = Buffer.from(image);
    bytes[1024 + 70] = 1;
    expect(() => openErofs(memorySource(bytes, 'image'))).toThrow(/CRC-32C/);
  });

  it('throws our errors only for images cut at any block and changed anywhere', () => {
    const read = (bytes: Uint8Array) => {
      try {
        const tree = openErofs(memorySource(bytes, 'image'));
        for (const entry of walk(tree)) if (entry.kind === 'file') tree.read(entry, 0, 65_536);
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError)) throw error;
      }
    };
    // Without the sum, so that changes of the superblock are met.
    const unchecked = Buffer.from(image);
    unchecked.writeUInt32LE(0, 1024 + 8);
    for (let end = 0; end < 40 * 4096; end += 4096) read(unchecked.subarray(0, end));
    for (let round = 0; round < 150; round++) {
      const bytes = Buffer.from(unchecked.subarray(0, 60 * 4096));
      const at = 1024 + below(round % 2 === 0 ? 1024 : 24_000);
      bytes[at] = below(256);
      read(bytes);
    }
  });
});
