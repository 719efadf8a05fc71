import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { UnsupportedError } from '../../src/errors.ts';
import { countingSource } from '../../src/image/byte-source.ts';
import { openImage } from '../../src/image/detect.ts';
import { openExt4 } from '../../src/image/ext4.ts';
import { resolve } from '../../src/image/image-tree.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { listDirectory, listImage, makeImageFiles, withFileSource, writeHoles, writeManyFiles, type Listed } from './image-files.ts';
import { reasonOf, run } from './oracle.ts';

const reason = findTool('mke2fs') === undefined ? reasonOf('e2fsprogs is not installed (apt-get install e2fsprogs)') : undefined;

let scratch = '';
let expected: readonly Listed[] = [];
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-ext4-'));
  mkdirSync(join(scratch, 'files'));
  makeImageFiles(join(scratch, 'files'));
  expected = listDirectory(join(scratch, 'files')).filter(({ path }) => path !== '');
});
beforeEach(({ skip }) => skip(reason !== undefined, reason));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function makeFiles(name: string, fill: (directory: string) => void): string {
  const directory = join(scratch, name);
  if (existsSync(directory)) return directory;
  mkdirSync(directory);
  fill(directory);
  return directory;
}

function makeImage(args: readonly string[], size: string, files = join(scratch, 'files')): string {
  const image = join(scratch, 'image');
  rmSync(image, { force: true });
  tool('mke2fs', ['-q', '-F', '-d', files, ...args, image, size]);
  return image;
}

