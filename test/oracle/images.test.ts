// Images that the real tools write, read by ours, file by file.

import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { FormatError, LimitError, SystemError, UnsupportedError } from '../../src/errors.ts';
import { countingSource, memorySource } from '../../src/image/byte-source.ts';
import { openImage } from '../../src/image/detect.ts';
import { erofsChunks, type ErofsWriteEntry } from '../../src/image/erofs-write.ts';
import { openFileSource } from '../../src/image/file-source.ts';
import { compressedEnd } from '../../src/kmod/compressed-end.ts';
import { decompress } from '../../src/kmod/compression.ts';
import { resolve, walk, type ImageTree } from '../../src/image/image-tree.ts';
import { random } from '../random.ts';
import { erofsUtils15, erofsUtils18, imageBy, listingOfDirectory, listingOfImage, makeTree, scratch, sumOf } from './image-tools.ts';

const top = makeTree();
const expected = listingOfDirectory(top);
const decompressor = { decompress, compressedEnd };

function openFile(path: string): ImageTree {
  return openImage(memorySource(readFileSync(path), 'image'), { decompressor });
}

describe('openImage with a cpio archive', () => {
  const newc = 'find . | LC_ALL=C sort | cpio -o -H newc --quiet';

  it.each([
    ['newc', `${newc} > $OUT`],
    ['with sums', 'find . | cpio -o -H crc --quiet > $OUT'],
    ['without ./', `find . -mindepth 1 -printf '%P\\n' | cpio -o -H newc --quiet > $OUT`],
    ['gzip', `${newc} | gzip -1 > $OUT`],
    ['xz', `${newc} | xz -1 --check=crc32 > $OUT`],
    ['zeros and a plain one before a compressed one', `(find 4096 many | cpio -o -H newc --quiet; head -c 4096 /dev/zero; ${newc} | xz -0 --check=crc32) > $OUT`],
    ['compressed ones one after the other, and a plain one', `(find 4096 | cpio -o -H newc --quiet | gzip -1; find many | cpio -o -H newc --quiet | xz -0; head -c 512 /dev/zero; ${newc}) > $OUT`],
  ])('reads %s', (_, command) => {
    expect(listingOfImage(openFile(imageBy(command, top)))).toEqual(expected);
  });

  it('gives all links of a file the contents, which come with the last one', () => {
    const tree = openFile(imageBy(`${newc} > $OUT`, top));
    expect(tree.entry('many/hard')?.inode).toBe(tree.entry('10000/words')?.inode);
  });

  it('finds a file again where the image says, and reads no more than headers to open', () => {
    const image = imageBy(`${newc} > $OUT`, top);
    const source = openFileSource(image);
    const counted = countingSource(source);
    const tree = openImage(counted);
    expect(counted.bytesRead).toBeLessThan(Object.keys(expected).length * 300 + 8192);
    expectExtent(tree, readFileSync(image));
    source.close();
  });
});

describe('openImage with a tar archive', () => {
  it.each([
    ['GNU', 'tar -c --format=gnu -f $OUT .'],
    ['pax', 'tar -c --format=pax -f $OUT .'],
    ['ustar', 'tar -c --format=ustar --exclude=far --exclude=x* -f $OUT .'],
    ['v7', 'tar -c --format=v7 --exclude=far --exclude=x* --exclude=pipe -f $OUT .'],
    ['gzip', 'tar -c -f - . | gzip -1 > $OUT'],
    ['xz', 'tar -c -f - . | xz -0 > $OUT'],
    ['large numbers', 'tar -c --format=gnu --owner=:3000000 --group=:3000000 --mtime=@-5 -f $OUT .'],
  ])('reads %s', (name, command) => {
    const missing = name === 'ustar' || name === 'v7' ? /^many\/(?:far|x+)$/ : /^$/;
    const wanted = Object.fromEntries(Object.entries(expected).filter(([path]) => !missing.test(path) && !(name === 'v7' && path === 'pipe')));
    const tree = openFile(imageBy(command, top));
    expect(listingOfImage(tree)).toEqual(wanted);
    if (name === 'large numbers') expect(tree.entry('link')).toMatchObject({ uid: 3_000_000, gid: 3_000_000, mtime: -5 });
  });

  it('finds a file again where the image says', () => {
    const image = imageBy('tar -c -f $OUT .', top);
    expectExtent(openFile(image), readFileSync(image));
  });

  it('says that sparse files are not read', () => {
    const sparse = 'truncate -s 1M $OUT.file; tar -c --sparse';
    expect(() => openFile(imageBy(`${sparse} --format=gnu -f $OUT $OUT.file`, top))).toThrow(UnsupportedError);
    expect(() => openFile(imageBy(`${sparse} --format=pax -f $OUT $OUT.file`, top))).toThrow(/without --sparse/);
  });
});

