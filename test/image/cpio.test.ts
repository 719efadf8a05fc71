// Tests of the newc writer and reader, with busybox and cpio(1) as the other side.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { FormatError, LimitError } from '../../src/errors.ts';
import {
  CPIO_BLOCK, cpioChunks, formatCpio, parseCpio, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, type CpioEntry,
} from '../../src/image/cpio.ts';

const ENTRIES: readonly CpioEntry[] = [
  { path: 'init', mode: S_IFREG | 0o755, data: Buffer.from('#!/bin/sh\n') },
  { path: 'bin', mode: S_IFDIR | 0o755 },
  { path: 'bin/sh', mode: S_IFLNK | 0o777, data: Buffer.from('busybox') },
  { path: 'dev', mode: S_IFDIR | 0o755 },
  { path: 'dev/vda', mode: S_IFBLK | 0o660, rdev: { major: 254, minor: 16 } },
  { path: 'dev/null', mode: S_IFCHR | 0o666, rdev: { major: 1, minor: 3 } },
  { path: 'empty', mode: S_IFREG | 0o600, data: Buffer.alloc(0) },
  { path: 'naïve name', mode: S_IFREG | 0o644, data: Buffer.from('12345') },
];

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

describe('formatCpio', () => {
  it('writes what parseCpio reads, sorted, with numbered inodes and no times', () => {
    expect(parseCpio(formatCpio(ENTRIES)).map(({ data, ...rest }) => ({ ...rest, data: Buffer.from(data).toString() }))).toEqual([
      { path: 'bin', mode: 0o40755, ino: 1, uid: 0, gid: 0, nlink: 2, mtime: 0, data: '' },
      { path: 'bin/sh', mode: 0o120777, ino: 2, uid: 0, gid: 0, nlink: 1, mtime: 0, data: 'busybox' },
      { path: 'dev', mode: 0o40755, ino: 3, uid: 0, gid: 0, nlink: 2, mtime: 0, data: '' },
      { path: 'dev/null', mode: 0o20666, ino: 4, uid: 0, gid: 0, nlink: 1, mtime: 0, data: '', rdev: { major: 1, minor: 3 } },
      { path: 'dev/vda', mode: 0o60660, ino: 5, uid: 0, gid: 0, nlink: 1, mtime: 0, data: '', rdev: { major: 254, minor: 16 } },
      { path: 'empty', mode: 0o100600, ino: 6, uid: 0, gid: 0, nlink: 1, mtime: 0, data: '' },
      { path: 'init', mode: 0o100755, ino: 7, uid: 0, gid: 0, nlink: 1, mtime: 0, data: '#!/bin/sh\n' },
      { path: 'naïve name', mode: 0o100644, ino: 8, uid: 0, gid: 0, nlink: 1, mtime: 0, data: '12345' },
    ]);
  });

  it('gives the same bytes for any order of the members', () => {
    expect(formatCpio([...ENTRIES].reverse())).toEqual(formatCpio(ENTRIES));
  });

  it('pads a segment to 512 bytes, the empty one too', () => {
    expect(formatCpio(ENTRIES).length % CPIO_BLOCK).toBe(0);
    expect(formatCpio([]).length).toBe(CPIO_BLOCK);
  });

  it('adds the parents that are missing', () => {
    const paths = parseCpio(formatCpio([{ path: 'a/b/c', mode: S_IFREG | 0o644 }, { path: 'a-b', mode: S_IFREG | 0o644 }])).map((e) => e.path);
    expect(paths).toEqual(['a', 'a-b', 'a/b', 'a/b/c']);
  });

  it('keeps the later of two members with one path', () => {
    const [entry] = parseCpio(formatCpio([
      { path: 'x', mode: S_IFREG | 0o644, data: Buffer.from('old') },
      { path: 'x', mode: S_IFREG | 0o600, data: Buffer.from('new') },
    ]));
    expect([entry?.mode, Buffer.from(entry?.data ?? []).toString()]).toEqual([0o100600, 'new']);
  });

  it.each(['', '/abs', 'a/../b', '..', 'nul\0', 'TRAILER!!!'])('refuses the path %j', (path) => {
    expect(() => formatCpio([{ path, mode: S_IFREG | 0o644 }])).toThrow(FormatError);
  });

  it('writes an archive that cpio(1) or busybox unpacks', () => {
    const directory = mkdtempSync(join(tmpdir(), 'cpio-test-'));
    directories.push(directory);
    const files = ENTRIES.filter((entry) => !entry.path.startsWith('dev/'));
    execFileSync('busybox', ['cpio', '-i', '-d'], { cwd: directory, input: formatCpio(files), stdio: 'pipe' });
    expect([
      readFileSync(join(directory, 'init'), 'utf8'), readFileSync(join(directory, 'naïve name'), 'utf8'),
      readlinkSync(join(directory, 'bin/sh')), statSync(join(directory, 'init')).mode, statSync(join(directory, 'empty')).size,
    ]).toEqual(['#!/bin/sh\n', '12345', 'busybox', 0o100755, 0]);
  });
});

