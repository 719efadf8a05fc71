// Names that a person may have meant: those at the smallest edit distance.

import { editDistance } from './nearest.ts';

/** More would be no help. */
const MAX_NAMES = 3;
/** A longer word is no module name, and the work grows with its length. */
const MAX_LENGTH = 64;

/** Of `names` those that differ from `name` in few letters, nearest first: a third of its length at most, and three letters. */
export function nearNames(name: string, names: Iterable<string>): string[] {
  if (name.length > MAX_LENGTH) return [];
  const limit = Math.min(3, Math.ceil(name.length / 3));
  const near: { readonly name: string; readonly distance: number }[] = [];
  for (const each of new Set(names)) {
    if (each.length > MAX_LENGTH || Math.abs(each.length - name.length) > limit) continue;
    const distance = editDistance(name, each);
    if (distance <= limit) near.push({ name: each, distance });
  }
  near.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return near.slice(0, MAX_NAMES).map((each) => each.name);
}
