// How one rule is cut into tokens: delimiters, key, {attribute}, operator and quoted value.

import type { Operator } from './rule.ts';

export type RawToken = {
  key: string;
  attr: string | undefined;
  readonly op: Operator;
  /** Unescaped. */
  value: string;
  /** `i"..."` */
  readonly ignoreCase: boolean;
  /** Offset of the first character of the key, and behind the closing quote. */
  readonly start: number;
  readonly end: number;
};

/** Where the delimiters end that begin at `from`: blanks and commas in any number and order. */
export function skipDelimiters(text: string, from: number): number {
  let at = from;
  while (at < text.length && (isBlank(text.charCodeAt(at)) || text.charCodeAt(at) === COMMA)) at++;
  return at;
}

/** The token that begins at `start`, or undefined where there is none. `text` has one character a byte. */
export function scanToken(text: string, start: number): RawToken | undefined {
  COMMON.lastIndex = start;
  const common = COMMON.exec(text);
  if (common) {
    const [, key = '', attr, op = '', value = ''] = common;
    return { key, attr, op: op as Operator, value, ignoreCase: false, start, end: COMMON.lastIndex };
  }
  let at = keyEnd(text, start);
  const key = text.slice(start, at);
  let attr: string | undefined;
  if (text.charCodeAt(at) === BRACE) {
    const close = text.indexOf('}', at);
    if (close < 0) return undefined;
    attr = text.slice(at + 1, close);
    at = close + 1;
  }
  at = skipBlanks(text, at);
  const op = operatorAt(text, at);
  if (op === undefined) return undefined;
  at = skipBlanks(text, at + op.length);
  let isEscaped = false;
  let ignoreCase = false;
  for (; text.charCodeAt(at) !== QUOTE; at++) {
    const letter = text[at];
    if (letter === 'e' && !isEscaped) isEscaped = true;
    else if (letter === 'i' && !ignoreCase) ignoreCase = true;
    else return undefined;
  }
  const close = isEscaped ? endOfEscaped(text, at + 1) : endOfPlain(text, at + 1);
  if (close < 0) return undefined;
  const quoted = text.slice(at + 1, close);
  const value = isEscaped ? unescapeC(quoted) : quoted.includes('\\"') ? quoted.replaceAll('\\"', '"') : quoted;
  if (value === undefined) return undefined;
  return { key, attr, op, value, ignoreCase, start, end: close + 1 };
}

/**
 * The escapes of C as `e"..."` takes them: letters, `\s` for a blank, `\xHH`, `\OOO`, `\uHHHH` and `\UHHHHHHHH`. Undefined where one is
 * wrong or means NUL. Gives one character a byte: code points come out as their UTF-8.
 */
export function unescapeC(text: string): string | undefined {
  if (!text.includes('\\')) return text;
  let result = '';
  ESCAPE.lastIndex = 0;
  for (let at = 0; at < text.length;) {
    const next = text.indexOf('\\', at);
    if (next < 0) return result + text.slice(at);
    ESCAPE.lastIndex = next;
    const [whole, letter, hex, octal, short, long] = ESCAPE.exec(text) ?? [];
    const bytes = letter !== undefined ? LETTERS[letter] : hex !== undefined ? byteOf(hex, 16) : octal !== undefined ? byteOf(octal, 8)
      : short !== undefined ? utf8Of(parseInt(short, 16)) : long !== undefined && isCharacter(parseInt(long, 16)) ? utf8Of(parseInt(long, 16)) : undefined;
    if (whole === undefined || bytes === undefined) return undefined;
    result += text.slice(at, next) + bytes;
    at = next + whole.length;
  }
  return result;
}

/** A token as nearly all are. It says nothing that the code behind it would not: one native step is faster than many. */
const COMMON = /([A-Z]+)(?:\{([^}]*)\})?(==|!=|\+=|-=|:=|=)"([^"\\]*)"/y;

const COMMA = 0x2c;
const QUOTE = 0x22;
const BRACE = 0x7b;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;

const ESCAPE = /\\(?:([abfnrstv\\"'])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/y;
const LETTERS: Readonly<Record<string, string>> = {
  a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', s: ' ', t: '\t', v: '\v', '\\': '\\', '"': '"', '\'': '\'',
};

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (isBlank(text.charCodeAt(at))) at++;
  return at;
}

/** A key ends before a blank, `{`, or an operator; what it may be called is not decided here. */
function keyEnd(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === EQUALS || code === BRACE || isBlank(code)) break;
    // + - ! : are part of an operator only before its equals sign.
    if ((code === 0x2b || code === 0x2d || code === 0x21 || code === 0x3a) && text.charCodeAt(at + 1) === EQUALS) break;
  }
  return at;
}

function operatorAt(text: string, at: number): Operator | undefined {
  const isDouble = text.charCodeAt(at + 1) === EQUALS;
  switch (text.charCodeAt(at)) {
    case EQUALS: return isDouble ? '==' : '=';
    case 0x21: return isDouble ? '!=' : undefined;
    case 0x2b: return isDouble ? '+=' : undefined;
    case 0x2d: return isDouble ? '-=' : undefined;
    case 0x3a: return isDouble ? ':=' : undefined;
    default: return undefined;
  }
}

/** The closing quote: the first that has no backslash before it, be that one of a pair or not. */
function endOfPlain(text: string, from: number): number {
  let at = text.indexOf('"', from);
  while (at > from && text.charCodeAt(at - 1) === BACKSLASH) at = text.indexOf('"', at + 1);
  return at;
}

/** The closing quote: here backslashes go in pairs. */
function endOfEscaped(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at++;
  }
  return -1;
}

function byteOf(digits: string, base: number): string | undefined {
  const code = parseInt(digits, base);
  return code === 0 || code > 0xff ? undefined : String.fromCharCode(code);
}

/** `\u` takes surrogates and `\U` does not, as in udev. */
function isCharacter(code: number): boolean {
  return code <= 0x10ffff && (code & 0xfffff800) !== 0xd800 && !(code >= 0xfdd0 && code <= 0xfdef) && (code & 0xfffe) !== 0xfffe;
}

function utf8Of(code: number): string | undefined {
  if (code === 0) return undefined;
  const tail = (shift: number) => 0x80 | ((code >> shift) & 0x3f);
  const bytes = code < 0x80 ? [code] : code < 0x800 ? [0xc0 | (code >> 6), tail(0)]
    : code < 0x10000 ? [0xe0 | (code >> 12), tail(6), tail(0)] : [0xf0 | (code >> 18), tail(12), tail(6), tail(0)];
  return String.fromCharCode(...bytes);
}