describe('cpioChunks', () => {
  it('yields a reference in the place of the contents', () => {
    const reference = { path: 'big', mode: S_IFREG | 0o644, size: 5, from: '/some/where' };
    const chunks = [...cpioChunks([reference])].map((chunk) => (chunk === reference ? Buffer.from('12345') : chunk as Uint8Array));
    expect(Buffer.concat(chunks)).toEqual(formatCpio([{ path: 'big', mode: S_IFREG | 0o644, data: Buffer.from('12345') }]));
  });

  it('refuses a file that the format cannot hold', () => {
    expect(() => [...cpioChunks([{ path: 'big', mode: S_IFREG | 0o644, size: 2 ** 32, from: '' }])]).toThrow(LimitError);
  });
});

describe('parseCpio', () => {
  it('reads segments that follow each other, with padding between them', () => {
    const one = formatCpio([{ path: 'one', mode: S_IFREG | 0o644 }]);
    const two = formatCpio([{ path: 'two', mode: S_IFREG | 0o644 }]);
    expect(parseCpio(Buffer.concat([one, Buffer.alloc(1024), two])).map((entry) => entry.path)).toEqual(['one', 'two']);
  });

  it('reads what busybox writes', () => {
    const archive = execFileSync('busybox', ['cpio', '-o', '-H', 'newc'], { cwd: sampleTree(), input: SAMPLE_LIST, stdio: 'pipe' });
    expect(parseCpio(archive).map(({ path, data }) => [path, Buffer.from(data).toString()])).toEqual(SAMPLE);
  });

  it('reads both variants that cpio(1) writes', ({ skip }) => {
    skip(spawnSync('cpio', ['--version']).status !== 0, 'cpio(1) is not installed');
    for (const format of ['newc', 'crc']) {
      const archive = execFileSync('cpio', ['-o', '-H', format, '--quiet'], { cwd: sampleTree(), input: SAMPLE_LIST });
      expect(parseCpio(archive).map(({ path, data }) => [path, Buffer.from(data).toString()])).toEqual(SAMPLE);
    }
  });

  it('checks the sum of the crc variant', () => {
    const archive = formatCpio([{ path: 'x', mode: S_IFREG | 0o644, data: Buffer.from([1, 2, 255]) }]);
    archive.write('070702', 0);
    archive.write('00000102', 102);
    expect(parseCpio(archive)).toHaveLength(1);
    archive.write('00000103', 102);
    expect(() => parseCpio(archive)).toThrow('cpio archive: at offset 112: expected a sum of 259, found 258');
  });

  it('throws a FormatError for a truncation at every byte before the trailer ends', () => {
    const archive = formatCpio(ENTRIES);
    const end = archive.indexOf('TRAILER!!!') + 'TRAILER!!!'.length + 1;
    for (let length = 1; length < end; length++) expect(() => parseCpio(archive.subarray(0, length))).toThrow(FormatError);
    expect(parseCpio(archive.subarray(0, end))).toHaveLength(ENTRIES.length);
  });

  it('only throws our errors for a changed byte', () => {
    const archive = formatCpio(ENTRIES);
    for (let at = 0; at < archive.length; at++) {
      for (const value of [0x00, 0x2f, 0x46, 0xff]) {
        const mutated = Buffer.from(archive);
        mutated[at] = value;
        try {
          parseCpio(mutated);
        } catch (error) {
          if (!(error instanceof FormatError)) throw error;
        }
      }
    }
  });

  it('refuses a path that leaves the root', () => {
    const archive = formatCpio([{ path: 'a/bb/c', mode: S_IFREG | 0o644 }]);
    archive.write('a/../c', archive.indexOf('a/bb/c'));
    expect(() => parseCpio(archive, 'evil.cpio')).toThrow('evil.cpio: at offset 338: expected a relative path without "..", found "a/../c"');
  });
});

const SAMPLE_LIST = 'd\nd/f\nd/l\n';
const SAMPLE = [['d', ''], ['d/f', 'hello'], ['d/l', 'f']];

function sampleTree(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cpio-test-'));
  directories.push(directory);
  mkdirSync(join(directory, 'd'));
  writeFileSync(join(directory, 'd/f'), 'hello');
  symlinkSync('f', join(directory, 'd/l'));
  return directory;
}
