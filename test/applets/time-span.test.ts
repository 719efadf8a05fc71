import { describe, expect, it } from 'vitest';

import { parseBoolean, parseTimeSpan } from '../../src/applets/time-span.ts';

describe('parseTimeSpan', () => {
  it.each([
    ['5', 5000], ['0', 0], ['0.25', 250], ['100ms', 100], ['2min 30s', 150_000], ['1h2m', 3_720_000], ['500us', 0.5], [' 1 s ', 1000], ['infinity', Infinity],
    ['', undefined], ['x', undefined], ['1x', undefined], ['-1', undefined], ['1.', undefined], ['1 constructor', undefined], ['9'.repeat(101), undefined], [`${'9'.repeat(99)}!`, undefined],
  ])('%j is %j ms', (text, expected) => {
    expect(parseTimeSpan(text)).toBe(expected);
  });
});

describe('parseBoolean', () => {
  it('takes the words of systemd', () => {
    expect(['yes', 'ON', '1', 'no', 'f', '0', 'maybe', ''].map(parseBoolean)).toEqual([true, true, true, false, false, false, undefined, undefined]);
  });
});
