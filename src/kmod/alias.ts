// Names of modules: how kmod normalises them, and how an alias pattern matches one (fnmatch(3) with no flags).

/** The longest name or alias that is looked at; kmod's buffers end at PATH_MAX too. */
export const MAX_ALIAS_LENGTH = 4096;

/**
 * `-` becomes `_`, except inside `[...]`, as kmod does before every look-up.
 * Undefined for a name with an unmatched bracket or over MAX_ALIAS_LENGTH, which no index can hold.
 */
export function normalizeAlias(alias: string): string | undefined {
  if (alias.length >= MAX_ALIAS_LENGTH) return undefined;
  // V8's own searches: every start would pay for a loop that is interpreted, or a regular expression that is compiled twice.
  let rest = alias;
  let normalized = '';
  for (;;) {
    const open = rest.indexOf('[');
    const plain = open < 0 ? rest : rest.slice(0, open);
    if (plain.includes(']')) return undefined;
    normalized += plain.includes('-') ? plain.replaceAll('-', '_') : plain;
    if (open < 0) return normalized;
    const close = rest.indexOf(']', open);
    if (close < 0) return undefined;
    normalized += rest.slice(open, close + 1);
    rest = rest.slice(close + 1);
  }
}

/** The module name of a file: its base name up to the first dot, `-` as `_`. */
export function moduleNameOfPath(path: string): string {
  return normalizeModuleName(path.slice(path.lastIndexOf('/') + 1));
}

/** A module name as kmod reads one where no alias may stand: up to the first dot, `-` as `_`. */
export function normalizeModuleName(name: string): string {
  const dot = name.indexOf('.');
  const base = dot < 0 ? name : name.slice(0, dot);
  return base.includes('-') ? base.replaceAll('-', '_') : base;
}

/** Whether `text` matches `pattern` as fnmatch(pattern, text, 0) says in the C locale: `*` crosses `/`, `\` escapes. */
export function fnmatch(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  // Where to resume when the last `*` has to take one character more; only the last one can matter.
  let starP = -1;
  let starT = 0;
  for (;;) {
    if (p < pattern.length && pattern[p] === '*') {
      starP = ++p;
      starT = t;
      continue;
    }
    if (t === text.length) return onlyStars(pattern, p);
    const next = p < pattern.length ? matchOne(pattern, p, text.charCodeAt(t)) : -1;
    if (next >= 0) {
      p = next;
      t++;
    } else if (starP >= 0) {
      p = starP;
      t = ++starT;
    } else {
      return false;
    }
  }
}

/**
 * The end of the bracket expression that starts at `open` (which holds `[`): the position of its `]`, or -1.
 * A `]` that comes first, after `!` or `^` too, is a member.
 */
export function bracketEnd(pattern: string, open: number): number {
  let i = open + 1;
  if (pattern[i] === '!' || pattern[i] === '^') i++;
  for (let first = true; i < pattern.length; i++, first = false) {
    const ch = pattern[i];
    if (ch === ']' && !first) return i;
    if (ch === '\\') i++;
    else if (ch === '[' && pattern[i + 1] === ':') {
      const close = pattern.indexOf(':]', i + 2);
      if (close >= 0) i = close + 1;
    }
  }
  return -1;
}

/** Whether a character code is a member of the bracket expression whose text, without the outer brackets, is `body`. */
export function bracketMatches(body: string, code: number): boolean {
  const negated = body.startsWith('!') || body.startsWith('^');
  let found = false;
  for (let i = negated ? 1 : 0; i < body.length; i++) {
    if (body[i] === '[' && body[i + 1] === ':') {
      const close = body.indexOf(':]', i + 2);
      if (close >= 0) {
        found ||= CLASSES[body.slice(i + 2, close)]?.(code) ?? false;
        i = close + 1;
        continue;
      }
    }
    if (body[i] === '\\' && i + 1 < body.length) i++;
    const low = body.charCodeAt(i);
    let high = low;
    if (body[i + 1] === '-' && i + 2 < body.length) {
      i += 2;
      if (body[i] === '\\' && i + 1 < body.length) i++;
      high = body.charCodeAt(i);
    }
    found ||= low <= code && code <= high;
  }
  return found !== negated;
}

/** One pattern element at `p` against one character: the position behind the element, or -1. */
function matchOne(pattern: string, p: number, code: number): number {
  const ch = pattern[p];
  if (ch === '?') return p + 1;
  if (ch === '[') {
    const end = bracketEnd(pattern, p);
    if (end >= 0) return bracketMatches(pattern.slice(p + 1, end), code) ? end + 1 : -1;
  } else if (ch === '\\') {
    // A backslash at the end matches nothing.
    return pattern.charCodeAt(p + 1) === code ? p + 2 : -1;
  }
  return pattern.charCodeAt(p) === code ? p + 1 : -1;
}

function onlyStars(pattern: string, from: number): boolean {
  for (let i = from; i < pattern.length; i++) if (pattern[i] !== '*') return false;
  return true;
}

const between = (low: string, high: string) => (code: number) => low.charCodeAt(0) <= code && code <= high.charCodeAt(0);
const lower = between('a', 'z');
const upper = between('A', 'Z');
const digit = between('0', '9');
const alpha = (code: number) => lower(code) || upper(code);
const alnum = (code: number) => alpha(code) || digit(code);
const graph = between('!', '~');

/** The character classes of POSIX in the C locale. */
const CLASSES: Readonly<Record<string, (code: number) => boolean>> = {
  alnum, alpha, digit, lower, upper, graph,
  blank: (code) => code === 32 || code === 9,
  cntrl: (code) => code < 32 || code === 127,
  print: between(' ', '~'),
  punct: (code) => graph(code) && !alnum(code),
  space: (code) => code === 32 || (9 <= code && code <= 13),
  xdigit: (code) => digit(code) || between('a', 'f')(code) || between('A', 'F')(code),
};
