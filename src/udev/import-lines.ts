// `KEY=VALUE` lines, as IMPORT{program} and IMPORT{file} read them.

/** What a program may tell of one device; udev has no limit, but memory has. */
export const IMPORT_LINES_MAX = 4096;

export type ImportedLines = {
  /** In the order of the lines; a later one wins. */
  readonly properties: ReadonlyMap<string, string>;
  /** Lines that say something, but not what. */
  readonly bad: readonly string[];
};

/**
 * Blanks around key and value go, then one pair of quotes. Empty lines and comments are nothing. A line without a key or with nothing behind the `=` is bad,
 * and so is what comes after IMPORT_LINES_MAX.
 */
export function parseImport(text: string): ImportedLines {
  const properties = new Map<string, string>();
  const bad: string[] = [];
  let count = 0;
  for (const line of text.split(/[\n\r]/)) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    if (++count > IMPORT_LINES_MAX) {
      bad.push(`more than ${IMPORT_LINES_MAX} lines`);
      break;
    }
    const equals = trimmed.indexOf('=');
    const key = trimmed.slice(0, Math.max(equals, 0)).trimEnd();
    const raw = trimmed.slice(equals + 1).trimStart();
    const value = raw === '' ? undefined : unquote(raw);
    if (equals < 0 || key === '' || value === undefined) bad.push(line);
    else properties.set(key, value);
  }
  return { properties, bad };
}

/** Undefined where only one of the quotes is there. */
function unquote(value: string): string | undefined {
  const quote = value[0];
  if (quote !== '"' && quote !== '\'') return value;
  return value.length > 1 && value.endsWith(quote) ? value.slice(1, -1) : undefined;
}
