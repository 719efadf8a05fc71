// The Markdown that our documents use: headings, paragraphs, lists, tables and code; in a line, code, bold, italics and links.

export type Style = 'plain' | 'bold' | 'italic' | 'code';

export type Span = { readonly text: string; readonly style: Style };
export type Line = readonly Span[];

export type Item = {
  /** `- \`-n\`, \`--dry-run\`: text`: what stands before the colon, where that is code alone. */
  readonly tag: Line | undefined;
  /** `1.`, or undefined for a bullet. */
  readonly number: string | undefined;
  /** 0 for the outermost list. */
  readonly depth: number;
  readonly text: Line;
};

export type Block =
  | { readonly kind: 'heading'; readonly level: number; readonly text: string }
  | { readonly kind: 'paragraph'; readonly text: Line }
  | { readonly kind: 'code'; readonly lines: readonly string[] }
  | { readonly kind: 'list'; readonly items: readonly Item[] }
  | { readonly kind: 'table'; readonly heads: readonly Line[]; readonly rows: readonly (readonly Line[])[] };

const ITEM = /^( *)(?:[-*]|(\d+\.)) (.*)$/;
const TAG = /^((?:`[^`]+`(?:, | or )?)+):(?: (.*))?$/s;

/** Anything is a paragraph that is nothing else: no text is refused. */
export function parseMarkdown(text: string): Block[] {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at] ?? '';
    const heading = /^(#{1,4}) (.*)$/.exec(line);
    let end = at + 1;
    if (heading) {
      blocks.push({ kind: 'heading', level: (heading[1] ?? '').length, text: plainText(parseLine(heading[2] ?? '')) });
    } else if (line.startsWith('```')) {
      while (end < lines.length && lines[end] !== '```') end++;
      blocks.push({ kind: 'code', lines: lines.slice(at + 1, end) });
      end++;
    } else if (line.startsWith('|')) {
      while (lines[end]?.startsWith('|')) end++;
      const [heads = [], , ...rows] = lines.slice(at, end).map(cells);
      blocks.push({ kind: 'table', heads, rows });
    } else if (ITEM.test(line)) {
      while (end < lines.length && (ITEM.test(lines[end] ?? '') || /^ +\S/.test(lines[end] ?? ''))) end++;
      blocks.push({ kind: 'list', items: items(lines.slice(at, end)) });
    } else if (line.trim() !== '') {
      while (end < lines.length && (lines[end] ?? '').trim() !== '' && !/^(?:#{1,4} |```|\|)/.test(lines[end] ?? '') && !ITEM.test(lines[end] ?? '')) end++;
      blocks.push({ kind: 'paragraph', text: parseLine(lines.slice(at, end).join(' ')) });
    }
    at = end;
  }
  return blocks;
}

function items(lines: readonly string[]): Item[] {
  const joined: { indent: number; number: string | undefined; text: string }[] = [];
  for (const line of lines) {
    const [, blanks = '', number, text = ''] = ITEM.exec(line) ?? [];
    const last = joined.at(-1);
    if (ITEM.test(line)) joined.push({ indent: blanks.length, number, text });
    else if (last) last.text += ` ${line.trim()}`;
  }
  return joined.map(({ indent, number, text }) => {
    const [, tag, rest = ''] = TAG.exec(text) ?? [];
    return { number, depth: Math.floor(indent / 2), tag: tag === undefined ? undefined : parseLine(tag), text: parseLine(tag === undefined ? text : rest) };
  });
}

/** `\|` is no border, nor is a bar in code. */
function cells(line: string): Line[] {
  return [...line.slice(1).matchAll(/((?:`[^`]*`|\\.|[^|\\`])*)\|/g)].map(([, cell = '']) => parseLine(cell.trim().replaceAll('\\|', '|')));
}

/** One style at a time: nothing is bold and code. */
export function parseLine(text: string): Line {
  const spans: Span[] = [];
  const say = (piece: string, style: Style): void => {
    if (piece !== '') spans.push({ text: piece, style });
  };
  let at = 0;
  for (const match of text.matchAll(/`` ?(.+?) ?``|`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*|\[([^\]]*)\]\(([^)\s]*)\)|\\([^\w\s])/g)) {
    say(text.slice(at, match.index), 'plain');
    at = match.index + match[0].length;
    const [, quoted, code, bold, italic, link, target = '', escaped] = match;
    if (quoted ?? code) say(quoted ?? code ?? '', 'code');
    else if (bold !== undefined) spans.push(...parseLine(bold).map((span): Span => ({ text: span.text, style: span.style === 'plain' ? 'bold' : span.style })));
    else if (italic !== undefined) say(italic, 'italic');
    else if (link !== undefined) spans.push(...parseLine(link), ...(/^https?:/.test(target) ? [{ text: ` <${target}>`, style: 'plain' as const }] : []));
    else say(escaped ?? '', 'plain');
  }
  say(text.slice(at), 'plain');
  return spans;
}

export function plainText(line: Line): string {
  return line.map(({ text }) => text).join('');
}
