// Module parameters as they come from a command line, and as the kernel takes them: one string.

/** Joins the words with blanks; before the first that is not empty there is none. `p=two words` came as one; the kernel splits at blanks, so its value gets the quotes that the shell took away. */
export function joinParams(words: readonly string[]): string {
  return words.reduce((joined, word) => (joined === '' ? '' : `${joined} `) + quoteParam(word), '');
}

function quoteParam(word: string): string {
  const equals = word.indexOf('=');
  const value = word.slice(equals + 1);
  return equals < 0 || !/\s/.test(value) || value.startsWith('"') ? word : `${word.slice(0, equals)}="${value}"`;
}
