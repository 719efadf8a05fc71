// The capability masks of input devices, as sysfs prints them.

/** Codes end below KEY_MAX = 0x2ff (linux/input-event-codes.h). */
const BITS_MAX = 768;
/** A word of a 64-bit kernel; how many bits one has shows in no mask, so the machine's own is taken. */
const WORD_BITS = 64;

/** A set of codes. */
export interface CapabilityBits {
  has(code: number): boolean;
  /** How many codes of `from` and up to, but not with, `to` are set. */
  count(from: number, to: number): number;
}

/** Words in hexadecimal, the most significant first: `3 0 2000000000` (`capabilities/key`). What is no number counts as 0, nothing as none set. */
export function parseCapabilityBits(text: string | undefined): CapabilityBits {
  const words = (text ?? '').split(' ').filter(Boolean).slice(-BITS_MAX / WORD_BITS)
    .map((word) => (/^(?:0x)?[0-9a-f]{1,16}$/i.test(word) ? BigInt(`0x${word.replace(/^0x/i, '')}`) : 0n)).reverse();
  const has = (code: number): boolean => (((words[Math.floor(code / WORD_BITS)] ?? 0n) >> BigInt(code % WORD_BITS)) & 1n) === 1n;
  return {
    has,
    count(from, to) {
      let count = 0;
      for (let code = from; code < to; code++) if (has(code)) count++;
      return count;
    },
  };
}
