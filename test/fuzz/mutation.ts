// Changes of an input: seeded, so that a round can be repeated from its number alone.

type Next = (below: number) => number;

/** Numbers at which readers of lengths, counts and offsets go wrong. */
const INTERESTING = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];
const SIZES = [1, 2, 4] as const;
/** Changes put into one input, at most. */
const CHANGES_MAX = 6;
/** An input grows no further. */
const LENGTH_MAX = 1 << 20;

export type MutationOptions = {
  /** Pieces that mean something to the reader. */
  readonly dictionary: readonly Uint8Array[];
  /** Another input, of which a part may be put in. */
  readonly other: Uint8Array;
};

/** A changed copy. */
export function mutate(input: Uint8Array, next: Next, { dictionary, other }: MutationOptions): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let change = next(CHANGES_MAX); change >= 0; change--) bytes = changed(bytes, next, dictionary, other);
  return bytes.subarray(0, LENGTH_MAX);
}

function changed(bytes: Buffer, next: Next, dictionary: readonly Uint8Array[], other: Uint8Array): Buffer {
  const at = next(bytes.length + 1);
  switch (next(9)) {
    case 0:
      return flipped(bytes, at, 1 << next(8));
    case 1:
      return flipped(bytes, at, next(256));
    case 2:
      return withNumber(bytes, at, INTERESTING[next(INTERESTING.length)] ?? 0, next);
    case 3:
      return bytes.subarray(0, at);
    case 4:
      return spliced(bytes, at, next(16), Buffer.alloc(0));
    case 5:
      return spliced(bytes, at, 0, bytes.subarray(at, at + next(64)));
    case 6:
      return spliced(bytes, at, next(8), other.subarray(next(other.length + 1)).subarray(0, next(256)));
    case 7:
      return spliced(bytes, at, next(4), dictionary[next(dictionary.length)] ?? Buffer.from([next(256)]));
    default:
      return spliced(bytes, at, 0, Buffer.alloc(1 + next(next(20) === 0 ? 5000 : 40), next(256)));
  }
}

function flipped(bytes: Buffer, at: number, bits: number): Buffer {
  const byte = bytes[at];
  if (byte !== undefined) bytes[at] = byte ^ bits;
  return bytes;
}

function withNumber(bytes: Buffer, at: number, value: number, next: Next): Buffer {
  const size = SIZES[next(SIZES.length)] ?? 1;
  if (at + size > bytes.length) return bytes;
  const cut = value % 2 ** (8 * size);
  if (next(2) === 0) bytes.writeUIntLE(cut, at, size);
  else bytes.writeUIntBE(cut, at, size);
  return bytes;
}

function spliced(bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}
