// What is computed from samples of `npm run bench`, and what is written of it.

import { describe, expect, it } from 'vitest';

import { benchDocument, benchPlot } from '../scripts/bench-document.mjs';
import { figuresOf, inTurns, openResults } from '../scripts/bench-result.mjs';

function rowsOf() {
  const lines: string[] = [];
  const results = openResults((line: string) => lines.push(line));
  results.report('depmod', 'cold', [4, 2, 3, 1, 5], 'ms', [10, 30, 20], 'kmod', { target: { ratio: 0.1 } });
  results.report('events', 'a rate', 300, '/s', [200], 'udevd', { more: true, target: { ratio: 1 } });
  results.report('events', 'memory <idle>', [100], 'MB', undefined, 'no udevd', { target: { ours: 90 } });
  results.report('depmod', 'old', 1.5, 'ms', undefined, 'kmod is not here');
  return { rows: results.rows, lines };
}

describe('rows of benchmarks', () => {
  it('have medians, quartiles, a ratio of medians, and whether the target is reached', () => {
    expect(rowsOf().rows.map(figuresOf)).toEqual([
      { ours: { median: 3, low: 2, high: 4 }, theirs: { median: 20, low: 15, high: 25 }, ratio: { median: 0.15, low: 0.08, high: 4 / 15 }, reached: false },
      { ours: { median: 300, low: 300, high: 300 }, theirs: { median: 200, low: 200, high: 200 }, ratio: { median: 1.5, low: 1.5, high: 1.5 }, reached: true },
      { ours: { median: 100, low: 100, high: 100 }, theirs: undefined, ratio: undefined, reached: false },
      { ours: { median: 1.5, low: 1.5, high: 1.5 }, theirs: undefined, ratio: undefined, reached: undefined },
    ]);
  });

  it('are printed as they come', () => {
    expect(rowsOf().lines.map((line) => line.replaceAll(/ {2,}/g, '  '))).toEqual([
      'cold  3.00 ms (2.00–4.00)  kmod 20.0 ms (15.0–25.0), ratio 0.150  MISSED: at most 0.10 of kmod',
      'a rate  300 /s  udevd 200 /s, ratio 1.50  reached: at least 1.00 of udevd',
      'memory <idle>  100 MB  no udevd  MISSED: at most 90 MB',
      'old  1.50 ms  kmod is not here',
    ]);
  });

  it('are measured in turns', async () => {
    const order: string[] = [];
    const measure = (name: string) => () => order.push(name);
    expect(await inTurns(2, { ours: measure('ours'), theirs: measure('theirs') })).toEqual({ ours: [1, 3], theirs: [2, 4] });
    expect(order).toEqual(['ours', 'theirs', 'ours', 'theirs']);
  });

  it('become a document, grouped, and a plot of the ratios in which a rate is turned over', () => {
    const { rows } = rowsOf();
    const document = benchDocument(rows, ['a machine']);
    expect(document.split('\n').filter((line) => /^[-#|]/.test(line))).toEqual([
      '# Benchmarks', '- a machine',
      '## depmod and modinfo', '| | ours | beside | ratio | target |', '|---|---|---|--:|---|',
      '| cold | 3.00 ms (2.00–4.00) | kmod: 20.0 ms (15.0–25.0) | 0.150 | at most 0.10 of kmod: **missed** |', '| old | 1.50 ms | kmod is not here |  |  |',
      '## Events and memory of the daemon', '| | ours | beside | ratio | target |', '|---|---|---|--:|---|',
      '| a rate | 300 /s | udevd: 200 /s | 1.50 | at least 1.00 of udevd |', '| memory <idle> | 100 MB | no udevd |  | at most 90 MB: **missed** |',
    ]);
    expect(document).toContain('Of 3 targets these are missed: cold; memory <idle>.');
    expect([...benchPlot(rows).matchAll(/<title>(.*?)<\/title>/g)].map(([, title]) => title)).toEqual(['cold: 0.150 of kmod', 'a rate: 0.667 of udevd']);
  });
});
