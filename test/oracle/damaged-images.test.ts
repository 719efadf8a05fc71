// Images that real tools wrote, damaged: our errors only, and no more work than the image is worth.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { FormatError, LimitError, SystemError, UnsupportedError } from '../../src/errors.ts';
import { type ByteSource, countingSource, memorySource } from '../../src/image/byte-source.ts';
import { openCpio } from '../../src/image/cpio-tree.ts';
import { openErofs } from '../../src/image/erofs.ts';
import { openExt4 } from '../../src/image/ext4.ts';
import { type ImageTree, resolve, walk } from '../../src/image/image-tree.ts';
import { openSquashfs } from '../../src/image/squashfs.ts';
import { openTar } from '../../src/image/tar.ts';
import { decompress } from '../../src/kmod/compression.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { random } from '../random.ts';
import { erofsUtils15 } from './image-tools.ts';
import { writeHoles, writeManyFiles } from './image-files.ts';
import { reasonOf } from './oracle.ts';
import { mksquashfs } from './squashfs-tools.ts';

/** Changed images of each kind. */
const ROUNDS = 300;
/** What one of them may read: each of its blocks may be asked for in more than one way. */
const MOST_BYTES = 64 * 1024 * 1024;
/** How much of each file is read: a changed size may be anything. */
const READ_AT_ONCE = 1024 * 1024;

const OURS = ['read', 'FormatError', 'LimitError', 'UnsupportedError', 'SystemError'];

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

/** `tellsItsSize`: an image that ends too soon is not opened; of others what is there is read. */
type Kind = { readonly name: string; readonly tellsItsSize?: boolean; readonly open: (source: ByteSource) => ImageTree; readonly make: (image: string, files: string) => void };

const ext4 = (options: string): Kind => ({
  name: `mke2fs ${options}`,
  tellsItsSize: true,
  open: openExt4,
  make(image, files) {
    writeFileSync(image, '');
    truncateSync(image, 256 * 1024);
    execFileSync(findTool('mke2fs') ?? '', ['-q', '-F', '-N', '64', '-m', '0', '-d', files, ...options.split(' '), image], { stdio: 'pipe' });
  },
});
const squashfs = (options: string): Kind => ({
  name: `mksquashfs ${options}`,
  tellsItsSize: true,
  open: (source) => openSquashfs(source, { decompressor: { decompress } }),
  make(image, files) {
    if (typeof mksquashfs !== 'string') mksquashfs([files, image, '-noappend', '-quiet', '-no-progress', '-nopad', ...options.split(' ')]);
  },
});
const erofs = (options: string): Kind => ({
  name: `mkfs.erofs ${options}`,
  open: openErofs,
  make: (image, files) => void execFileSync(erofsUtils15().command('mkfs.erofs'), [...options.split(' '), image, files], { stdio: 'pipe' }),
});
const archive = (name: string, open: Kind['open'], command: string): Kind => ({
  name, open, make: (image, files) => void execFileSync('sh', ['-c', command], { cwd: files, env: { ...process.env, OUT: image }, stdio: 'pipe' }),
});
const kinds = [
  ext4('-t ext4 -b 1024 -O ^has_journal'), ext4('-t ext4 -b 1024 -O ^has_journal,^metadata_csum'), ext4('-t ext4 -b 1024 -O ^has_journal,^metadata_csum,inline_data'),
  ext4('-t ext2 -b 1024'), squashfs('-comp gzip'), squashfs('-comp xz'), squashfs('-comp lz4'), squashfs('-noI -noD -noF -b 4096'), squashfs('-noI -noD -no-fragments -b 4096'),
  erofs('-T0'), erofs('-T0 -zlz4'), archive('cpio', openCpio, 'find . | cpio -o -H newc > $OUT'), archive('tar', openTar, 'tar -cf $OUT .'),
];

describe.each(kinds)('an image of $name', ({ name, open, make, tellsItsSize }) => {
  let image = Buffer.alloc(0);
  const reason = whyNot(name);
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
    expect([...outcomes].filter((outcome) => !OURS.includes(outcome))).toEqual([]);
  }, 120_000);

  it('throws our errors only with any one of its words changed', ({ skip }) => {
    skip(reason !== undefined, reason);
    const changed = Buffer.from(image);
    const unexpected: string[] = [];
    for (let at = 0; at + 4 <= image.length; at += 4) {
      const word = image.readUInt32LE(at);
      // A page of zeros is free room, and contents of the large file are no structure.
      if ((word === 0 && isEmpty(image, at)) || /^[large]{4}$/.test(image.toString('latin1', at, at + 4))) continue;
      for (const other of [0xffff_ffff, (word + 1) >>> 0]) {
        changed.writeUInt32LE(other, at);
        const outcome = readAll(open, changed);
        if (!OURS.includes(outcome)) unexpected.push(`${outcome} with ${other.toString(16)} at ${at}`);
      }
      changed.writeUInt32LE(word, at);
    }
    expect(unexpected).toEqual([]);
  }, 120_000);

  it('throws FormatErrors only, cut off at any block', ({ skip }) => {
    skip(reason !== undefined, reason);
    const outcomes = new Set(['FormatError']);
    for (let length = 0; length < image.length; length += 512) {
      const part = image.subarray(0, length);
      if (tellsItsSize) expect(() => open(memorySource(part, 'image')), `${length} bytes`).toThrow(FormatError);
      else outcomes.add(readAll(open, part));
    }
    // What is cut off behind the last file is no loss, and an archive of nothing is empty.
    expect([...outcomes].filter((outcome) => outcome !== 'read')).toEqual(['FormatError']);
    if (!tellsItsSize) expect(readAll(open, image.subarray(0, 4096 + 512))).toBe('FormatError');
  });
});

/** What the tool of a kind lacks here. */
function whyNot(name: string): string | undefined {
  if (name.startsWith('mksquashfs')) return typeof mksquashfs === 'string' ? mksquashfs : undefined;
  if (name.startsWith('mkfs.erofs')) return undefined;
  const [tool, debianPackage] = name.startsWith('mke2fs') ? ['mke2fs', 'e2fsprogs'] : [name, name];
  return findTool(tool) === undefined ? reasonOf(`${debianPackage} is not installed`) : undefined;
}

function change(bytes: Buffer, at: number, next: (below: number) => number): void {
  switch (next(5)) {
    case 0: bytes[at] = next(256); break;
    case 1: bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8)); break;
    case 2: bytes[at] = ((bytes[at] ?? 0) + 1) & 0xff; break;
    case 3: bytes.writeUInt32LE([0, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000][next(4)] ?? 0, at); break;
    default: bytes.copy(bytes, at, next(bytes.length - 16), next(bytes.length - 16) + 8); break;
  }
}

/** Whether there is nothing around a place. */
function isEmpty(image: Buffer, at: number): boolean {
  const start = at - (at % 64);
  return image.subarray(start, start + 64).every((byte) => byte === 0);
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
