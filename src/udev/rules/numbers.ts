// Numbers as udev reads them: those of strtol(3), modes, and user and group ids.

/** What the number is, or the errno whose text the message has. */
export type Parsed = number | 'EINVAL' | 'ERANGE';

/** The texts of strerror(3). */
export const ERRNO_TEXTS = { EINVAL: 'Invalid argument', ERANGE: 'Numerical result out of range' } as const;

/** An `int`: any sign, and 0x, 0o, 0b and 0 for the base. Blanks may come before it, nothing after. */
export function parseInteger(text: string): Parsed {
  return ranged(text, -0x80000000, 0x7fffffff);
}

/** An `unsigned`, otherwise the same. */
export function parseUnsigned(text: string): Parsed {
  return ranged(text, 0, 0xffffffff);
}

/** Permission bits up to 07777, octal, without a sign. */
export function parseMode(text: string): Parsed {
  const digits = /^[ \t\n\r\v\f]*([0-7]+)/.exec(text);
  if (!digits) return 'EINVAL';
  const mode = parseInt(digits[1] ?? '', 8);
  if (mode >= LONG_MAX * 2) return 'ERANGE';
  if (digits[0].length < text.length) return 'EINVAL';
  return mode > 0o7777 ? 'ERANGE' : mode;
}

/** A user or group id: decimal and nothing else. The two that mean none are refused (credentials/uid_t, -1 of 16 and 32 bits). */
export function parseId(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return undefined;
  const id = Number(text);
  return id >= 0xffffffff || id === 0xffff ? undefined : id;
}

const LONG_MAX = 2 ** 63;

function ranged(text: string, minimum: number, maximum: number): Parsed {
  const match = /^[ \t\n\r\v\f]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]([0-7]+)|0[bB]([01]+)|(0[0-7]*)|([1-9][0-9]*))/.exec(text);
  if (!match) return 'EINVAL';
  const [whole, sign, hex, octal, binary, zero, decimal] = match;
  const magnitude = hex !== undefined ? parseInt(hex, 16) : binary !== undefined ? parseInt(binary, 2)
    : decimal !== undefined ? parseInt(decimal, 10) : parseInt(octal ?? zero ?? '', 8);
  if (magnitude >= LONG_MAX) return 'ERANGE';
  if (whole.length < text.length) return 'EINVAL';
  const value = sign === '-' ? 0 - magnitude : magnitude;
  return value < minimum || value > maximum ? 'ERANGE' : value;
}
