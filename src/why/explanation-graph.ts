// An explanation as a picture: in Graphviz' language, and as SVG with a layout of its own, from left to right by distance from the beginning.

import { type Explanation, type Link, place } from './explanation.ts';

const BOX = { width: 236, height: 50, gapX: 44, gapY: 14, margin: 16, title: 34 };
/** Letters that fit into a box. */
const TEXT_MAX = 36;
const FILL: Readonly<Record<Link['state'], string>> = { holds: '#eaf2fb', fails: '#fbe4e2', near: '#fdf3d8', note: '#f2f2f2' };
const STROKE: Readonly<Record<Link['state'], string>> = { holds: '#3b6ea5', fails: '#b3372c', near: '#b58a1c', note: '#888888' };

export function explanationDot({ verdict, links }: Explanation): string {
  const nodes = links.map((link, i) => {
    const label = [link.kind, link.name, link.text].filter((part) => part !== '').map(dotText).join('\\n');
    const tip = link.source ? `, tooltip="${dotText(place(link.source))}"` : '';
    return `  n${i} [label="${label}", fillcolor="${FILL[link.state]}", color="${STROKE[link.state]}"${tip}];\n`;
  });
  const edges = links.flatMap(({ from, state }, i) => from.map((at) => `  n${at} -> n${i}${state === 'near' ? ' [style=dashed]' : ''};\n`));
  return `digraph why {\n  label="${dotText(verdict)}"; labelloc=t; rankdir=LR;\n  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=10];\n${nodes.join('')}${edges.join('')}}\n`;
}

export function explanationSvg({ verdict, links }: Explanation): string {
  const columns = columnsOf(links);
  const rows = rowsOf(links, columns);
  const width = Math.max(2 * BOX.margin + (Math.max(0, ...columns) + 1) * (BOX.width + BOX.gapX) - BOX.gapX, 2 * BOX.margin + verdict.length * 8);
  const height = BOX.title + 2 * BOX.margin + (Math.max(0, ...rows) + 1) * (BOX.height + BOX.gapY);
  const x = (i: number): number => BOX.margin + (columns[i] ?? 0) * (BOX.width + BOX.gapX);
  const y = (i: number): number => BOX.title + BOX.margin + (rows[i] ?? 0) * (BOX.height + BOX.gapY);
  const edges = links.flatMap(({ from, state }, i) => from.map((at) => {
    const [x1, y1, x2, y2] = [x(at) + BOX.width, y(at) + BOX.height / 2, x(i), y(i) + BOX.height / 2];
    const bend = BOX.gapX / 2;
    return `<path d="M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}" fill="none" stroke="${STROKE[state]}" stroke-width="1.4"${state === 'near' ? ' stroke-dasharray="4 3"' : ''} marker-end="url(#tip)"/>\n`;
  }));
  const boxes = links.map((link, i) => `<g transform="translate(${x(i)} ${y(i)})"><title>${xml([link.name, link.text, link.source ? place(link.source) : ''].filter((part) => part !== '').join('\n'))}</title>\
<rect width="${BOX.width}" height="${BOX.height}" rx="6" fill="${FILL[link.state]}" stroke="${STROKE[link.state]}"/>\
<text x="8" y="14" font-size="9" fill="${STROKE[link.state]}">${xml(link.kind)}</text><text x="8" y="28" font-size="11" fill="#111">${xml(cutMiddle(link.name))}</text>\
<text x="8" y="42" font-size="9.5" fill="#555">${xml(cutEnd(link.text))}</text></g>\n`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#666"/></marker></defs>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="${BOX.margin}" y="26" font-size="14" font-weight="bold" font-family="sans-serif" fill="#111">${xml(verdict)}</text>
${edges.join('')}${boxes.join('')}</svg>
`;
}

/** One further than the furthest that it follows from. */
function columnsOf(links: readonly Link[]): number[] {
  const columns: number[] = [];
  for (const { from } of links) columns.push(from.length === 0 ? 0 : Math.max(...from.map((at) => columns[at] ?? 0)) + 1);
  return columns;
}

/** The first free row of its column at or below that of what it follows from, so that chains run straight. */
function rowsOf(links: readonly Link[], columns: readonly number[]): number[] {
  const free = new Map<number, number>();
  const rows: number[] = [];
  for (const [i, { from }] of links.entries()) {
    const column = columns[i] ?? 0;
    const wanted = from.length === 0 ? free.get(column) ?? 0 : Math.min(...from.map((at) => rows[at] ?? 0));
    const row = Math.max(wanted, free.get(column) ?? 0);
    free.set(column, row + 1);
    rows.push(row);
  }
  return rows;
}

function cutMiddle(text: string): string {
  const head = Math.floor(TEXT_MAX / 3);
  return text.length <= TEXT_MAX - 4 ? text : `${text.slice(0, head)}…${text.slice(head + 5 - TEXT_MAX)}`;
}

function cutEnd(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`;
}

function dotText(text: string): string {
  return text.replace(/\p{Cc}/gu, '?').replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}

function xml(text: string): string {
  return text.replace(/[^\n\P{Cc}]/gu, '?').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
