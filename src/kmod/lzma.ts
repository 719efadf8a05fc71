// LZMA: the range coder and the symbols of one compressed chunk, decoded straight into the output, which is its own dictionary.

import { FormatError } from '../errors.ts';
import type { LzmaState } from './lzma-state.ts';

/** One chunk: where its bytes are in `input` and where they go in `output`. No match reaches below `dictStart`. */
export type LzmaChunk = {
  readonly file: string;
  readonly input: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly output: Uint8Array;
  readonly outStart: number;
  readonly outEnd: number;
  readonly dictStart: number;
};

/**
 * Fills `output` from `outStart` to `outEnd` with one chunk. Throws FormatError.
 *
 * All in one function on purpose, with the decoding of a bit written out at each place: `range` and `code` then stay
 * in registers as int32 (compared as uint32 by `>>> 0`), which doubles the speed. The casts `as number` cost nothing:
 * `probs` is never read out of bounds, and `input` past its end reads as 0, which the head of the loop finds out.
 */
export function decodeLzmaChunk(lzma: LzmaState, chunk: LzmaChunk): void {
  // Constants of the function, not of the module: a bundler makes variables of those, which costs a fifth of the speed.
  const PROB_BITS = 11;
  const PROB_ONE = 2048;
  const MOVE_BITS = 5;
  // Added to a model before the shift, it rounds the step of a bit 0 towards PROB_ONE.
  const MOVE_UP = 31 - 2048;
  const MATCH_LENGTH_MIN = 2;
  // Where the models lie: twelve states, sixteen positions at most.
  const IS_REP = 192;
  const IS_REP0 = IS_REP + 12;
  const IS_REP1 = IS_REP0 + 12;
  const IS_REP2 = IS_REP1 + 12;
  const IS_REP0_LONG = IS_REP2 + 12;
  const DIST_SLOT = IS_REP0_LONG + 12 * 16;
  const DIST_SPECIAL = DIST_SLOT + 4 * 64;
  const DIST_ALIGN = DIST_SPECIAL + 115;
  // A length coder: two choices, then trees of 8 a position, 8 a position, and 256.
  const LENGTH = DIST_ALIGN + 16;
  const LENGTH_LOW = 2;
  const LENGTH_MID = LENGTH_LOW + 16 * 8;
  const LENGTH_HIGH = LENGTH_MID + 16 * 8;
  const REP_LENGTH = LENGTH + LENGTH_HIGH + 256;
  const LITERAL = REP_LENGTH + LENGTH_HIGH + 256;
  const LITERAL_SIZE = 0x300;
  // Above this a call of copyWithin is worth its price.
  const LONG_COPY = 48;

  const { input, start, end, output, outEnd, dictStart } = chunk;
  const { probs, literalContextBits, literalPositionMask, positionMask } = lzma;
  let [rep0, rep1, rep2, rep3] = lzma.reps;
  let { state } = lzma;
  let out = chunk.outStart;
  if (end - start < 5 || input[start] !== 0) throw damaged(chunk, start, 'a bad start of the range coder');
  let position = start + 1;
  let range = -1;
  let code = 0;
  while (position < start + 5) code = (code << 8) | (input[position++] as number);
  let index = 0;
  let prob = 0;
  let bound = 0;
  let symbol = 0;

  while (out < outEnd) {
    if (position > end) throw damaged(chunk, end, 'more symbols than the chunk has bytes');
    const positionState = (out - dictStart) & positionMask;

    if (range >>> 24 === 0) {
      range <<= 8;
      code = (code << 8) | (input[position++] as number);
    }
    index = (state << 4) + positionState;
    prob = probs[index] as number;
    bound = Math.imul(range >>> PROB_BITS, prob);
    if (code >>> 0 < bound >>> 0) {
      range = bound;
      probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
      // A literal: eight bits of a tree, chosen by position and previous byte. After a match the byte at the last
      // distance is one more context until the first bit that differs. Such bits are hard to predict, so no branch:
      // `zero` is -1 for a bit 0 (the borrow of code - bound), else 0.
      const previous = out > dictStart ? (output[out - 1] as number) : 0;
      const place = (out - dictStart) & literalPositionMask;
      const literal = LITERAL + ((place << literalContextBits) | (previous >> (8 - literalContextBits))) * LITERAL_SIZE;
      let matchByte = state < 7 ? 0 : (output[out - rep0 - 1] as number);
      let differs = state < 7 ? 0 : 0x100;
      symbol = 1;
      do {
        matchByte <<= 1;
        const matchBit = matchByte & differs;
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | (input[position++] as number);
        }
        index = literal + differs + matchBit + symbol;
        prob = probs[index] as number;
        bound = Math.imul(range >>> PROB_BITS, prob);
        const above = (code - bound) | 0;
        const zero = ((~code & bound) | ((~code | bound) & above)) >> 31;
        code = (above + (bound & zero)) | 0;
        const rest = (range - bound) | 0;
        range = (rest + ((bound - rest) & zero)) | 0;
        probs[index] = prob - ((prob + (zero & MOVE_UP)) >> MOVE_BITS);
        differs &= matchBit ^ zero;
        symbol = ((symbol << 1) + 1 + zero) | 0;
      } while (symbol < 0x100);
      output[out++] = symbol;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    range = (range - bound) | 0;
    code = (code - bound) | 0;
    probs[index] = prob - (prob >> MOVE_BITS);

    let length = 0;
    let isRep = true;
    if (range >>> 24 === 0) {
      range <<= 8;
      code = (code << 8) | (input[position++] as number);
    }
    index = IS_REP + state;
    prob = probs[index] as number;
    bound = Math.imul(range >>> PROB_BITS, prob);
    if (code >>> 0 < bound >>> 0) {
      range = bound;
      probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
      isRep = false;
    } else {
      range = (range - bound) | 0;
      code = (code - bound) | 0;
      probs[index] = prob - (prob >> MOVE_BITS);
    }

    if (isRep) {
      // One of the last four distances; the last one may come with the length 1.
      let isRep0 = false;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | (input[position++] as number);
      }
      index = IS_REP0 + state;
      prob = probs[index] as number;
      bound = Math.imul(range >>> PROB_BITS, prob);
      if (code >>> 0 < bound >>> 0) {
        range = bound;
        probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
        isRep0 = true;
      } else {
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        probs[index] = prob - (prob >> MOVE_BITS);
      }
      if (isRep0) {
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | (input[position++] as number);
        }
        index = IS_REP0_LONG + (state << 4) + positionState;
        prob = probs[index] as number;
        bound = Math.imul(range >>> PROB_BITS, prob);
        if (code >>> 0 < bound >>> 0) {
          range = bound;
          probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
          length = 1;
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          probs[index] = prob - (prob >> MOVE_BITS);
        }
      } else {
        let distance = rep1;
        let isRep1 = false;
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | (input[position++] as number);
        }
        index = IS_REP1 + state;
        prob = probs[index] as number;
        bound = Math.imul(range >>> PROB_BITS, prob);
        if (code >>> 0 < bound >>> 0) {
          range = bound;
          probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
          isRep1 = true;
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          probs[index] = prob - (prob >> MOVE_BITS);
        }
        if (!isRep1) {
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | (input[position++] as number);
          }
          index = IS_REP2 + state;
          prob = probs[index] as number;
          bound = Math.imul(range >>> PROB_BITS, prob);
          if (code >>> 0 < bound >>> 0) {
            range = bound;
            probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
            distance = rep2;
          } else {
            range = (range - bound) | 0;
            code = (code - bound) | 0;
            probs[index] = prob - (prob >> MOVE_BITS);
            distance = rep3;
            rep3 = rep2;
          }
          rep2 = rep1;
        }
        rep1 = rep0;
        rep0 = distance;
      }
    }

    if (length === 0) {
      // The length: a choice of three trees.
      const coder = isRep ? REP_LENGTH : LENGTH;
      let tree = coder + LENGTH_LOW + (positionState << 3);
      let limit = 8;
      let isLow = false;
      length = MATCH_LENGTH_MIN - 8;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | (input[position++] as number);
      }
      index = coder;
      prob = probs[index] as number;
      bound = Math.imul(range >>> PROB_BITS, prob);
      if (code >>> 0 < bound >>> 0) {
        range = bound;
        probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
        isLow = true;
      } else {
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        probs[index] = prob - (prob >> MOVE_BITS);
      }
      if (!isLow) {
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | (input[position++] as number);
        }
        index = coder + 1;
        prob = probs[index] as number;
        bound = Math.imul(range >>> PROB_BITS, prob);
        if (code >>> 0 < bound >>> 0) {
          range = bound;
          probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
          tree = coder + LENGTH_MID + (positionState << 3);
          length = MATCH_LENGTH_MIN + 8 - 8;
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          probs[index] = prob - (prob >> MOVE_BITS);
          tree = coder + LENGTH_HIGH;
          limit = 256;
          length = MATCH_LENGTH_MIN + 16 - 256;
        }
      }
      symbol = 1;
      do {
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | (input[position++] as number);
        }
        index = tree + symbol;
        prob = probs[index] as number;
        bound = Math.imul(range >>> PROB_BITS, prob);
        if (code >>> 0 < bound >>> 0) {
          range = bound;
          probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
          symbol <<= 1;
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          probs[index] = prob - (prob >> MOVE_BITS);
          symbol = (symbol << 1) | 1;
        }
      } while (symbol < limit);
      length += symbol;
      if (isRep) state = state < 7 ? 8 : 11;
    } else {
      state = state < 7 ? 9 : 11;
    }

    if (!isRep) {
      // A new distance: a slot of six bits gives its two highest bits and how many follow.
      state = state < 7 ? 7 : 10;
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      const slots = DIST_SLOT + ((length < 6 ? length - MATCH_LENGTH_MIN : 3) << 6);
      symbol = 1;
      do {
        if (range >>> 24 === 0) {
          range <<= 8;
          code = (code << 8) | (input[position++] as number);
        }
        index = slots + symbol;
        prob = probs[index] as number;
        bound = Math.imul(range >>> PROB_BITS, prob);
        if (code >>> 0 < bound >>> 0) {
          range = bound;
          probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
          symbol <<= 1;
        } else {
          range = (range - bound) | 0;
          code = (code - bound) | 0;
          probs[index] = prob - (prob >> MOVE_BITS);
          symbol = (symbol << 1) | 1;
        }
      } while (symbol < 64);
      const slot = symbol - 64;
      rep0 = slot;
      if (slot >= 4) {
        let bits = (slot >> 1) - 1;
        let tree = DIST_ALIGN;
        rep0 = (2 | (slot & 1)) << bits;
        if (slot < 14) {
          tree = DIST_SPECIAL + rep0 - slot;
        } else {
          // All but the last four bits have even chances and no model.
          do {
            if (range >>> 24 === 0) {
              range <<= 8;
              code = (code << 8) | (input[position++] as number);
            }
            range >>>= 1;
            bits -= 1;
            if (code >>> 0 >= range >>> 0) {
              code = (code - range) | 0;
              rep0 |= 1 << bits;
            }
          } while (bits > 4);
        }
        symbol = 1;
        for (let number = 0; number < bits; number += 1) {
          if (range >>> 24 === 0) {
            range <<= 8;
            code = (code << 8) | (input[position++] as number);
          }
          index = tree + symbol;
          prob = probs[index] as number;
          bound = Math.imul(range >>> PROB_BITS, prob);
          if (code >>> 0 < bound >>> 0) {
            range = bound;
            probs[index] = prob + ((PROB_ONE - prob) >> MOVE_BITS);
            symbol <<= 1;
          } else {
            range = (range - bound) | 0;
            code = (code - bound) | 0;
            probs[index] = prob - (prob >> MOVE_BITS);
            symbol = (symbol << 1) | 1;
            rep0 |= 1 << number;
          }
        }
      }
    }

    // Distances of 2 GiB and more are negative here; no output is that long.
    if (rep0 < 0 || rep0 >= out - dictStart) throw damaged(chunk, position, 'a match that reaches before the data');
    if (length > outEnd - out) throw damaged(chunk, position, 'a match that is longer than the rest of the chunk');
    let from = out - rep0 - 1;
    if (length >= LONG_COPY && length <= rep0) {
      output.copyWithin(out, from, from + length);
      out += length;
    } else {
      const stop = out + length;
      do {
        output[out++] = output[from++] as number;
      } while (out < stop);
    }
  }

  if (range >>> 24 === 0) {
    range <<= 8;
    code = (code << 8) | (input[position++] as number);
  }
  if (position !== end) throw damaged(chunk, Math.min(position, end), 'symbols that end elsewhere');
  if (code !== 0) throw damaged(chunk, position, 'a range coder that is not at its end');
  lzma.state = state;
  lzma.reps = [rep0, rep1, rep2, rep3];
}

function damaged(chunk: LzmaChunk, offset: number, actual: string): FormatError {
  return new FormatError({ file: chunk.file, offset, expected: `an LZMA chunk of ${chunk.end - chunk.start} bytes`, actual });
}
