// Patterns of rules as functions: what can be known when the rules are read is not asked again for every event.

import { fnmatch } from '../../kmod/alias.ts';
import type { Pattern } from './rule.ts';

/** Whether a text equals or matches one of the alternatives. The operator is the caller's. */
export type Matcher = (text: string) => boolean;

export function compilePattern(pattern: Pattern, ignoreCase = false): Matcher {
  const fold = ignoreCase ? foldCase : (text: string) => text;
  switch (pattern.type) {
    case 'empty': return (text) => text === '';
    case 'subsystem': return (text) => text === 'subsystem' || text === 'bus' || text === 'class';
    case 'plain': return ignoring(plain(pattern.values.map(fold)), ignoreCase);
    case 'glob': return ignoring(anyOf(pattern.values.map((value, i) => pattern.globs[i] ? glob(fold(value)) : plain([fold(value)]))), ignoreCase);
  }
}

function ignoring(matcher: Matcher, ignoreCase: boolean): Matcher {
  return ignoreCase ? (text) => matcher(foldCase(text)) : matcher;
}

function plain(values: readonly string[]): Matcher {
  const [first = '', second = ''] = values;
  if (values.length === 1) return (text) => text === first;
  if (values.length === 2) return (text) => text === first || text === second;
  const set = new Set(values);
  return (text) => set.has(text);
}

function anyOf(matchers: readonly Matcher[]): Matcher {
  const [first] = matchers;
  if (matchers.length === 1 && first) return first;
  return (text) => {
    for (const matcher of matchers) if (matcher(text)) return true;
    return false;
  };
}

/** `sd*`, `*sd` and `*sd*` are most of all patterns, and need no matching machine. */
function glob(pattern: string): Matcher {
  const middle = /^(\**)([^*?[\\]*)(\**)$/s.exec(pattern);
  if (!middle) return literalStart(pattern);
  const [, before, text = '', after] = middle;
  if (before !== '' && after !== '') return (value) => value.includes(text);
  return before === '' ? (value) => value.startsWith(text) : (value) => value.endsWith(text);
}

/** What begins otherwise cannot match; only the rest is left to fnmatch. */
function literalStart(pattern: string): Matcher {
  const start = /^[^*?[\\]*/.exec(pattern)?.[0] ?? '';
  const rest = pattern.slice(start.length);
  if (start === '') return (text) => fnmatch(pattern, text);
  return (text) => text.startsWith(start) && fnmatch(rest, text.slice(start.length));
}

/** The C locale's. */
function foldCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