describe.each([erofsUtils15(), erofsUtils18()])('openImage with an image of $name', ({ name, command }) => {
  const mkfs = command('mkfs.erofs');
  const modern = name.endsWith('1.8') ? ['-b1024 -zlz4', '-b2048 -zlz4 -Efragments', '-b512', '--dsunit=16', '-zlz4:lz4hc'] : [];

  it.each([
    '', '-Enoinline_data -x-1 -T0', '-Eforce-inode-extended', '-Enosbcrc', '--chunksize=4096', '--chunksize=16384 -Eforce-chunk-indexes', '-zlz4', '-zlz4hc', '-zlz4hc,9 -C65536',
    '-zlz4 -Elegacy-compress', '-zlz4 -Eztailpacking', '-zlz4hc -Eztailpacking -C16384', '-zlz4 -Efragments -C65536', '-zlz4 -Eall-fragments,ztailpacking',
    '-zlz4 --max-extent-bytes=16384', ...modern,
  ])('reads %s', (options) => {
    const tree = openFile(imageBy(`${mkfs} ${options} $OUT . >/dev/null`, top));
    expect(listingOfImage(tree)).toEqual(expected);
    const entry = tree.entry('200001/deeper/mixed');
    const whole = entry && tree.read(entry);
    for (const [offset, length] of [[0, 1], [4090, 10], [100_000, 5000], [200_000, 100_000]] as const) {
      expect(entry && sumOf(tree.read(entry, offset, length))).toBe(sumOf(whole?.subarray(offset, offset + length) ?? Buffer.alloc(0)));
    }
  });

  it('reads a file by name without the rest of the image', () => {
    const image = imageBy(`${mkfs} -Enoinline_data $OUT . >/dev/null`, top);
    const source = openFileSource(image);
    const counted = countingSource(source);
    const tree = openImage(counted);
    const entry = resolve(tree, 'link');
    expect(entry?.path).toBe('10000/words');
    expect(entry && tree.read(entry).length).toBe(10_000);
    expect(counted.bytesRead).toBeLessThan(10_000 + 16_384);
    expectExtent(tree, readFileSync(image));
    source.close();
  });
});

describe('erofsChunks', () => {
  it.each([erofsUtils15(), erofsUtils18()])('writes what fsck.erofs of $name extracts as it was', ({ command }) => {
    const entries = readdirSync(top, { recursive: true, encoding: 'utf8' }).flatMap((path): ErofsWriteEntry[] => {
      const file = join(top, path);
      const stat = lstatSync(file);
      if (stat.isDirectory()) return [{ path, kind: 'directory' }];
      if (stat.isSymbolicLink()) return [{ path, kind: 'symlink', target: readlinkSync(file) }];
      return stat.isFile() ? [{ path, kind: 'file', size: stat.size, read: (target, offset) => void readFileSync(file).copy(target, 0, offset) }] : [];
    });
    const pieces = Array.from(erofsChunks(entries), (bytes) => Buffer.from(bytes));
    const image = join(scratch, 'ours');
    writeFileSync(image, Buffer.concat(pieces));
    const extracted = imageBy(`${command('fsck.erofs')} --extract=$OUT ${image}`, top);
    const { pipe, ...rest } = expected;
    expect(pipe).toBe('other');
    expect(listingOfDirectory(extracted)).toEqual(rest);
  });
});

