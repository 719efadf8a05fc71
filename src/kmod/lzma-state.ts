// The state of an LZMA decoder that outlives a chunk: the models of the symbols and the last distances.

/** What stays between the chunks of one block: the models of the symbols and the last four distances. */
export type LzmaState = {
  readonly probs: Uint16Array;
  /** lc: how many high bits of the previous byte choose the model of a literal. */
  literalContextBits: number;
  /** (1 << lp) - 1 and (1 << pb) - 1. */
  literalPositionMask: number;
  positionMask: number;
  state: number;
  reps: readonly [number, number, number, number];
};

/** LZMA2 allows lc + lp up to this. */
export const LCLP_MAX = 4;

/** Models of everything but literals (their layout is in lzma.ts), and of literals for each context. */
const FIXED_MODELS = 1847;
const LITERAL_MODELS = 0x300;

/** A model is the chance of a bit 0 in 1/2048; this is one half. */
const EVEN_CHANCE = 1024;

/** Models for a block whose properties are not known yet. */
export function newLzmaState(): LzmaState {
  return {
    probs: new Uint16Array(FIXED_MODELS + (LITERAL_MODELS << LCLP_MAX)),
    literalContextBits: 0,
    literalPositionMask: 0,
    positionMask: 0,
    state: 0,
    reps: [0, 0, 0, 0],
  };
}

/** What a state reset of LZMA2 does: every model back to one half, no match remembered. */
export function resetLzmaState(lzma: LzmaState): void {
  lzma.probs.fill(EVEN_CHANCE);
  lzma.state = 0;
  lzma.reps = [0, 0, 0, 0];
}
