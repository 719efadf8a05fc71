// What bytes are compressed with, by how they begin.

export type Compression = 'gzip' | 'xz' | 'zstd';

const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['gzip', [0x1f, 0x8b]],
];

/** What we know and do not decompress. */
const OTHERS: readonly (readonly [string, readonly number[]])[] = [
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['lzop', [0x89, 0x4c, 0x5a, 0x4f]],
];

/** The format by its magic, as libkmod tells it; a file of zstd may also begin with a skippable frame. undefined: not compressed. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  for (const [compression, magic] of MAGICS) {
    if (startsWith(head, magic)) return compression;
  }
  const [first = 0, ...rest] = head.subarray(0, 4);
  return (first & 0xf0) === 0x50 && rest.length === 3 && [0x2a, 0x4d, 0x18].every((byte, index) => rest[index] === byte) ? 'zstd' : undefined;
}

/** The name of a compression that is known and not read, by its magic. */
export function unreadCompressionOf(head: Uint8Array): string | undefined {
  return OTHERS.find(([, magic]) => startsWith(head, magic))?.[0];
}

function startsWith(head: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => head[index] === byte);
}
