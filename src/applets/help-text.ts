// The text of --help in a terminal that is narrower than it was written for.

/** A word, then two blanks or more, then what it means: where that begins. */
const MEANING = /^ *\S+(?: \S+)* {2,}(?=\S)/;
/** A meaning that begins behind this share of the line is no column to wrap in. */
const COLUMN_SHARE = 0.6;

/** Breaks lines that are too long at blanks: a meaning below where it begins, other lines below their own beginning. Lines that fit stay. */
export function wrapHelp(text: string, columns: number): string {
  const lines = text.split('\n');
  const wrapped: string[] = [];
  /** Where the last meaning began. */
  let column = 0;
  for (let index = 0; index < lines.length; index++) {
    let line = lines[index] ?? '';
    const indent = hangingIndent(line, columns, column);
    if (MEANING.test(line)) column = indent;
    // What was written below it goes on where the broken line ends.
    let joined = line;
    let next = index;
    while (continues(line, lines[next + 1], indent)) joined += ` ${(lines[++next] ?? '').trim()}`;
    if (lines.slice(index, next + 1).some((each) => each.length > columns)) {
      line = joined;
      index = next;
    }
    wrapped.push(...broken(line, columns, indent));
  }
  return wrapped.join('\n');
}

function hangingIndent(line: string, columns: number, column: number): number {
  const own = line.length - line.trimStart().length;
  // An option may be so long that one blank is left before the column.
  const inColumn = line.trimStart().startsWith('-') && line[column - 1] === ' ' && column > own;
  const meaning = MEANING.exec(line)?.[0].length ?? (inColumn ? column : 0);
  return meaning > 0 && meaning <= columns * COLUMN_SHARE ? meaning : own;
}

/** A meaning, or prose at the margin; a list of commands is neither. */
function continues(line: string, next: string | undefined, indent: number): boolean {
  if (next === undefined || next.trim() === '' || next.length - next.trimStart().length !== indent) return false;
  return indent > line.length - line.trimStart().length || (indent === 0 && line !== '' && !line.endsWith(':') && !/^usage:/i.test(line));
}

function broken(line: string, columns: number, indent: number): readonly string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > columns) {
    const at = rest.lastIndexOf(' ', columns);
    // A word that is longer than a line stays whole.
    if (at <= indent) break;
    lines.push(rest.slice(0, at).trimEnd());
    rest = `${' '.repeat(indent)}${rest.slice(at + 1).trimStart()}`;
  }
  return [...lines, rest];
}
