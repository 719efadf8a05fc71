import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { isDirectory, readLatin1 } from '../../src/kmod/text-file.ts';
import { fixtureRoot } from '../fixture-root.ts';

describe('readLatin1', () => {
  it('gives every byte as the character of its number, whether the file is ASCII, UTF-8 or neither', () => {
    const root = fixtureRoot({});
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    for (const [name, content] of Object.entries({ ascii: bytes.subarray(0, 128), all: bytes, utf8: Buffer.from('\ufeffä€'), empty: Buffer.alloc(0) })) {
      writeFileSync(join(root, name), content);
      expect(readLatin1(join(root, name))).toBe(Buffer.from(content).toString('latin1'));
    }
  });

  it('throws what Node throws', () => {
    expect(() => readLatin1('/nonexistent/x')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});

describe('isDirectory', () => {
  it('tells directories, also behind links, from all else', () => {
    const root = fixtureRoot({ file: '' });
    mkdirSync(join(root, 'directory'));
    symlinkSync('directory', join(root, 'link'));
    symlinkSync('gone', join(root, 'dangling'));
    expect(['directory', 'link', 'file', 'dangling', 'gone'].map((name) => isDirectory(join(root, name)))).toEqual([true, true, false, false, false]);
  });
});
