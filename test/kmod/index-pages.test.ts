import { describe, expect, it } from 'vitest';

import { FormatError, UsageError } from '../../src/errors.ts';
import { buildIndex } from '../../src/kmod/index-build.ts';
import { type IndexEntry, IndexFile } from '../../src/kmod/index-file.ts';
import { IndexPages, PAGE_SIZE } from '../../src/kmod/index-pages.ts';
import { random } from '../random.ts';

/** Values of up to a page and a half, so that strings begin and end everywhere in pages. */
function manyEntries(): IndexEntry[] {
  const next = random(1);
  return Array.from({ length: 2000 }, (_, i) => ({
    key: `${'abc'.charAt(next(3))}_${next(5000)}${next(4) === 0 ? '*' : ''}`, priority: i,
    value: 'v'.repeat(next(100) === 0 ? next(1.5 * PAGE_SIZE) : 1 + next(200)),
  }));
}

/** A file in memory that counts what is read of it. */
function fileOf(bytes: Uint8Array) {
  const seen = { bytes: 0, wholes: 0, closed: 0 };
  const reader = {
    read(into: Uint8Array, offset: number) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      seen.bytes += part.length;
      return part.length;
    },
    size: () => bytes.length,
    all() {
      seen.wholes++;
      return bytes;
    },
    close() {
      seen.closed++;
    },
  };
  return { reader, seen };
}

function outcome(index: () => IndexFile, key: string): unknown {
  try {
    const open = index();
    return [open.search(key), open.searchWild(key)];
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
}

const entries = manyEntries();
const keys = entries.filter((_, i) => i % 100 === 0).map(({ key }) => key.replace('*', '0')).concat('', 'nothing', 'a_');

describe.each(['pre-order', 'post-order'] as const)('IndexPages of an index in %s', (layout) => {
  const { bytes } = buildIndex(entries, { layout });
  it('answers every look-up as the whole file does', () => {
    expect(bytes.length).toBeGreaterThan(20 * PAGE_SIZE);
    const whole = new IndexFile(bytes, 'x.bin');
    const paged = new IndexFile(new IndexPages(fileOf(bytes).reader), 'x.bin');
    for (const key of keys) {
      expect(paged.search(key)).toEqual(whole.search(key));
      expect(new IndexFile(new IndexPages(fileOf(bytes).reader), 'x.bin').searchWild(key)).toEqual(whole.searchWild(key));
    }
    expect([...paged.entries()]).toEqual([...whole.entries()]);
  });

  it('reads a few pages for one name', () => {
    const { reader, seen } = fileOf(bytes);
    const last = keys.filter((key) => key.startsWith('c_')).at(-1) ?? '';
    expect(new IndexFile(new IndexPages(reader), 'x.bin').search(last)).toEqual(new IndexFile(bytes, 'x.bin').search(last));
    expect(seen).toEqual({ bytes: expect.any(Number), wholes: 0, closed: 0 });
    expect(seen.bytes).toBeLessThan(10 * PAGE_SIZE);
  });

  it('reads the whole file, and closes it, when many pages are wanted', () => {
    const { reader, seen } = fileOf(bytes);
    const open = new IndexFile(new IndexPages(reader), 'x.bin');
    for (const _ of open.entries());
    open.close();
    expect(seen).toEqual({ bytes: expect.any(Number), wholes: 1, closed: 1 });
  });

  it('finds a file damaged that is cut or changed anywhere, as the whole file does', () => {
    const next = random(2);
    for (let round = 0; round < 200; round++) {
      const damaged = Uint8Array.from(round % 2 ? bytes : bytes.subarray(0, next(bytes.length)));
      if (round % 2) for (let i = 0; i < 2000; i++) damaged[next(damaged.length)] = next(256);
      const key = keys[next(keys.length)] ?? '';
      const whole = outcome(() => new IndexFile(damaged, 'x.bin'), key);
      const paged = outcome(() => new IndexFile(new IndexPages(fileOf(damaged).reader), 'x.bin'), key);
      expect(paged).toEqual(whole);
    }
  });

  it('throws UsageError for what it has not read when it was closed', () => {
    const { reader, seen } = fileOf(bytes);
    const open = new IndexFile(new IndexPages(reader), 'x.bin');
    open.close();
    expect(() => open.search(keys[0] ?? '')).toThrow(UsageError);
    expect(seen.closed).toBe(1);
  });
});
