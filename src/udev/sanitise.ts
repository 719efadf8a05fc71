// Which characters udev lets through into links, properties and interface names, and what becomes of the others.

/** What PROGRAM's output and attributes may hold beside the set that is always allowed. */
export const ALLOWED_IN_INPUT = '/ $%?,';

const ALWAYS_ALLOWED = /^[0-9A-Za-z#+\-.:=@_]*$/;

/**
 * Everything that is neither `[0-9A-Za-z#+-.:=@_]`, nor valid UTF-8 of more than one byte, nor `\x`, nor in `extra` becomes `_`; white space
 * becomes a blank where `extra` has one. What was no valid UTF-8 has been decoded to U+FFFD, and goes.
 */
export function replaceChars(text: string, extra: string): string {
  // Nearly every text is clean.
  if (ALWAYS_ALLOWED.test(text)) return text;
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const ch = text.charAt(i);
    if (code === 0x5c && text.charCodeAt(i + 1) === 0x78) {
      out += '\\x';
      i++;
    } else if (code >= 0x80) {
      // One byte that is no UTF-8 is one `_`; the two halves of a surrogate pair pass one after the other.
      out += code === 0xfffd ? '_' : ch;
    } else if (ALWAYS_ALLOWED.test(ch) || extra.includes(ch)) {
      out += ch;
    } else {
      out += isSpace(code) && extra.includes(' ') ? ' ' : '_';
    }
  }
  return out;
}

/** Blanks at both ends go, runs of them within become one `_`. */
export function replaceWhitespace(text: string): string {
  return /[ \t\n\v\f\r]/.test(text) ? trimSpace(text).replace(/[ \t\n\v\f\r]+/g, '_') : text;
}

/** What no interface may be called: controls, blanks, `:`, `/`, `%` and everything that is not ASCII become `_`. */
export function replaceIfname(text: string): string {
  return text.replace(/[^!-~]|[:/%]/gu, (ch) => '_'.repeat(Buffer.byteLength(ch)));
}

/** White space of C at the end. */
export function trimEndSpace(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--;
  return end === text.length ? text : text.slice(0, end);
}

export function trimSpace(text: string): string {
  let start = 0;
  while (start < text.length && isSpace(text.charCodeAt(start))) start++;
  return trimEndSpace(start === 0 ? text : text.slice(start));
}

/** Newlines at the end. */
export function trimNewlines(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 10) end--;
  return end === text.length ? text : text.slice(0, end);
}

/** Whether `text` has at most `maximum` bytes: udev's buffers count those. */
export function fits(text: string, maximum: number): boolean {
  // No UTF-16 unit takes more than three bytes.
  return text.length * 3 <= maximum || (text.length <= maximum && Buffer.byteLength(text) <= maximum);
}

/** isspace(3) in the C locale. */
function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}
