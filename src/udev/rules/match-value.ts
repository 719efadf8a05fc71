// What the value of a match means: alternatives, globs, and the values that stand for something else.

import type { Operator, Pattern } from './rule.ts';

export type MatchValue = { readonly op: Operator; readonly pattern: Pattern };

/** The pattern of a match, and its operator: `== "?*"` is `!= ""`. Only SUBSYSTEM knows the three words for any subsystem. */
export function matchValue(key: string, op: Operator, value: string): MatchValue {
  if (value === '') return { op, pattern: { type: 'empty' } };
  if (value === '?*') return { op: op === '==' ? '!=' : '==', pattern: { type: 'empty' } };
  if (key === 'SUBSYSTEM' && (value === 'subsystem' || value === 'bus' || value === 'class')) return { op, pattern: { type: 'subsystem' } };
  const values = value.includes('|') ? value.split('|') : [value];
  if (!/[*?[]/.test(value)) return { op, pattern: { type: 'plain', values } };
  // Beside a glob, all alternatives go through fnmatch(3), which takes a backslash as an escape.
  return { op, pattern: { type: 'glob', values, globs: values.map((each) => /[*?[\\]/.test(each)) } };
}
