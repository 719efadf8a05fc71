// The order in which libkmod's hash tables list their keys, which is the order of depmod's outputs.

/** Buckets of depmod's tables. */
export const MODULE_BUCKETS = 512;
export const SYMBOL_BUCKETS = 2048;
/** A file name has 255 bytes at most (NAME_MAX). */
const LONGEST_NAME = 1024;

/**
 * Paul Hsieh's SuperFastHash over `length` bytes, as an unsigned 32-bit number: 16-bit little-endian reads, the start
 * value is the length, an odd last byte is a signed char. Published at http://www.azillionmonkeys.com/qed/hash.html.
 */
export function superFastHash(bytes: Uint8Array, start: number, length: number): number {
  let hash = length;
  let at = start;
  for (let rest = length >> 2; rest > 0; rest--, at += 4) {
    hash = (hash + word(bytes, at)) | 0;
    hash = (hash << 16) ^ ((word(bytes, at + 2) << 11) ^ hash);
    hash = (hash + (hash >>> 11)) | 0;
  }
  switch (length & 3) {
    case 3:
      hash = (hash + word(bytes, at)) | 0;
      hash ^= hash << 16;
      hash ^= signed(bytes, at + 2) << 18;
      hash = (hash + (hash >>> 11)) | 0;
      break;
    case 2:
      hash = (hash + word(bytes, at)) | 0;
      hash ^= hash << 11;
      hash = (hash + (hash >>> 17)) | 0;
      break;
    case 1:
      hash = (hash + signed(bytes, at)) | 0;
      hash ^= hash << 10;
      hash = (hash + (hash >>> 1)) | 0;
      break;
  }
  hash ^= hash << 3;
  hash = (hash + (hash >>> 5)) | 0;
  hash ^= hash << 4;
  hash = (hash + (hash >>> 17)) | 0;
  hash ^= hash << 25;
  return (hash + (hash >>> 6)) >>> 0;
}

/** The names of modules (latin1, each once) in the order of a table with `buckets` buckets: by bucket, then bytewise. */
export function inHashOrder(names: Iterable<string>, buckets: number): string[] {
  const table: string[][] = Array.from({ length: buckets }, () => []);
  const bytes = Buffer.alloc(LONGEST_NAME);
  for (const name of names) {
    const length = bytes.write(name, 'latin1');
    table[superFastHash(bytes, 0, length) & (buckets - 1)]?.push(name);
  }
  return table.flatMap((bucket) => bucket.sort(byCode));
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function signed(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 24) >> 24;
}

/** Compares as strcmp(3) does. */
function byCode(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
