// Text from devices made safe for terminals and logs: one line, no control characters, bounded length.

/** Longer texts are cut; a cpu's modalias has a thousand characters and more. */
export const PRINTABLE_MAX = 160;

/** `text` with every control character (also C1, and the line separators of Unicode) as `?`, cut to `maximum` characters with an ellipsis. */
export function printable(text: string, maximum = PRINTABLE_MAX): string {
  const safe = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
  return safe.length <= maximum ? safe : `${safe.slice(0, maximum - 1)}…`;
}
