// A page as roff for man(1): the man macros that groff and mandoc share.

import { type Block, type Item, type Line, parseMarkdown } from './markdown.ts';

export type PageHead = { readonly name: string; readonly section: string; readonly summary: string; readonly version: string };

export function roffPage(blocks: readonly Block[], { name, section, summary, version }: PageHead): string {
  return [
    `.TH ${quoted(name.toUpperCase())} ${section} "" ${quoted(`tsmodprobe ${version}`)} ${quoted('tsmodprobe manual')}`,
    // No page is hyphenated or filled up with blanks: names stay as they are typed.
    '.nh', '.ad l',
    '.SH NAME', `${escaped(name)} \\- ${escaped(summary)}`,
    ...blocks.flatMap((block, i) => {
      const lines = roffBlock(block);
      return lines[0] === '.PP' && blocks[i - 1]?.kind === 'heading' ? lines.slice(1) : lines;
    }), '',
  ].join('\n');
}

function roffBlock(block: Block): string[] {
  switch (block.kind) {
    case 'heading':
      return block.level <= 2 ? [`.SH ${quoted(block.text.toUpperCase())}`] : [`.SS ${quoted(block.text)}`];
    case 'paragraph':
      return ['.PP', roffLine(block.text)];
    case 'code':
      return ['.PP', '.RS 4', '.nf', ...block.lines.map((line) => protectedLine(escaped(line, true))), '.fi', '.RE'];
    case 'list':
      return block.items.flatMap(roffItem);
    case 'table':
      return block.rows.flatMap(([first = [], ...others]) => ['.TP', roffLine(first), ...roffCells(others, block.heads.slice(1))]);
  }
}

function roffItem({ tag, number, depth, text }: Item): string[] {
  const lines = tag ? ['.TP', roffLine(tag), ...(text.length === 0 ? ['\\&'] : [roffLine(text)])] : [`.IP ${number ?? '\\(bu'} ${number === undefined ? 2 : 4}`, roffLine(text)];
  return depth === 0 ? lines : ['.RS 4', ...lines, '.RE'];
}

/** What the table has beside its first column: the second as it is, others behind their heads. */
function roffCells(cells: readonly Line[], heads: readonly Line[]): string[] {
  const told = cells.flatMap((cell, i) => (cell.length === 0 ? [] : [{ cell, head: heads[i] ?? [] }]));
  if (told.length === 0) return ['\\&'];
  return told.flatMap(({ cell, head }, i) => (i === 0 ? [roffLine(cell)] : ['.br', roffLine([...head, { text: ': ', style: 'plain' }, ...cell])]));
}

function roffLine(line: Line): string {
  return protectedLine(line.map(({ text, style }) => {
    switch (style) {
      case 'plain':
        return escaped(text);
      case 'italic':
        return `\\fI${escaped(text)}\\fR`;
      default:
        return `\\fB${escaped(text, style === 'code')}\\fR`;
    }
  }).join(''));
}

/** A minus that is typed is no hyphen. What is not ASCII goes by its number: then no program needs to know the encoding. */
function escaped(text: string, isTyped = false): string {
  return text.replaceAll('\\', '\\e').replaceAll(/-/g, isTyped ? '\\-' : '-').replaceAll("'", '\\(aq').replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha').replaceAll('~', '\\(ti')
    .replaceAll(/[^\n -~]/gu, (character) => `\\[u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`);
}

/** A dot that begins a line would be a request. */
function protectedLine(line: string): string {
  return line.startsWith('.') ? `\\&${line}` : line;
}

/** An argument of a macro. */
function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '\\(dq')}"`;
}

/** The blocks below the heads of a page: `# NAME(SECTION)` and its summary, or only the title of a document, which begins with its description. */
export function pageBlocks(text: string): Block[] {
  const [title, ...below] = parseMarkdown(text);
  const blocks = title?.kind === 'heading' && /\(\d\)$/.test(title.text) ? below.slice(1) : below;
  return blocks[0]?.kind === 'heading' ? blocks : [{ kind: 'heading', level: 2, text: 'Description' }, ...blocks];
}
