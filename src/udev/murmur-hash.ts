// MurmurHash2, by which libudev's monitors filter messages.

const M = 0x5bd1e995;
const R = 24;

/** The 32-bit hash of a text's UTF-8 bytes with the seed 0 that libudev uses. */
export function murmurHash2(text: string): number {
  const bytes = Buffer.from(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let hash = bytes.length;
  let offset = 0;
  for (; offset + 4 <= bytes.length; offset += 4) {
    let word = Math.imul(view.getUint32(offset, true), M);
    word = Math.imul(word ^ (word >>> R), M);
    hash = Math.imul(hash, M) ^ word;
  }
  const left = bytes.length - offset;
  if (left > 0) hash = Math.imul(hash ^ bytes.readUIntLE(offset, left), M);
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return (hash ^ (hash >>> 15)) >>> 0;
}
