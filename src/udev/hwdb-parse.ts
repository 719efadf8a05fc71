// The text of a .hwdb file: match lines, their properties, and what is wrong with it (hwdb(7)).

/** One `KEY=VALUE` line for the match lines above it. */
export type HwdbProperty = {
  readonly matches: readonly string[];
  /** Without the blank that it starts with. */
  readonly key: string;
  readonly value: string;
  readonly line: number;
};

export type HwdbProblem = { readonly file: string; readonly line: number; readonly message: string };

export type HwdbText = { readonly file: string; readonly properties: readonly HwdbProperty[]; readonly problems: readonly HwdbProblem[] };

/** Characters of one line; udev reads no longer ones either. */
const MAX_HWDB_LINE = 1024 * 1024;

/** What systemd's line reader takes for the end of a line. */
const LINE_END = /\r\n|\n\r|[\n\r\0]/;

/**
 * A match line starts in the first column, a property line with a blank; an empty line ends the record, comment lines count as none.
 * A bad line costs itself, or the rest of its record, as it does for systemd-hwdb, whose words the messages are.
 *
 * @param text its bytes as latin1: the database keeps bytes
 */
export function parseHwdb(text: string, file: string): HwdbText {
  const properties: HwdbProperty[] = [];
  const problems: HwdbProblem[] = [];
  let state: 'none' | 'match' | 'data' = 'none';
  let matches: string[] = [];
  let number = 0;
  const problem = (message: string): void => void problems.push({ file, line: number, message: `${message}.` });
  const end = (): void => {
    state = 'none';
    matches = [];
  };

  const property = (line: string): void => {
    state = 'data';
    const equals = line.indexOf('=');
    if (equals < 0) return problem(`Key-value pair expected but got "${line}", ignoring`);
    const key = line.slice(0, equals).replace(/^[ \t]+/, '');
    const value = line.slice(equals + 1);
    if (key === '') return problem(`Empty key in " =${value}", ignoring`);
    properties.push({ matches, key, value, line: number });
  };

  for (const raw of linesOf(text)) {
    number++;
    if (raw.length > MAX_HWDB_LINE) {
      problem(`Line is longer than ${MAX_HWDB_LINE} characters, ignoring line`);
      continue;
    }
    if (raw.startsWith('#')) continue;
    const hash = raw.indexOf('#');
    const line = withoutTrailingSpace(hash < 0 ? raw : raw.slice(0, hash));
    const indented = line.startsWith(' ');
    if (state === 'none') {
      if (line === '') continue;
      if (indented) {
        problem(`Match expected but got indented property "${line}", ignoring line`);
        continue;
      }
      state = 'match';
      matches.push(line);
    } else if (line === '') {
      if (state === 'match') problem('Property expected, ignoring record with no properties');
      end();
    } else if (indented) {
      property(line);
    } else if (state === 'match') {
      matches.push(line);
    } else {
      problem(`Property or empty line expected, got "${line}", ignoring record`);
      end();
    }
  }
  if (state === 'match') problem('Property expected, ignoring record with no properties');
  return { file, properties, problems };
}

function linesOf(text: string): string[] {
  const lines = text.split(LINE_END);
  // What follows the last line end is a line only if there is something.
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function withoutTrailingSpace(line: string): string {
  let end = line.length;
  while (end > 0 && ' \t\n\r'.includes(line[end - 1] ?? '')) end--;
  return line.slice(0, end);
}