describe('openImage with erofs of other compression', () => {
  it.each(['lzma', 'deflate', 'zstd'])('names %s', (algorithm) => {
    const tree = openFile(imageBy(`${erofsUtils18().command('mkfs.erofs')} -z${algorithm} $OUT . >/dev/null 2>&1`, top));
    expect(() => listingOfImage(tree)).toThrow(UnsupportedError);
    expect(() => listingOfImage(tree)).toThrow(algorithm);
  });
});

describe('openImage with damaged images', () => {
  const small = 'many/naïve link many/hard 4097 pipe';
  it.each([
    ['cpio', `find ${small} | cpio -o -H crc --quiet > $OUT`],
    ['tar', `tar -c -f $OUT ${small}`],
    ['pax', `tar -c --format=pax -f $OUT ${small}`],
    ['erofs', `${erofsUtils18().command('mkfs.erofs')} -Enosbcrc -zlz4hc -C8192 -Eztailpacking $OUT 4097 >/dev/null`],
    ['erofs, full indexes', `${erofsUtils15().command('mkfs.erofs')} -Enosbcrc -zlz4 -Elegacy-compress $OUT 10000 >/dev/null`],
    ['erofs, fragments', `${erofsUtils18().command('mkfs.erofs')} -Enosbcrc -zlz4 -Efragments $OUT 10000 >/dev/null`],
    ['erofs, flat', `${erofsUtils15().command('mkfs.erofs')} -Enosbcrc $OUT 4097 >/dev/null`],
    ['erofs, chunks', `${erofsUtils15().command('mkfs.erofs')} -Enosbcrc --chunksize=4096 $OUT 10000 >/dev/null`],
  ])('%s: throws our errors only', (_, command) => {
    const image = readFileSync(imageBy(command, top));
    const below = random(11);
    for (let end = 0; end < image.length; end += 512) readAll(image.subarray(0, end));
    for (let round = 0; round < 400; round++) {
      const bytes = Buffer.from(image);
      for (let change = 0; change <= round % 3; change++) {
        // Most structures are near the beginning; half of the changes hit bytes that are not zero.
        let at = below(round % 2 === 0 ? Math.min(bytes.length, 8192) : bytes.length);
        for (let tries = 0; bytes[at] === 0 && tries < 50 && round % 4 < 2; tries++) at = below(bytes.length);
        bytes[at] = [below(256), 0, 0xff, (bytes[at] ?? 0) ^ (1 << below(8))][below(4)] ?? 0;
      }
      readAll(bytes);
    }
  });
});

/** Reads everything; errors of our own classes are fine. */
function readAll(bytes: Uint8Array): void {
  tolerate(() => {
    const tree = openImage(memorySource(bytes, 'image'), { decompressor });
    for (const entry of walk(tree)) {
      tolerate(() => (entry.kind === 'file' ? tree.read(entry, 0, 1 << 20) : entry.kind === 'symlink' ? tree.readlink(entry) : undefined));
      tolerate(() => tree.extent(entry));
      tolerate(() => resolve(tree, entry.path));
    }
  });
}

function tolerate(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError || error instanceof SystemError)) throw error;
  }
}

function expectExtent(tree: ImageTree, image: Uint8Array): void {
  const entry = tree.entry('65536/noise');
  const extent = entry && tree.extent(entry);
  expect(extent?.length).toBe(65_536);
  expect(sumOf(image.subarray(extent?.offset, (extent?.offset ?? 0) + 65_536))).toBe(expected['65536/noise']);
}
