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

function makeTable(): Int32Array {
  // The polynomial 1EDC6F41, its bits in reverse.
  const polynomial = 0x82f63b78;
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (polynomial & -(crc & 1));
    return crc;
  });
}
