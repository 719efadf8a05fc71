// docs/benchmarks.md and docs/benchmarks.svg, from the rows of a run.

import { spawnSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { figure, figuresOf, formatTarget, range } from './bench-result.mjs';

/** @typedef {import('./bench-result.mjs').Row} Row */

/** What the benches of scripts/bench.mjs are about; another one is called by its name. */
const TITLES = {
  lookups: 'Aliases', startup: 'Start of the command', depends: 'Dependencies', why: 'Why', depmod: 'depmod and modinfo', bundle: 'Bundles', initramfs: 'Initramfs',
  rules: 'Rules', events: 'Events and memory of the daemon', helper: 'Requests of the kernel', vm: 'Coldplug', recording: 'Recordings',
};

/** What the figures depend on. @param {string} release of the kernel whose modules are used */
export function machineLines(release) {
  const first = (/** @type {string} */ program, /** @type {readonly string[]} */ args) => spawnSync(program, args, { encoding: 'utf8' }).stdout?.split('\n')[0]?.trim() || `no ${program}`;
  const version = (/** @type {string} */ name) => spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' }).stdout?.match(/^ {2}Candidate: (\S+)/m)?.[1] ?? 'none';
  return [
    `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Node ${process.version}; modules of ${release}`,
    `${first('kmod', ['--version'])}; udev ${version('udev')}; erofs-utils ${version('erofs-utils')} (of Debian)`,
    first('qemu-system-x86_64', ['--version']),
  ];
}

/** @param {readonly Row[]} rows @param {readonly string[]} machine */
export function benchDocument(rows, machine) {
  const groups = [...new Set(rows.map(({ group }) => group))];
  const sections = groups.map((group) => `## ${TITLES[group] ?? group}\n\n${table(rows.filter((row) => row.group === group))}\n`);
  const missed = rows.filter((row) => figuresOf(row).reached === false);
  return `# Benchmarks

Written by \`npm run bench\`: a change belongs in scripts/bench*.mjs. Run it on an idle machine; \`npm run bench -- NAME...\` prints single benches and writes nothing.

${machine.map((line) => `- ${line}`).join('\n')}

Figures are medians, with the quartiles in brackets. Ours and theirs are measured in turns, in one run; a ratio is ours divided by theirs. ${missed.length === 0 ? 'All targets are reached.' : `Of ${rows.filter(({ target }) => target).length} targets these are missed: ${missed.map(({ name }) => name).join('; ')}.`}

![Ratios on a logarithmic scale, with the targets](benchmarks.svg)

${sections.join('\n')}`;
}

/** @param {readonly Row[]} rows */
function table(rows) {
  const lines = rows.map((row) => {
    const { ours, theirs, ratio, reached } = figuresOf(row);
    const target = row.target === undefined ? '' : `${formatTarget(row)}${reached === false ? ': **missed**' : ''}`;
    const compared = theirs ? `${row.whose}: ${figure(theirs.median)} ${row.unit}${range(theirs, row.theirs)}` : row.whose;
    return `| ${[row.name, `${figure(ours.median)} ${row.unit}${range(ours, row.ours)}`, compared, ratio ? figure(ratio.median) : '', target].join(' | ')} |`;
  });
  return ['| | ours | beside | ratio | target |', '|---|---|---|--:|---|', ...lines].join('\n');
}

const LEFT = 270;
const WIDTH = 820;
const RIGHT = WIDTH - 70;
const TOP = 64;
const ROW = 22;
/** Decades are divided so. */
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
const COLOURS = { reached: '#0b7a75', missed: '#c2571a', open: '#5b6b9a', target: '#1f2933', text: '#1f2933', faint: '#d9dee3', quiet: '#66727f' };

/** The ratios as dots with their quartiles, on a logarithmic axis where less is better. @param {readonly Row[]} rows */
export function benchPlot(rows) {
  const points = rows.flatMap((row) => {
    const { ratio } = figuresOf(row);
    if (!ratio) return [];
    // Of a rate more is better: turned over, all rows read alike.
    const { median, low, high } = row.more ? { median: 1 / ratio.median, low: 1 / ratio.high, high: 1 / ratio.low } : ratio;
    const target = row.target && 'ratio' in row.target ? (row.more ? 1 / row.target.ratio : row.target.ratio) : undefined;
    return [{ name: row.name, whose: row.whose.split(',')[0] ?? '', median, low, high, target }];
  });
  const values = points.flatMap(({ low, high, target = 1 }) => [low, high, target]).filter((value) => value > 0 && Number.isFinite(value));
  const [least, most] = [Math.min(0.5, ...values), Math.max(2, ...values)];
  const ticks = TICKS.slice(Math.max(0, TICKS.findLastIndex((tick) => tick <= least)), TICKS.findIndex((tick) => tick >= most) + 1 || undefined);
  const [from, to] = [Math.log(ticks[0] ?? 0.01), Math.log(ticks.at(-1) ?? 100)];
  const x = (/** @type {number} */ value) => round(LEFT + ((Math.log(Math.min(Math.max(value, Math.exp(from)), Math.exp(to))) - from) / (to - from)) * (RIGHT - LEFT));
  const bottom = TOP + points.length * ROW;
  const text = (/** @type {number} */ left, /** @type {number} */ top, /** @type {string} */ words, more = '') => `<text x="${left}" y="${top}" ${more}>${escape(words)}</text>`;
  const grid = ticks.map((tick) => [
    `<line x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 6}" y2="${bottom}" stroke="${tick === 1 ? COLOURS.quiet : COLOURS.faint}"/>`,
    text(x(tick), TOP - 12, String(tick), `text-anchor="middle" fill="${COLOURS.quiet}"`),
  ].join(''));
  const dots = points.map(({ name, whose, median, low, high, target }, index) => {
    const y = TOP + index * ROW + ROW / 2;
    const colour = target === undefined ? COLOURS.open : median <= target ? COLOURS.reached : COLOURS.missed;
    return [
      text(LEFT - 12, y + 4, name, 'text-anchor="end"'),
      `<line x1="${x(low)}" x2="${x(high)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="4" stroke-opacity="0.4" stroke-linecap="round"/>`,
      ...(target === undefined ? [] : [`<line x1="${x(target)}" x2="${x(target)}" y1="${y - 8}" y2="${y + 8}" stroke="${COLOURS.target}" stroke-width="2"/>`]),
      `<circle cx="${x(median)}" cy="${y}" r="5" fill="${colour}"><title>${escape(`${name}: ${figure(median)} of ${whose}`)}</title></circle>`,
      text(RIGHT + 14, y + 4, figure(median), `fill="${colour}"`),
    ].join('');
  });
  const legend = [['target', COLOURS.target], ['reached', COLOURS.reached], ['missed', COLOURS.missed], ['without', COLOURS.open]].map(([word = '', colour], index) => {
    const left = WIDTH - 312 + index * 76;
    const mark = index === 0 ? `<line x1="${left}" x2="${left}" y1="12" y2="28" stroke="${colour}" stroke-width="2"/>` : `<circle cx="${left}" cy="20" r="5" fill="${colour}"/>`;
    return mark + text(left + 10, 24, word);
  }).join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + 16}" font-family="system-ui, sans-serif" font-size="12" fill="${COLOURS.text}">
<rect width="100%" height="100%" fill="#fff"/>
${text(16, 24, 'Ours divided by theirs: less is better (rates are turned over)', 'font-size="14"')}
${legend}
${[...grid, ...dots].join('\n')}
</svg>
`;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}

/** @param {string} text */
function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
