// MurmurHash2, by which libudev's monitors filter messages.

const M = 0x5bd1e995;
const R = 24;

/** Subsystems, device types and tags, of which a machine has some dozens. */
const HASHES_MAX = 1024;
const hashes = new Map<string, number>();

/** As murmurHash2, for texts that come again and again. */
export function rememberedHash(text: string): number {
  const known = hashes.get(text);
  if (known !== undefined) return known;
  if (hashes.size >= HASHES_MAX) hashes.clear();
  const hash = murmurHash2(text);
  hashes.set(text, hash);
  return hash;
}

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
