// Runs one reader on changed inputs, and keeps the inputs that it answers in a new way.

import { FormatError, LimitError, ParseError, UnsupportedError } from '../../src/errors.ts';
import { random } from '../random.ts';
import { mutate } from './mutation.ts';

export type FuzzTarget = {
  /** Well-formed inputs. */
  readonly seeds: () => readonly Uint8Array[];
  readonly dictionary?: readonly string[];
  /** Reads everything that the input says. What it returns tells one answer from another. */
  readonly read: (input: Buffer) => unknown;
};

export type Crash = { readonly round: number; readonly input: Buffer; readonly error: unknown };

export type FuzzReport = {
  readonly rounds: number;
  /** Different answers, results and errors without their numbers, up to ANSWERS_MAX. */
  readonly answers: number;
  readonly slowestMs: number;
  readonly crash: Crash | undefined;
};

export type FuzzOptions = {
  readonly seed: number;
  readonly rounds: number;
  /** More inputs: those of the corpus. */
  readonly corpus?: readonly Uint8Array[];
  /** Asked before each round; ends the run. */
  readonly isOver?: () => boolean;
  /** A round that takes longer is a crash: input may not buy time. Infinity when absent. */
  readonly slowMs?: number;
};

/** Inputs that were answered in a new way and are changed further. */
const POOL_MAX = 500;
/** Inputs of the pool are no longer. */
const POOL_INPUT_MAX = 64 * 1024;
/** Answers that are told apart: an hour finds millions. */
const ANSWERS_MAX = 100_000;

/** Ends at the first crash: an error that is none of ours, or a round that takes too long. */
export function fuzz(target: FuzzTarget, options: FuzzOptions): FuzzReport {
  const { seed, rounds, corpus = [], isOver = () => false, slowMs = Infinity } = options;
  const pool = [...target.seeds(), ...corpus];
  const unchanged = pool.length;
  const dictionary = (target.dictionary ?? []).map((word) => Buffer.from(word, 'latin1'));
  const answers = new Set<string>();
  const next = random(seed);
  let slowestMs = 0;
  let round = 0;
  for (; round < rounds && !isOver(); round++) {
    const any = (): Uint8Array => pool[next(pool.length)] ?? Buffer.alloc(0);
    const input = round < unchanged ? Buffer.from(pool[round] ?? any()) : mutate(any(), next, { dictionary, other: any() });
    const started = performance.now();
    const answer = answerOf(target, input);
    const took = performance.now() - started;
    slowestMs = Math.max(slowestMs, took);
    const crash = 'crash' in answer ? answer.crash : took > slowMs ? new Error(`took ${Math.round(took)} ms`) : undefined;
    if (crash !== undefined) return { rounds: round + 1, answers: answers.size, slowestMs, crash: { round, input, error: crash } };
    if ('text' in answer && answers.size < ANSWERS_MAX && !answers.has(answer.text)) {
      answers.add(answer.text);
      if (input.length <= POOL_INPUT_MAX && pool.length < POOL_MAX) pool.push(input);
    }
  }
  return { rounds: round, answers: answers.size, slowestMs, crash: undefined };
}

/** What the reader makes of an input: its result or one of our errors as a text, or what it must not throw. */
export function answerOf(target: FuzzTarget, input: Buffer): { readonly text: string } | { readonly crash: unknown } {
  try {
    return { text: `read ${JSON.stringify(target.read(input)) ?? 'nothing'}`.replace(/\d+/g, '0').slice(0, 200) };
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof LimitError || error instanceof ParseError || error instanceof UnsupportedError)) return { crash: error };
    return { text: `${error.name} ${error.message}`.replace(/\d+/g, '0').replace(/"[^"]*"/g, '""').slice(0, 200) };
  }
}
