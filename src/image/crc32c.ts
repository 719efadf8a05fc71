// CRC-32C (Castagnoli), as ext4 and erofs use it: without the inversions before and after.

/** The checksum of `bytes` that goes on from `seed`: ~0 at the start. Not inverted, as the kernel's crc32c(). */
export function crc32c(seed: number, bytes: Uint8Array): number {
  table ??= makeTable();
  const entries = table;
  let crc = seed;
  for (let index = 0; index < bytes.length; index += 1) crc = (crc >>> 8) ^ (entries[(crc ^ (bytes[index] as number)) & 0xff] as number);
  return crc >>> 0;
}

/** Made when the first checksum is asked for. */
let table: Int32Array | undefined;

/** Each sum is those of its bits, so a power of two and what is there already give the next ones. */
function makeTable(): Int32Array {
  // The polynomial 1EDC6F41, its bits in reverse.
  const polynomial = 0x82f63b78;
  const entries = new Int32Array(256);
  let power = 1;
  for (let bit = 128; bit > 0; bit >>= 1) {
    power = (power >>> 1) ^ (polynomial & -(power & 1));
    for (let low = 0; low < 256; low += 2 * bit) entries[bit + low] = power ^ (entries[low] as number);
  }
  return entries;
}
