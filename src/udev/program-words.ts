// The words of a command, as rules write one: no shell, but quotes.

/** A command has at most 16383 bytes, so this is never in the way of an honest one. */
export const WORDS_MAX = 8192;

/**
 * Words end at white space outside of `'…'` and `"…"`, which may be anywhere in a word and go away. A backslash is a character. A quote that
 * is never closed takes the rest. What comes after WORDS_MAX is dropped.
 */
export function splitCommand(command: string): string[] {
  const words: string[] = [];
  for (const [word] of command.matchAll(/(?:'[^']*'?|"[^"]*"?|[^\s'"])+/g)) {
    if (words.length === WORDS_MAX) break;
    words.push(/['"]/.test(word) ? word.replace(/'([^']*)'?|"([^"]*)"?/g, (_, single?: string, double?: string) => single ?? double ?? '') : word);
  }
  return words;
}
