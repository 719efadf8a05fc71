import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { keptInputs, TARGETS } from './corpus.ts';
import { answerOf, fuzz, type FuzzTarget } from './fuzz.ts';

const CORPUS = join(import.meta.dirname, 'corpus');
/** Enough to see that a target works; `npm run fuzz` is for more. */
const ROUNDS = 300;

describe.each(Object.entries(TARGETS))('%s', (name, target) => {
  it('reads its seeds', () => {
    for (const seed of target.seeds()) expect(answerOf(target, Buffer.from(seed))).toEqual({ text: expect.stringMatching(/^read ./) });
  });

  it('answers what is kept, and the same in every run what is changed', () => {
    const corpus = keptInputs(CORPUS, name);
    for (const kept of corpus) expect({ kept: kept.name, answer: answerOf(target, kept.input) }).toEqual({ kept: kept.name, answer: { text: expect.any(String) } });
    const run = () => fuzz(target, { seed: 1, rounds: ROUNDS, corpus: corpus.map(({ input }) => input) });
    const { slowestMs: _, ...first } = run();
    expect(first).toMatchObject({ rounds: ROUNDS, crash: undefined });
    expect(run()).toMatchObject(first);
  });
});

describe('fuzz', () => {
  const target: FuzzTarget = {
    seeds: () => [Buffer.from('seed')],
    dictionary: ['XYZ'],
    read(input) {
      if (input.includes('XYZ')) throw new TypeError('found');
      if (input.length > 4) throw new FormatError({ file: 'f', offset: 4, expected: '4 bytes', actual: 'more' });
      return input.length;
    },
  };

  it('ends at an error that is none of ours, and says with which input', () => {
    const { rounds, crash } = fuzz(target, { seed: 3, rounds: 10_000 });
    expect(crash?.error).toEqual(new TypeError('found'));
    expect(crash?.input.includes('XYZ')).toBe(true);
    expect(crash?.round).toBe(rounds - 1);
    expect(fuzz(target, { seed: 3, rounds: 10_000 }).crash?.input).toEqual(crash?.input);
  });

  it('takes a round that is too slow for a crash', () => {
    const { crash } = fuzz({ ...target, read: () => 1 }, { seed: 1, rounds: 10, slowMs: -1 });
    expect(crash?.error).toBeInstanceOf(Error);
  });
});
