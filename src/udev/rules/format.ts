// Substitutions in values: cutting a text at $name and %c, and what is wrong with it.

import { parseUnsigned } from './numbers.ts';
import type { Format, FormatPart, Substitution } from './rule.ts';

export type CutFormat = {
  readonly format: Format;
  /** The first thing that is wrong. Nothing is lost by it but what is behind an unfinished substitution: there udev stops too. */
  readonly problem?: FormatProblem;
};

export type FormatProblem = {
  /** In bytes, from 1, as udev's messages count; 0 for an empty value. */
  readonly position: number;
  readonly hint: string;
};

/** What is in the braces of a substitution is shorter (udev's UDEV_PATH_SIZE). */
const UDEV_PATH_SIZE = 1024;

/** Whether anything in the text is for substitution. */
export function hasSubstitution(text: string): boolean {
  return text.includes('$') || text.includes('%');
}

/** Cuts `text`; `$$` and `%%` become `$` and `%`. An unknown `$x` or `%x` stays as it is. */
export function cutFormat(text: string): CutFormat {
  if (!hasSubstitution(text)) return { format: text === '' ? [] : [text] };
  const parts: FormatPart[] = [];
  let literal = '';
  let problem: FormatProblem | undefined;
  const blame = (offset: number, hint: string) => void (problem ??= { position: byteLength(text, offset) + 1, hint });
  let at = 0;
  while (at < text.length) {
    const next = nextSign(text, at);
    literal += text.slice(at, next);
    at = next;
    if (at === text.length) break;
    const sign = text[at] ?? '';
    if (text[at + 1] === sign) {
      literal += sign;
      at += 2;
      continue;
    }
    const named = nameAt(text, at, sign);
    if (!named) {
      blame(at, 'invalid substitution type');
      literal += sign;
      at++;
      continue;
    }
    const argument = argumentAt(text, named.end);
    if (argument === undefined) {
      blame(at, 'invalid substitution type');
      break;
    }
    at = argument.end;
    if (argument.text === undefined && (named.type === 'attr' || named.type === 'env')) {
      blame(at, 'attribute value missing');
      break;
    }
    const field = named.type === 'result' && argument.text !== undefined ? fieldOf(argument.text) : argument.text;
    if (argument.text !== undefined && field === undefined) {
      blame(at, 'attribute value not a valid number');
      continue;
    }
    if (literal !== '') parts.push(literal);
    literal = '';
    parts.push(field === undefined ? { type: named.type } : { type: named.type, argument: field });
  }
  if (literal !== '') parts.push(literal);
  return problem ? { format: parts, problem } : { format: parts };
}

/** In udev's order: the first that fits wins, and what follows it is text (`$kernelx`). */
const NAMES: readonly (readonly [name: string, type: Substitution['type']])[] = [
  ['devnode', 'devnode'], ['tempnode', 'devnode'], ['attr', 'attr'], ['sysfs', 'attr'], ['env', 'env'], ['kernel', 'kernel'], ['number', 'number'],
  ['driver', 'driver'], ['devpath', 'devpath'], ['id', 'id'], ['major', 'major'], ['minor', 'minor'], ['result', 'result'], ['parent', 'parent'],
  ['name', 'name'], ['links', 'links'], ['root', 'root'], ['sys', 'sys'],
];

const LETTERS: ReadonlyMap<string, Substitution['type']> = new Map([
  ['N', 'devnode'], ['s', 'attr'], ['E', 'env'], ['k', 'kernel'], ['n', 'number'], ['d', 'driver'], ['p', 'devpath'], ['b', 'id'], ['M', 'major'],
  ['m', 'minor'], ['c', 'result'], ['P', 'parent'], ['D', 'name'], ['L', 'links'], ['r', 'root'], ['S', 'sys'],
]);

function nextSign(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '$' && text[at] !== '%') at++;
  return at;
}

function nameAt(text: string, at: number, sign: string): { readonly type: Substitution['type']; readonly end: number } | undefined {
  if (sign === '%') {
    const type = LETTERS.get(text[at + 1] ?? '');
    return type && { type, end: at + 2 };
  }
  for (const [name, type] of NAMES) if (text.startsWith(name, at + 1)) return { type, end: at + 1 + name.length };
  return undefined;
}

/** `{...}` behind a name, also where the name takes none. Undefined where it is empty, too long or never closed. */
function argumentAt(text: string, at: number): { readonly text: string | undefined; readonly end: number } | undefined {
  if (text[at] !== '{') return { text: undefined, end: at };
  const close = text.indexOf('}', at);
  if (close <= at + 1) return undefined;
  const argument = text.slice(at + 1, close);
  return byteLength(argument, argument.length) >= UDEV_PATH_SIZE ? undefined : { text: argument, end: close + 1 };
}

/** `N` or `N+` of `$result`, in decimal. */
function fieldOf(text: string): string | undefined {
  const isOpen = text.endsWith('+');
  const field = parseUnsigned(isOpen ? text.slice(0, -1) : text);
  return typeof field === 'number' ? `${field}${isOpen ? '+' : ''}` : undefined;
}

function byteLength(text: string, end: number): number {
  let bytes = 0;
  for (let at = 0; at < end; at++) {
    const code = text.charCodeAt(at);
    // A pair of surrogates makes four bytes: two for each.
    bytes += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code <= 0xdfff) ? 2 : 3;
  }
  return bytes;
}
