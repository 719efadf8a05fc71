// The integrity checks of an .xz block: none, CRC32, CRC64 and SHA-256.

/** By check ID: the name, the bytes it takes, and how it is computed, in the order of the file. */
export type XzCheck = { readonly name: string; readonly compute: (data: Uint8Array) => Uint8Array };

export const XZ_CHECKS: ReadonlyMap<number, XzCheck> = new Map([
  [0, { name: 'no check', compute: () => new Uint8Array(0) }],
  [1, { name: 'CRC32', compute: (data) => littleEndian([crc32(data)]) }],
  [4, { name: 'CRC64', compute: (data) => littleEndian(crc64(data)) }],
  [10, { name: 'SHA-256', compute: sha256 }],
]);

/** CRC-32 of IEEE 802.3, as gzip and xz use it. */
export function crc32(data: Uint8Array): number {
  return process.getBuiltinModule('node:zlib').crc32(data);
}

/** CRC-64 of ECMA-182, reflected: its low and high 32 bits. */
export function crc64(data: Uint8Array): [low: number, high: number] {
  crc64Table ??= makeCrc64Table();
  const table = crc64Table;
  let low = -1;
  let high = -1;
  for (const byte of data) {
    const entry = ((low ^ byte) & 0xff) << 1;
    low = ((low >>> 8) | (high << 24)) ^ (table[entry] as number);
    high = (high >>> 8) ^ (table[entry + 1] as number);
  }
  return [~low >>> 0, ~high >>> 0];
}

/** Pairs of low and high words, made when the first CRC64 is asked for. */
let crc64Table: Int32Array | undefined;

function makeCrc64Table(): Int32Array {
  // The polynomial 42F0E1EBA9EA3693, its bits in reverse.
  const polynomialLow = 0xd7870f42 | 0;
  const polynomialHigh = 0xc96c5795 | 0;
  const table = new Int32Array(512);
  for (let byte = 0; byte < 256; byte += 1) {
    let low = byte;
    let high = 0;
    for (let bit = 0; bit < 8; bit += 1) {
      const carry = -(low & 1);
      low = ((low >>> 1) | (high << 31)) ^ (polynomialLow & carry);
      high = (high >>> 1) ^ (polynomialHigh & carry);
    }
    table.set([low, high], byte * 2);
  }
  return table;
}

function sha256(data: Uint8Array): Uint8Array {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(data).digest();
}

function littleEndian(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  return bytes;
}
