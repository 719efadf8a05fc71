// Expressions of one line that repeat or exclude each other.

import type { Pattern, Token } from './rule.ts';

/** What udevadm verify says of the tokens of a line, each at most once. */
export function checkTokens(tokens: readonly Token[]): readonly string[] {
  const found = new Set<string>();
  if (tokens.length > CHECKED_TOKENS_MAX) return [];
  for (const [place, token] of tokens.entries()) {
    // They are sorted: what can be compared is together.
    for (let next = place + 1; next < tokens.length; next++) {
      const other = tokens[next];
      if (other?.key !== token.key || found.size === COMPLAINTS) break;
      if (token.attr !== other.attr && token.key !== 'TEST') continue;
      const isSame = sameValue(token, other);
      if (isSame && token.op === other.op) found.add('duplicate expressions.');
      else if (isSame ? isOpposite(token, other) : isDisjoint(token, other)) found.add('conflicting match expressions, the line has no effect.');
    }
  }
  return [...found];
}

const COMPLAINTS = 2;
/** Every one is compared with every other. Rules have three or four. */
const CHECKED_TOKENS_MAX = 500;

function isOpposite(a: Token, b: Token): boolean {
  return (a.op === '==' && b.op === '!=') || (a.op === '!=' && b.op === '==');
}

function sameValue(a: Token, b: Token): boolean {
  if (a.pattern && b.pattern) return sameKind(a, b) && sameSet(valuesOf(a.pattern), valuesOf(b.pattern));
  if (a.number !== b.number) return false;
  // Of a number, as the value of an id, only the number counts; of TEST the number is the mode.
  return a.key === 'TEST' ? a.value === b.value : isNumber(a) || a.value === b.value;
}

/** Ids are unknown where they have no number, and all alike. */
function isNumber({ key, number }: Token): boolean {
  return number !== undefined || key === 'OWNER#' || key === 'GROUP#';
}

/** Both ask for one of a list, and the lists have nothing in common. udev says it only of the simplest kinds of lists. */
function isDisjoint(a: Token, b: Token): boolean {
  if (a.op !== '==' || b.op !== '==' || !isSimple(a) || !isSimple(b) || !sameKind(a, b) || !a.pattern || !b.pattern) return false;
  const values = new Set(valuesOf(a.pattern));
  return !valuesOf(b.pattern).some((value) => values.has(value));
}

function isSimple({ key, value, pattern, ignoreCase }: Token): boolean {
  if (ignoreCase || (pattern?.type !== 'plain' && pattern?.type !== 'glob') || pattern.values.includes('')) return false;
  return !trimsBlanks(key, value);
}

/** An attribute loses the blanks at its end, unless the value has some: that is another kind of match. */
function trimsBlanks(key: Token['key'], value: string): boolean {
  return (key === 'ATTR?' || key === 'ATTRS') && !/[ \t\n\r]$/.test(value);
}

function sameKind(a: Token, b: Token): boolean {
  return a.pattern?.type === b.pattern?.type && (a.ignoreCase ?? false) === (b.ignoreCase ?? false) && trimsBlanks(a.key, a.value) === trimsBlanks(b.key, b.value);
}

function valuesOf(pattern: Pattern): readonly string[] {
  return pattern.type === 'plain' || pattern.type === 'glob' ? pattern.values : [];
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  const [left, right] = [new Set(a), new Set(b)];
  return left.size === right.size && [...left].every((value) => right.has(value));
}
