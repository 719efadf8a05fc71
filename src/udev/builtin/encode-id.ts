// How udev writes names that devices chose into properties: safe for links, and reversibly encoded.

import { replaceWhitespace } from '../sanitise.ts';

/** What may stand in a name, beside letters and digits and all beyond ASCII. */
const ALLOWED = /[^0-9A-Za-z#+\-.:=@_\u0080-\ufffc\u{10000}-\u{10ffff}]/gu;

/**
 * A name that can be part of a link: blanks at both ends cut, runs of them one `_`, and `_` for each character that is not of
 * `0-9A-Za-z#+-.:=@_` or beyond ASCII. `\x` before two hexadecimal digits stays. Text that did not decode (U+FFFD) becomes `_`.
 */
export function safeName(text: string): string {
  return replaceWhitespace(text).replace(ALLOWED, (character, offset: number, whole: string) => (
    character === '\\' && whole[offset + 1] === 'x' ? character : '_'
  ));
}

/** `\xNN` for each byte of ASCII that may not stand in a link, the backslash itself included: what udev calls _ENC. */
export function encodeName(text: string): string {
  return text.replace(ALLOWED, (character) => [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''));
}

/** Text of at most so many bytes of UTF-8, no character cut. */
export function truncateBytes(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let length = 0;
  let end = 0;
  for (const character of text) {
    length += Buffer.byteLength(character);
    if (length > bytes) break;
    end += character.length;
  }
  return text.slice(0, end);
}
