// An explanation for people: the verdict, then a line for each link of the chain.

import { type Explanation, type Link, place } from './explanation.ts';

export type TextOptions = {
  /** Sources, what nearly matched, and how the time of a load was spent. */
  readonly verbose?: boolean;
  readonly color?: boolean;
};

/** Of one kind in a row, without -v. */
const SHOWN_MAX = 6;
/** A modalias may have hundreds of letters; -v shows all. */
const NAME_MAX = 72;

export function explanationText(explanation: Explanation, { verbose = false, color = false }: TextOptions = {}): string {
  const { verdict, links } = explanation;
  const isDead = !links.some(({ kind }) => kind === 'alias');
  const shown = verbose ? links : shorten(links.filter(({ state }) => state !== 'near' || isDead));
  const width = Math.max(0, ...links.map(({ kind }) => LABELS[kind].length));
  const indent = ' '.repeat(width + 4);
  let text = `${paint(printable(verdict), '1', color)}\n`;
  if (shown.length > 0) text += '\n';
  for (const link of shown) {
    if (typeof link === 'string') {
      text += `${indent}${link}\n`;
      continue;
    }
    const name = verbose ? link.name : cut(link.name);
    const line = `${MARKS[link.state]} ${LABELS[link.kind].padEnd(width)}  ${printable(name)}${link.text === '' ? '' : `  ${printable(link.text)}`}`;
    text += `${paint(line, COLORS[link.state], color)}\n`;
    if (!verbose) continue;
    if (link.source) text += `${indent}${paint(printable(place(link.source)), '2', color)}\n`;
    if (link.load) text += `${indent}${paint(loadText(link.load), '2', color)}\n`;
  }
  return text;
}

const LABELS: Readonly<Record<Link['kind'], string>> = {
  image: 'image', request: 'request', device: 'device', modalias: 'modalias', alias: 'alias', 'near-alias': 'nearly', rule: 'rule', list: 'list', module: 'module',
  needs: 'needs', softdep: 'softdep', options: 'options', blacklist: 'blacklist', deny: 'deny', install: 'install', driver: 'driver', load: 'loaded', failure: 'failed',
  kernel: 'kernel',
};
const MARKS: Readonly<Record<Link['state'], string>> = { holds: ' ', fails: '!', near: '~', note: ' ' };
const COLORS: Readonly<Record<Link['state'], string>> = { holds: '', fails: '31', near: '33', note: '2' };

function loadText({ waitMs, readMs, decompressMs, initMs }: NonNullable<Link['load']>): string {
  return Object.entries({ wait: waitMs, read: readMs, decompress: decompressMs, init: initMs }).map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`).join(', ');
}

/** Long rows of one kind become their beginning and a count. */
function shorten(links: readonly Link[]): (Link | string)[] {
  const counts = new Map<Link['kind'], number>();
  for (const { kind } of links) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const seen = new Map<Link['kind'], number>();
  return links.flatMap((link): (Link | string)[] => {
    const number = (seen.get(link.kind) ?? 0) + 1;
    const count = counts.get(link.kind) ?? 0;
    seen.set(link.kind, number);
    if (number <= SHOWN_MAX || count === SHOWN_MAX + 1) return [link];
    return number === count ? [`and ${count - SHOWN_MAX} more (${LABELS[link.kind]}); -v shows them`] : [];
  });
}

function cut(name: string): string {
  return name.length <= NAME_MAX ? name : `${name.slice(0, NAME_MAX / 2)}…${name.slice(1 - NAME_MAX / 2)}`;
}

function paint(text: string, code: string, color: boolean): string {
  return color && code !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** Names come from hardware and files: an escape sequence would recolour the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
