// A page as text of a width: for a terminal with bold and underlined words, or plain.

import type { Block, Item, Line, Span, Style } from './markdown.ts';

export type TextOptions = { readonly columns: number; readonly styled: boolean };

const INDENT = 7;
const TAG_INDENT = 14;
const SEQUENCES: Readonly<Record<Style, readonly [on: string, off: string]>> = {
  plain: ['', ''], bold: ['\x1b[1m', '\x1b[22m'], code: ['\x1b[1m', '\x1b[22m'], italic: ['\x1b[4m', '\x1b[24m'],
};

export function textPage(blocks: readonly Block[], options: TextOptions): string {
  return `${blocks.flatMap((block, i) => [...(i === 0 || blocks[i - 1]?.kind === 'heading' ? [] : ['']), ...textBlock(block, options)]).join('\n')}\n`;
}

function textBlock(block: Block, options: TextOptions): string[] {
  switch (block.kind) {
    case 'heading':
      return [`${' '.repeat(block.level <= 2 ? 0 : 3)}${styled({ text: block.level <= 2 ? block.text.toUpperCase() : block.text, style: 'bold' }, options)}`];
    case 'paragraph':
      return wrap(block.text, INDENT, options);
    case 'code':
      return block.lines.map((line) => (line === '' ? '' : `${' '.repeat(INDENT + 4)}${line}`));
    case 'list':
      return block.items.flatMap((item) => textItem(item, options));
    case 'table':
      return block.rows.flatMap(([first = [], ...cells]) => [...wrap(first, INDENT, options), ...cells.flatMap((cell, i) => (
        cell.length === 0 ? [] : wrap(i === 0 ? cell : [...block.heads[i + 1] ?? [], { text: ': ', style: 'plain' }, ...cell], TAG_INDENT, options)
      ))]);
  }
}

function textItem({ tag, number, depth, text }: Item, options: TextOptions): string[] {
  const indent = INDENT + 4 * depth;
  if (tag) return [...wrap(tag, indent, options), ...wrap(text, indent + TAG_INDENT - INDENT, options)];
  const mark = number ?? '•';
  const [first = '', ...others] = wrap(text, indent + mark.length + 1, options);
  return [`${' '.repeat(indent)}${mark} ${first.trimStart()}`, ...others];
}

/** Breaks at blanks only; a word that is wider than the line stands alone on it. */
function wrap(line: Line, indent: number, options: TextOptions): string[] {
  const words: Span[][] = [[]];
  for (const { text, style } of line) {
    const [first = '', ...others] = text.split(/[ \n]+/);
    words.at(-1)?.push({ text: first, style });
    for (const other of others) words.push([{ text: other, style }]);
  }
  const lines: string[] = [];
  let shown = '';
  let width = 0;
  for (const word of words) {
    const length = word.reduce((sum, { text }) => sum + [...text].length, 0);
    if (length === 0) continue;
    if (width > 0 && indent + width + 1 + length > options.columns) {
      lines.push(shown);
      [shown, width] = ['', 0];
    }
    shown += (width === 0 ? ' '.repeat(indent) : ' ') + word.map((span) => styled(span, options)).join('');
    width += length + (width === 0 ? 0 : 1);
  }
  return width === 0 ? lines : [...lines, shown];
}

function styled({ text, style }: Span, { styled: isStyled }: TextOptions): string {
  const [on, off] = SEQUENCES[style];
  return isStyled && text !== '' ? `${on}${text}${off}` : text;
}
