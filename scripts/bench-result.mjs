// The result model of the benchmarks: rows of samples, ours and theirs, with median, spread, ratio and target.

/**
 * @typedef {{ ratio: number } | { ours: number }} Target the ratio that is wanted, or our own median, in the unit of the row
 * @typedef {{ group: string, name: string, unit: string, ours: readonly number[], theirs: readonly number[], whose: string, more: boolean, target: Target | undefined }} Row
 *   `theirs` is empty where there is nothing to compare with: `whose` then says why, or what is measured. `more`: more is better, as of a rate
 * @typedef {{ median: number, low: number, high: number }} Spread low and high are the quartiles
 * @typedef {{ target?: Target, more?: boolean }} RowOptions
 * @typedef {(name: string, ours: number | readonly number[], unit: string, theirs: number | readonly number[] | undefined, whose: string, options?: RowOptions) => void} Report
 */

const NAME_WIDTH = 36;
const FIGURE_WIDTH = 14;

/** Collects rows and prints each as it comes. @param {(line: string) => void} print */
export function openResults(print) {
  /** @type {Row[]} */
  const rows = [];
  return {
    rows,
    /** @type {(group: string, ...row: Parameters<Report>) => void} `group` is the bench that the row is of */
    report: (group, name, ours, unit, theirs, whose, { target, more = false } = {}) => {
      const row = { group, name, unit, ours: samples(ours), theirs: theirs === undefined ? [] : samples(theirs), whose, more, target };
      rows.push(row);
      print(formatRow(row));
    },
  };
}

/**
 * Milliseconds, or what else a measure gives, of each: all are measured in each round, so that whatever else the machine does slows all.
 * @template {Readonly<Record<string, () => number | Promise<number>>>} M
 * @param {number} rounds @param {M} measures
 * @returns {Promise<{ [K in keyof M]: number[] }>}
 */
export async function inTurns(rounds, measures) {
  const names = Object.keys(measures);
  const found = Object.fromEntries(names.map((name) => [name, /** @type {number[]} */ ([])]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) found[name]?.push(await measures[name]?.() ?? NaN);
  }
  return /** @type {{ [K in keyof M]: number[] }} */ (found);
}

/** @param {Row} row @returns {{ ours: Spread, theirs: Spread | undefined, ratio: Spread | undefined, reached: boolean | undefined }} */
export function figuresOf({ ours: oursSamples, theirs: theirsSamples, more, target }) {
  const ours = spread(oursSamples);
  const theirs = theirsSamples.length === 0 ? undefined : spread(theirsSamples);
  const ratio = theirs && { median: ours.median / theirs.median, low: ours.low / theirs.high, high: ours.high / theirs.low };
  const [measured, wanted] = target === undefined ? [] : 'ratio' in target ? [ratio?.median, target.ratio] : [ours.median, target.ours];
  return { ours, theirs, ratio, reached: measured === undefined ? undefined : more ? measured >= wanted : measured <= wanted };
}

/** One line of a terminal. @param {Row} row */
export function formatRow(row) {
  const { ours, theirs, ratio, reached } = figuresOf(row);
  const compared = theirs && ratio ? `${row.whose} ${figure(theirs.median)} ${row.unit}${range(theirs, row.theirs)}, ratio ${figure(ratio.median)}` : row.whose;
  const wanted = row.target === undefined || reached === undefined ? '' : `  ${reached ? 'reached' : 'MISSED'}: ${formatTarget(row)}`;
  return `${row.name.padEnd(NAME_WIDTH)}${`${figure(ours.median)} ${row.unit}`.padStart(FIGURE_WIDTH)}${range(ours, row.ours)}  ${compared}${wanted}`;
}

/** `at most 0.60 of kmod`, `at most 90 MB`. @param {Row} row */
export function formatTarget({ target, more, whose, unit }) {
  if (target === undefined) return '';
  return `${more ? 'at least' : 'at most'} ${'ratio' in target ? `${target.ratio.toFixed(2)} of ${whose}` : `${target.ours} ${unit}`}`;
}

/** Three digits that count. @param {number} value */
export function figure(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** Quartiles, where there is more than one sample. @param {Spread} spread @param {readonly number[]} values */
export function range({ low, high }, values) {
  return values.length > 1 ? ` (${figure(low)}–${figure(high)})` : '';
}

/** @param {number | readonly number[]} value */
function samples(value) {
  return typeof value === 'number' ? [value] : value;
}

/** @param {readonly number[]} values @returns {Spread} */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  /** Between the two samples that are nearest. @param {number} share */
  const quantile = (share) => {
    const position = (sorted.length - 1) * share;
    const [below, above] = [sorted[Math.floor(position)] ?? NaN, sorted[Math.ceil(position)] ?? NaN];
    return below + (above - below) * (position % 1);
  };
  return { median: quantile(0.5), low: quantile(0.25), high: quantile(0.75) };
}
