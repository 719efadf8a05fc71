// Images that real tools wrote, damaged: our errors only, and no more work than the image is worth.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { FormatError, LimitError, SystemError, UnsupportedError } from '../../src/errors.ts';
import { type ByteSource, countingSource, memorySource } from '../../src/image/byte-source.ts';
import { openExt4 } from '../../src/image/ext4.ts';
import { type ImageTree, resolve, walk } from '../../src/image/image-tree.ts';
import { openSquashfs } from '../../src/image/squashfs.ts';
import { decompress } from '../../src/kmod/compression.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { random } from '../random.ts';
import { writeHoles, writeManyFiles } from './image-files.ts';
import { reasonOf } from './oracle.ts';
import { mksquashfs } from './squashfs-tools.ts';

/** Changed images of each kind. */
const ROUNDS = 300;
/** What one of them may read: each of its blocks may be asked for in more than one way. */
const MOST_BYTES = 64 * 1024 * 1024;
/** How much of each file is read: a changed size may be anything. */
const READ_AT_ONCE = 1024 * 1024;

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-damaged-'));
  for (const directory of ['files/a/b', 'files/many']) mkdirSync(join(scratch, directory), { recursive: true });
  writeFileSync(join(scratch, 'files/a/small'), 'small');
  writeFileSync(join(scratch, 'files/a/b/large'), Buffer.alloc(20_000, 'large'));
  writeHoles(join(scratch, 'files/a/holes'), 40_000, Array.from({ length: 10 }, (_, index) => [index * 4096, Buffer.from(`piece ${index}`)]));
  writeManyFiles(join(scratch, 'files/many'), 12);
  symlinkSync('../../..//a/b/large', join(scratch, 'files/a/b/link'));
  symlinkSync('x'.repeat(200), join(scratch, 'files/a/long'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

type Kind = { readonly name: string; readonly open: (source: ByteSource) => ImageTree; readonly make: (image: string, files: string) => void };

const ext4 = (options: string): Kind => ({
  name: `mke2fs ${options}`,
  open: openExt4,
  make(image, files) {
    writeFileSync(image, '');
    truncateSync(image, 256 * 1024);
    execFileSync(findTool('mke2fs') ?? '', ['-q', '-F', '-N', '64', '-m', '0', '-d', files, ...options.split(' '), image], { stdio: 'pipe' });
  },
});
const squashfs = (options: string): Kind => ({
  name: `mksquashfs ${options}`,
  open: (source) => openSquashfs(source, { decompressor: { decompress } }),
  make(image, files) {
    if (typeof mksquashfs !== 'string') mksquashfs([files, image, '-noappend', '-quiet', '-no-progress', '-nopad', ...options.split(' ')]);
  },
});
const kinds = [
  ext4('-t ext4 -b 1024 -O ^has_journal'), ext4('-t ext4 -b 1024 -O ^has_journal,^metadata_csum'), ext4('-t ext4 -b 1024 -O ^has_journal,^metadata_csum,inline_data'),
  ext4('-t ext2 -b 1024'), squashfs('-comp gzip'), squashfs('-comp xz'), squashfs('-comp lz4'), squashfs('-noI -noD -noF -b 4096'), squashfs('-noI -noD -no-fragments -b 4096'),
];

describe.each(kinds)('an image of $name', ({ name, open, make }) => {
  let image = Buffer.alloc(0);
  const reason = name.startsWith('mke2fs') ? (findTool('mke2fs') === undefined ? reasonOf('e2fsprogs is not installed') : undefined)
    : typeof mksquashfs === 'string' ? mksquashfs : undefined;
  beforeAll(() => {
    if (reason !== undefined) return;
    make(join(scratch, 'image'), join(scratch, 'files'));
    image = readFileSync(join(scratch, 'image'));
  });

  it('is read whole', ({ skip }) => {
    skip(reason !== undefined, reason);
    const tree = open(memorySource(image, 'image'));
    const large = resolve(tree, 'a/b/link');
    expect([large?.path, large && Buffer.from(tree.read(large))]).toEqual(['a/b/large', Buffer.alloc(20_000, 'large')]);
    expect(readAll(open, image)).toBe('read');
  });

  it('throws our errors only with numbers changed', ({ skip }) => {
    skip(reason !== undefined, reason);
    const next = random(image.length);
    // Zeros, which the image has a lot of, say nothing.
    const places = [...image.keys()].filter((at) => image[at] !== 0 && at + 4 <= image.length);
    const outcomes = new Set<string>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const changed = Buffer.from(image);
      for (let count = next(3); count >= 0; count -= 1) change(changed, places[next(places.length)] ?? 0, next);
      outcomes.add(readAll(open, changed));
    }
    expect(outcomes).toContain('FormatError');
    expect([...outcomes].filter((outcome) => !['read', 'FormatError', 'LimitError', 'UnsupportedError', 'SystemError'].includes(outcome))).toEqual([]);
  }, 120_000);

  it('throws a FormatError cut off at any block', ({ skip }) => {
    skip(reason !== undefined, reason);
    for (let length = 0; length < image.length; length += 512) {
      expect(() => open(memorySource(image.subarray(0, length), 'image')), `${length} bytes`).toThrow(FormatError);
    }
  });
});

function change(bytes: Buffer, at: number, next: (below: number) => number): void {
  switch (next(5)) {
    case 0: bytes[at] = next(256); break;
    case 1: bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8)); break;
    case 2: bytes[at] = ((bytes[at] ?? 0) + 1) & 0xff; break;
    case 3: bytes.writeUInt32LE([0, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000][next(4)] ?? 0, at); break;
    default: bytes.copy(bytes, at, next(bytes.length - 16), next(bytes.length - 16) + 8); break;
  }
}

/** Everything of an image, as far as it can be read: one bad file does not end it. Gives the first error, or what was not ours. */
function readAll(open: Kind['open'], bytes: Uint8Array): string {
  const source = countingSource(memorySource(bytes, 'image'));
  let outcome = 'read';
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      if (!(error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError || error instanceof SystemError)) throw error;
      if (outcome === 'read') outcome = error.name;
    }
  };
  attempt(() => {
    const tree = open(source);
    for (const entry of walk(tree)) {
      if (entry.kind === 'symlink') attempt(() => { tree.readlink(entry); resolve(tree, entry.path); });
      if (entry.kind !== 'file') continue;
      attempt(() => tree.extent(entry));
      attempt(() => tree.read(entry, 0, READ_AT_ONCE));
      attempt(() => tree.read(entry, Math.max(0, entry.size - 100)));
    }
  });
  return source.bytesRead > MOST_BYTES ? `${source.bytesRead} bytes read` : outcome;
}
