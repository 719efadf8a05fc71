// How the text of a rules file is cut into rules: physical lines, comments, continuations, and the limits on their lengths.

/** A physical line, without its end, is shorter, and so is a joined one (udev's UDEV_LINE_SIZE). */
export const UDEV_LINE_SIZE = 16384;

/** One rule before it is looked at. */
export type SourceLine = {
  readonly text: string;
  /** The last physical line, from 1: udev's messages name it. */
  readonly line: number;
  /** Where each physical line begins in `text`, in order. */
  readonly pieces: readonly Piece[];
  /** Why there is no rule here; `text` is then of no use. */
  readonly bad?: 'too-long' | 'end-of-file';
};

/** From `offset` of the joined text on, characters are those of physical line `line` from `column` on (both from 1). */
export type Piece = { readonly offset: number; readonly line: number; readonly column: number };

export type SourceLines = {
  readonly lines: readonly SourceLine[];
  /** A physical line that is too long, which costs the whole file. What is before it was read. */
  readonly overlong?: number;
};

/** The ends of line that udev knows: LF and CR in any order, then NUL; a NUL ends the line for good. */
const LINE_END = /(?:\n\r?|\r\n?)\0?|\0/g;

/** Cuts a file. `text` has one character a byte (latin1), because the limits count bytes. */
export function cutLines(text: string): SourceLines {
  const lines: SourceLine[] = [];
  const end = new RegExp(LINE_END);
  let joined: Joined | undefined;
  let number = 0;
  for (let start = 0; start < text.length;) {
    const found = end.exec(text);
    const first = start;
    const stop = found?.index ?? text.length;
    start = found ? end.lastIndex : text.length;
    number++;
    if (stop - first >= UDEV_LINE_SIZE) return { lines, overlong: number };
    const begin = skipBlanks(text, first, stop);
    if (begin < stop && text[begin] === '#') continue;
    const piece = { offset: joined?.length ?? 0, line: number, column: begin - first + 1 };
    if (joined && !joined.isTooLong && joined.length + stop - begin >= UDEV_LINE_SIZE) joined.isTooLong = true;
    const goesOn = stop > begin ? text[stop - 1] === '\\' : joined?.endsInBackslash === true;
    if (goesOn) {
      joined ??= { texts: [], length: 0, pieces: [], endsInBackslash: false, isTooLong: false };
      if (!joined.isTooLong) append(joined, text.slice(begin, stop), piece);
      continue;
    }
    if (!joined) {
      if (stop > begin) lines.push({ text: text.slice(begin, stop), line: number, pieces: [piece] });
      continue;
    }
    const { texts, pieces, isTooLong } = joined;
    joined = undefined;
    if (isTooLong) {
      lines.push({ text: '', line: number, pieces, bad: 'too-long' });
      continue;
    }
    const rule = texts.join('') + text.slice(begin, stop);
    if (rule !== '') lines.push({ text: rule, line: number, pieces: [...pieces, piece] });
  }
  if (joined) lines.push({ text: '', line: number, pieces: joined.pieces, bad: 'end-of-file' });
  return { lines };
}

/** The physical line and column of an offset in a rule. */
export function placeOf(pieces: readonly Piece[], offset: number): { readonly line: number; readonly column: number } {
  const piece = pieces.findLast((each) => each.offset <= offset) ?? { offset: 0, line: 0, column: 1 };
  return { line: piece.line, column: piece.column + offset - piece.offset };
}

/** What came before a continuation. In pieces: joining them anew with each line would take quadratic time. */
type Joined = {
  readonly texts: string[];
  length: number;
  readonly pieces: Piece[];
  /** Without the one that made it go on. Such a rule goes on behind an empty line, too. */
  endsInBackslash: boolean;
  isTooLong: boolean;
};

/** `text` ends in the backslash that goes; where it is empty, the one before it does. */
function append(joined: Joined, text: string, piece: Piece): void {
  const last = text === '' ? joined.texts.pop() ?? '' : '';
  const rest = (last + text).slice(0, -1);
  if (rest !== '') joined.texts.push(rest);
  joined.length += rest.length - last.length;
  joined.endsInBackslash = joined.texts.at(-1)?.endsWith('\\') ?? false;
  if (text.length > 1) joined.pieces.push(piece);
}

function skipBlanks(text: string, from: number, to: number): number {
  let at = from;
  while (at < to && (text[at] === ' ' || text[at] === '\t')) at++;
  return at;
}
