// A timeline as a picture: a row for each load, events in lanes below, colours for the parts, a frame around the critical path.

import type { PartKind, Timeline, TimelineItem } from './timeline.ts';
import { lanesOf } from './timeline-text.ts';

const SIZE = { plot: 1000, label: 210, row: 16, lane: 12, margin: 16, head: 64 };
/** A busy boot has more events at a time than a picture can show. */
const LANES_MAX = 80;
const COLORS: Readonly<Record<PartKind, string>> = {
  dependency: '#d9d9d9', queue: '#bdbdbd', wait: '#bdbdbd', rules: '#7fb3d5', lock: '#a569bd', program: '#f5b041', builtin: '#58a4b0', module: '#f7dc6f',
  read: '#76d7c4', decompress: '#e59866', init: '#5d8a3a',
};

export function timelineSvg({ items }: Timeline): string {
  const loads = items.flatMap((item, i) => (item.kind === 'load' ? [{ item, i }] : []));
  const lanes = lanesOf(items, 'event');
  const laneCount = Math.min(LANES_MAX, Math.max(0, ...[...lanes.values()].map((lane) => lane + 1)));
  const hidden = [...lanes.values()].filter((lane) => lane >= LANES_MAX).length;
  const first = items.length === 0 ? 0 : Math.min(...items.map(({ at }) => at));
  const last = items.length === 0 ? 1 : Math.max(...items.map(({ at, ms }) => at + ms));
  const scale = SIZE.plot / Math.max(last - first, 0.001);
  const left = SIZE.margin + SIZE.label;
  const x = (at: number): number => round(left + (at - first) * scale);
  const eventsTop = SIZE.head + loads.length * SIZE.row + 30;
  const width = left + SIZE.plot + 180;
  const height = eventsTop + laneCount * SIZE.lane + SIZE.margin + 8;
  const bars = [
    ...loads.map(({ item }, row) => bar(item, { y: SIZE.head + row * SIZE.row, height: SIZE.row - 4, x, scale, label: true })),
    ...items.flatMap((item, i) => {
      const lane = lanes.get(i);
      return lane === undefined || lane >= LANES_MAX ? [] : [bar(item, { y: eventsTop + lane * SIZE.lane, height: SIZE.lane - 3, x, scale, label: false })];
    }),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="10">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${SIZE.margin}" y="22" font-size="14" font-weight="bold">${loads.length} loads and ${items.length - loads.length} events, ${((last - first) / 1000).toFixed(3)} s; the critical path is framed red</text>
${legend()}${axis(first, last, x, height)}<text x="${SIZE.margin}" y="${eventsTop - 8}" font-weight="bold">events${hidden === 0 ? '' : ` (${hidden} more are not shown)`}</text>
${bars.join('')}</svg>
`;
}

type Place = { readonly y: number; readonly height: number; readonly x: (at: number) => number; readonly scale: number; readonly label: boolean };

function bar(item: TimelineItem, { y, height, x, scale, label }: Place): string {
  const width = Math.max(1, round(item.ms * scale));
  const parts = item.parts.map(({ what, at, ms }) => `<rect x="${x(at)}" y="${y}" width="${Math.max(0.3, round(ms * scale))}" height="${height}" fill="${COLORS[what]}"/>`).join('');
  const frame = item.critical ? `<rect x="${x(item.at)}" y="${y}" width="${width}" height="${height}" fill="none" stroke="#c0392b" stroke-width="1.6"/>` : '';
  const text = label ? `<text x="${SIZE.margin + SIZE.label - 6}" y="${y + height - 2}" text-anchor="end"${item.critical ? ' fill="#c0392b"' : ''}>${xml(item.name)}</text>\
<text x="${round(x(item.at) + width + 4)}" y="${y + height - 2}" fill="#666" font-size="9">${item.ms.toFixed(1)} ms</text>` : '';
  const tip = [`${item.name} ${item.devpath}`, `${(item.at / 1000).toFixed(3)} s, ${item.ms.toFixed(1)} ms`, ...item.parts.map(({ what, ms, name }) => `${what} ${ms.toFixed(2)} ms${name === undefined ? '' : ` ${name}`}`)].join('\n');
  return `<g><title>${xml(tip)}</title><rect x="${x(item.at)}" y="${y}" width="${width}" height="${height}" fill="#eeeeee"/>${parts}${frame}${text}</g>\n`;
}

function legend(): string {
  const kinds = Object.entries(COLORS).filter(([what]) => what !== 'wait');
  return `${kinds.map(([what, color], i) => `<rect x="${SIZE.margin + i * 96}" y="32" width="10" height="10" fill="${color}"/><text x="${SIZE.margin + 14 + i * 96}" y="41">${what}</text>`).join('')}\n`;
}

/** At steps of 1, 2 or 5 times a power of ten, about ten of them. */
function axis(first: number, last: number, x: (at: number) => number, height: number): string {
  const rough = Math.max(last - first, 0.001) / 10;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10) * power;
  let lines = '';
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    lines += `<path d="M${x(at)} ${SIZE.head - 6}V${height - SIZE.margin}" stroke="#e3e3e3"/><text x="${x(at)}" y="${SIZE.head - 9}" text-anchor="middle" fill="#666" font-size="9">${(at / 1000).toFixed(step < 10 ? 3 : 2)} s</text>\n`;
  }
  return lines;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function xml(text: string): string {
  return text.replace(/[^\n\P{Cc}]/gu, '?').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
