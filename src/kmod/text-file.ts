// Reads text files that are ASCII as a rule: configuration, and what the kernel says in /proc and /sys.

import { existsSync, readFileSync } from 'node:fs';

/**
 * The bytes of a file as the characters 0 to 255. Throws Node's error.
 *
 * Node reads UTF-8 in one native call; anything else loads a millisecond of its own code first. ASCII is the same in both.
 */
export function readLatin1(path: string): string {
  const text = readFileSync(path, 'utf8');
  return Buffer.byteLength(text) === text.length ? text : readFileSync(path, 'latin1');
}

/** Also false for a directory that this process may not search. A stat would cost a short program more than all its look-ups. */
export function isDirectory(path: string): boolean {
  return existsSync(`${path}/.`);
}
