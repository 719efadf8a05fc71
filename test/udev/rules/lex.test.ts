import { describe, expect, it } from 'vitest';

import { cutLines, placeOf, UDEV_LINE_SIZE } from '../../../src/udev/rules/lex.ts';

const cut = (text: string) => cutLines(text).lines.map(({ text: rule, line, bad }) => [line, bad ?? rule]);

describe('cutLines', () => {
  it('joins continuations, also around comments, and strips the blanks before each line', () => {
    expect(cut('  a, \\\n\t b\n#x\n\n c\\\n# not this\\\nd\ne\\\n\nf')).toEqual([[2, 'a, b'], [5 + 2, 'cd'], [9, 'e'], [10, 'f']]);
  });

  it('knows the ends of line of udev', () => {
    expect(cut('a\r\nb\n\rc\rd\0e\n\0f\r\n\0g\0\nh')).toEqual([[1, 'a'], [2, 'b'], [3, 'c'], [4, 'd'], [5, 'e'], [6, 'f'], [7, 'g'], [9, 'h']]);
  });

  it('leaves out a rule that has no end', () => {
    expect(cut('a\nb\\\n')).toEqual([[1, 'a'], [2, 'end-of-file']]);
    expect(cut('b\\\n#x')).toEqual([[2, 'end-of-file']]);
  });

  it('leaves out a rule that is too long, and goes on behind it', () => {
    const half = 'x'.repeat(UDEV_LINE_SIZE / 2);
    expect(cut(`${half}\\\n${half.slice(1)}\na`).map(([line, text]) => [line, String(text).length])).toEqual([[2, UDEV_LINE_SIZE - 1], [3, 1]]);
    expect(cut(`${half}\\\n${half}\na`)).toEqual([[2, 'too-long'], [3, 'a']]);
    expect(cut(`${half}\\\n${half}\\\nb\na`)).toEqual([[3, 'too-long'], [4, 'a']]);
  });

  it('stops at a physical line that is too long', () => {
    expect(cutLines(`a\n#${'x'.repeat(UDEV_LINE_SIZE - 1)}\nb\n`)).toMatchObject({ lines: [{ text: 'a' }], overlong: 2 });
    expect(cutLines(`#${'x'.repeat(UDEV_LINE_SIZE - 2)}\nb\n`)).toMatchObject({ lines: [{ text: 'b' }] });
  });
});

describe('placeOf', () => {
  it('finds the physical line and column of a place in a joined rule', () => {
    const [rule] = cutLines('\n  ab\\\n\t cd\\\nef\n').lines;
    const places = [0, 1, 2, 3, 4, 5].map((offset) => placeOf(rule?.pieces ?? [], offset));
    expect(places.map(({ line, column }) => [rule?.text, line, column])).toEqual([[2, 3], [2, 4], [3, 3], [3, 4], [4, 1], [4, 2]].map((place) => ['abcdef', ...place]));
  });
});
