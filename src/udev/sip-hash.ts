// SipHash-2-4, which shortens names in /run/udev/links.

const MASK = (1n << 64n) - 1n;

/** The 64-bit hash of bytes under a key of 16 bytes. For short texts: it counts in bigints. */
export function sipHash24(bytes: Uint8Array, key: Uint8Array): bigint {
  const input = Buffer.from(bytes);
  const keyBytes = Buffer.from(key);
  const k0 = keyBytes.readBigUInt64LE(0);
  const k1 = keyBytes.readBigUInt64LE(8);
  const state: State = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn, k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n];
  const whole = input.length - (input.length % 8);
  for (let offset = 0; offset < whole; offset += 8) absorb(state, input.readBigUInt64LE(offset));
  // The last word is what is left, with the length in its upper byte.
  const rest = Buffer.alloc(8);
  input.copy(rest, 0, whole);
  rest[7] = input.length & 0xff;
  absorb(state, rest.readBigUInt64LE(0));
  state[2] ^= 0xffn;
  for (let round = 0; round < 4; round++) sipRound(state);
  return state[0] ^ state[1] ^ state[2] ^ state[3];
}

type State = [bigint, bigint, bigint, bigint];

function absorb(state: State, word: bigint): void {
  state[3] ^= word;
  sipRound(state);
  sipRound(state);
  state[0] ^= word;
}

function sipRound(v: State): void {
  v[0] = (v[0] + v[1]) & MASK;
  v[1] = rotate(v[1], 13n) ^ v[0];
  v[0] = rotate(v[0], 32n);
  v[2] = (v[2] + v[3]) & MASK;
  v[3] = rotate(v[3], 16n) ^ v[2];
  v[0] = (v[0] + v[3]) & MASK;
  v[3] = rotate(v[3], 21n) ^ v[0];
  v[2] = (v[2] + v[1]) & MASK;
  v[1] = rotate(v[1], 17n) ^ v[2];
  v[2] = rotate(v[2], 32n);
}

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}