function tool(name: string, args: readonly string[], allowed: readonly number[] = [0]): string {
  const { status, stdout, stderr } = run(findTool(name) ?? name, args);
  if (status === null || !allowed.includes(status)) throw new Error(`${name} ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

/** mke2fs gives the root the time at which it runs. */
const list = (image: string) => withFileSource(image, (source) => listImage(openImage(source), source, ['', 'lost+found']));

describe('openExt4', () => {
  it.each<readonly [string, string?]>([
    ['-t ext4'], ['-t ext4 -b 1024'], ['-t ext4 -b 2048'], ['-t ext4 -b 65536', '64M'], ['-t ext4 -b 16384', '32M'],
    ['-t ext4 -O ^64bit'], ['-t ext4 -O ^metadata_csum'], ['-t ext4 -O ^metadata_csum,^64bit,uninit_bg'], ['-t ext4 -O ^has_journal'],
    ['-t ext4 -I 128'], ['-t ext4 -I 512'],
    ['-t ext4 -O meta_bg,^resize_inode -b 1024 -g 256'], ['-t ext4 -O meta_bg,^resize_inode,^flex_bg,^sparse_super -b 1024 -g 512'],
    ['-t ext4 -O bigalloc -C 16384'], ['-t ext4 -O bigalloc,meta_bg,^resize_inode -b 1024 -C 4096'],
    ['-t ext4 -O sparse_super2,^resize_inode -b 1024 -g 512'], ['-t ext4 -O metadata_csum_seed,large_dir,ea_inode,^flex_bg'], ['-t ext4 -O encrypt,casefold,mmp'],
    ['-t ext4 -O ^extents,^64bit -b 1024'], ['-t ext4 -O ^extents,^64bit -b 4096'], ['-t ext3 -b 1024'], ['-t ext2 -b 1024'], ['-t ext2 -O ^filetype'], ['-t ext2 -r 0 -O none'],
  ])('reads what mke2fs %s writes', (options = '', size = '24M') => {
    expect(list(makeImage(options.split(' '), size))).toEqual(expected);
  });

  it.each(['-t ext4 -O inline_data -I 256', '-t ext4 -O inline_data,^metadata_csum -I 1024 -b 1024'])('reads what mke2fs %s writes, without files with holes', (options) => {
    // mke2fs 1.47 gives them a wrong size: debugfs, too, reads other files out of it.
    const holes = ['holes/combed', 'holes/few', 'holes/nothing'];
    expect(list(makeImage(options.split(' '), '24M')).filter(({ path }) => !holes.includes(path))).toEqual(expected.filter(({ path }) => !holes.includes(path)));
  });

  it.each(['-t ext4 -b 1024', '-t ext4 -b 4096', '-t ext4 -b 1024 -O ^metadata_csum'])('reads the indexed directories that e2fsck -D makes of %s', (options) => {
    // So many long names are an index of two levels in blocks of 1 KiB.
    const files = makeFiles('many', (directory) => writeManyFiles(directory, 700));
    const image = makeImage(options.split(' '), '4M', files);
    tool('e2fsck', ['-fyD', image], [0, 1]);
    expect(tool('debugfs', ['-R', 'htree_dump /', image])).toContain(`Indirect levels: ${options.includes('1024') ? 1 : 0}`);
    expect(list(image)).toEqual(listDirectory(files).slice(1));
  });

  it.each(['-t ext4 -b 1024', '-t ext2 -b 1024'])('reads a file with holes of any size out of %s', (options) => {
    // Behind everything that two levels of a block map hold.
    const files = makeFiles('far', (directory) => writeHoles(join(directory, 'far'), 68 * 1024 * 1024 + 5, [[0, Buffer.from('a')], [5 << 20, Buffer.alloc(70_000, 'b')], [67 << 20, Buffer.from('c')]]));
    expect(list(makeImage(options.split(' '), '4M', files))).toEqual(listDirectory(files).slice(1));
  });

  it('reads blocks that are allocated and not yet written as zeros', () => {
    const files = makeFiles('plain', (directory) => writeFileSync(join(directory, 'file'), 'x'.repeat(10_000)));
    const image = makeImage(['-t', 'ext4', '-b', '1024'], '1M', files);
    tool('debugfs', ['-w', '-R', 'fallocate /file 10 40', image]);
    tool('debugfs', ['-w', '-R', 'set_inode_field /file size 40000', image]);
    const contents = withFileSource(image, (source) => {
      const tree = openExt4(source);
      const entry = tree.entry('file');
      return entry && [Buffer.from(tree.read(entry)), tree.extent(entry)];
    });
    expect(contents).toEqual([Buffer.concat([Buffer.from('x'.repeat(10_000)), Buffer.alloc(30_000)]), undefined]);
  });

  it('reads little of a large image for one file', () => {
    const files = makeFiles('thousands', (directory) => {
      for (let index = 0; index < 2000; index += 1) {
        const name = join(directory, `kernel/drivers/${index % 40}/${index}.ko.xz`);
        mkdirSync(dirname(name), { recursive: true });
        writeFileSync(name, `${index}`.repeat(index));
      }
    });
    const image = makeImage(['-t', 'ext4', '-O', '^has_journal', '-b', '1024'], '24M', files);
    const read = withFileSource(image, (file) => {
      const source = countingSource(file);
      const tree = openExt4(source);
      const opened = source.bytesRead;
      const entry = resolve(tree, 'kernel/drivers/7/1207.ko.xz');
      return { opened, found: source.bytesRead - opened, contents: entry && Buffer.from(tree.read(entry)).toString(), all: source.bytesRead };
    });
    // A superblock, a descriptor and an inode; then four directories of one block and four inodes; then the file.
    const [opened, found] = [1024 + 64 + 256, 4 * 1024 + 4 * 256];
    expect(read).toEqual({ opened, found, contents: '1207'.repeat(1207), all: opened + found + 4828 });
  });

  it('follows symlinks inside the image only, and finds no end in none', () => {
    const image = makeImage(['-t', 'ext4'], '24M');
    withFileSource(image, (source) => {
      const tree = openExt4(source);
      expect(resolve(tree, 'links/absolute')?.path).toBe('sizes/text-100');
      expect(resolve(tree, 'links/good')?.path).toBe('sizes/text-100');
      expect(resolve(tree, 'links/out')).toBe(undefined);
      expect(() => resolve(tree, 'links/loop')).toThrow('ELOOP');
      expect([tree.entry('links/good/x'), tree.entry('sizes/..'), tree.entry('./sizes'), tree.list('sizes/text-1'), tree.entry('')?.kind])
        .toEqual([undefined, undefined, undefined, undefined, 'directory']);
    });
  });
});

describe('openExt4 of what it refuses', () => {
  const attempt = (commands: string, options = '-t ext4') => () => {
    const image = makeImage([...options.split(' '), '-b', '1024'], '4M', makeFiles('refused', (directory) => {
      mkdirSync(join(directory, 'directory'));
      writeFileSync(join(directory, 'directory/file'), 'x'.repeat(2000));
    }));
    for (const command of commands.split('; ')) tool('debugfs', ['-w', '-R', command, image]);
    list(image);
  };

  it.each<readonly [string, string]>([
    ['feature needs_recovery', 'image: the ext4 file system was not unmounted, its journal has to be replayed first: e2fsck -p image'],
    ['feature journal_dev', 'image: the ext4 feature journal_dev is not read here; mount the image instead'],
    ['feature dirdata', 'image: the ext4 feature dirdata is not read here; mount the image instead'],
    ['feature FEATURE_I30', 'image: the ext4 feature FEATURE_I30 is not read here; mount the image instead'],
    ['set_inode_field directory flags 0x40000000', 'which is not read here'],
    ['set_inode_field directory flags 0x800', 'is encrypted'],
    ['set_inode_field directory/file flags 0x80800', 'is encrypted'],
  ])('says what is in the way after %s', (command = '', message) => {
    expect(attempt(command)).toThrow(UnsupportedError);
    expect(attempt(command)).toThrow(message);
  });

  it.each<readonly [string, string, string?]>([
    // Two names of one directory, one of them inside it: the walk does not end by itself.
    ['link directory directory/again', 'expected each directory once'],
    ['set_inode_field directory/file size 5000000000000', 'MAX_IMAGE_READ'],
    ['set_inode_field directory size 102400', 'expected a directory of 1 blocks of 1024'],
    ['set_inode_field directory size 700000000', 'MAX_DIRECTORY_SIZE'],
    ['set_inode_field directory/file block[1] 0x30004; set_inode_field directory/file block[4] 50; set_inode_field directory/file block[5] 0', 'expected the checksum'],
    ['set_inode_field directory/file block[1] 0x30004; set_inode_field directory/file block[4] 50; set_inode_field directory/file block[5] 0', 'expected the magic of extents', '-t ext4 -O ^metadata_csum'],
    ['set_inode_field directory/file block[1] 0x60004', 'expected the depth'],
    ['set_inode_field directory/file block[0] 99999', 'blocks from 1 to', '-t ext2 -O ^64bit'],
    ['set_inode_field / mode 0100644', 'expected the root directory'],
    ['set_inode_field directory/file mode 0', 'expected an inode in use'],
  ])('throws after %s', (command = '', message, options) => {
    expect(attempt(command, options)).toThrow(message);
  });
});
