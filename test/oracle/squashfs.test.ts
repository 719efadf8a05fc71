import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { UnsupportedError } from '../../src/errors.ts';
import { countingSource } from '../../src/image/byte-source.ts';
import type { Decompressor } from '../../src/image/compressed-segment.ts';
import { openImage } from '../../src/image/detect.ts';
import { resolve } from '../../src/image/image-tree.ts';
import { openSquashfs } from '../../src/image/squashfs.ts';
import { decompress } from '../../src/kmod/compression.ts';
import { openSystem } from '../../src/system.ts';
import { listDirectory, listImage, makeImageFiles, withFileSource, type Listed } from './image-files.ts';
import { mksquashfs } from './squashfs-tools.ts';

let scratch = '';
let expected: readonly Listed[] = [];
let codecs = {};
beforeAll(async () => {
  const { xz, zstd } = await openSystem().native();
  codecs = { xz, zstd };
  scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-squashfs-'));
  mkdirSync(join(scratch, 'files'));
  makeImageFiles(join(scratch, 'files'));
  expected = listDirectory(join(scratch, 'files'));
});
beforeEach(({ skip }) => skip(typeof mksquashfs === 'string', typeof mksquashfs === 'string' ? mksquashfs : undefined));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function makeImage(options: string, files = 'files'): string {
  const image = join(scratch, 'image');
  rmSync(image, { force: true });
  if (typeof mksquashfs !== 'string') mksquashfs([join(scratch, files), image, '-noappend', '-quiet', '-no-progress', ...options.split(' ')]);
  return image;
}

const decompressor: Decompressor = { decompress: (data, compression, options) => decompress(data, compression, { ...options, codecs }) };
const list = (image: string) => withFileSource(image, (source) => listImage(openImage(source, { decompressor }), source));

describe('openSquashfs', () => {
  it.each([
    '-comp gzip', '-comp xz', '-comp zstd', '-comp xz -Xbcj x86 -b 1M', '-comp gzip -b 4096', '-comp zstd -b 1M -Xcompression-level 19',
    '-noI -noD -noF -noX', '-comp xz -noI', '-comp gzip -noD', '-comp zstd -noF', '-comp gzip -no-fragments', '-comp gzip -always-use-fragments',
    '-comp zstd -tailends -b 8192', '-noI -noD -noF -no-fragments', '-comp gzip -no-duplicates -no-exports -no-xattrs', '-comp gzip -no-sparse -b 16384',
    '-comp gzip -noIdTableCompression -nopad', '-comp lz4', '-comp lz4 -Xhc -b 1M',
  ])('reads what mksquashfs %s writes', (options) => {
    expect(list(makeImage(options))).toEqual(expected);
  });

  it.each(['lzo'])('says which compression it does not read: %s', (compression) => {
    expect(() => list(makeImage(`-comp ${compression}`))).toThrow(UnsupportedError);
  });

  it('reads little of a large image for one file', () => {
    for (let index = 0; index < 2000; index += 1) {
      const name = join(scratch, `thousands/kernel/drivers/${index % 40}/${index}.ko.xz`);
      mkdirSync(dirname(name), { recursive: true });
      writeFileSync(name, `${index}`.repeat(index));
    }
    const image = makeImage('-noI -noD -noF', 'thousands');
    const read = withFileSource(image, (file) => {
      const source = countingSource(file);
      const tree = openSquashfs(source, { decompressor });
      const opened = source.bytesRead;
      const entry = resolve(tree, 'kernel/drivers/7/1207.ko.xz');
      return { opened, found: source.bytesRead - opened, contents: entry && Buffer.from(tree.read(entry)).toString(), all: source.bytesRead };
    });
    // The metadata of two thousand inodes is 11 blocks of 8 KiB, and their names are 6: of these, the ones on the way.
    expect(read.contents).toBe('1207'.repeat(1207));
    expect(read.opened).toBeLessThan(2 * 8200 + 96);
    expect(read.found).toBeLessThan(6 * 8200);
    expect(read.all).toBeLessThan(read.opened + read.found + 4828 + 8200);
  });

  it('follows symlinks inside the image only, and finds no end in none', () => {
    withFileSource(makeImage('-comp gzip'), (source) => {
      const tree = openSquashfs(source, { decompressor });
      expect([resolve(tree, 'links/absolute')?.path, resolve(tree, 'links/good')?.path, resolve(tree, 'links/out')]).toEqual(['sizes/text-100', 'sizes/text-100', undefined]);
      expect(() => resolve(tree, 'links/loop')).toThrow('ELOOP');
      expect([tree.entry('links/good/x'), tree.entry('sizes/..'), tree.entry('./sizes'), tree.list('sizes/text-1'), tree.entry('')?.kind])
        .toEqual([undefined, undefined, undefined, undefined, 'directory']);
    });
  });
});
