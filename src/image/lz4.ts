// The LZ4 block format: sequences of literals and matches, decoded into a buffer of known size.

import { FormatError } from '../errors.ts';

export type Lz4Options = {
  /** What messages call the data. */
  readonly file: string;
  /** Where `input` is in it. */
  readonly offset: number;
  /** The output is the beginning of what the block holds, and what follows the block in `input` is not its own. */
  readonly partial?: boolean;
};

/*
 * A sequence:
 *   token: bits 4-7 number of literals, bits 0-3 length of the match less 4; 15 goes on in further bytes, 255 each until a smaller one
 *   [more length] | literals | distance: le16 | [more length]
 * The last one ends after its literals. Source: lz4_Block_format.md of the LZ4 project.
 */
const MIN_MATCH = 4;

/**
 * Decodes one block into `output` and gives the number of bytes that it made. All of `input` is used, unless `partial`, where decoding ends as soon
 * as the output is full. Throws FormatError for distances outside the output, and where input or output end too early.
 */
export function decodeLz4Block(input: Uint8Array, output: Uint8Array, options: Lz4Options): number {
  const { partial = false } = options;
  const inEnd = input.length;
  const outEnd = output.length;
  let at = 0;
  let out = 0;
  while (at < inEnd && !(partial && out === outEnd)) {
    const token = input[at++] as number;
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (at >= inEnd) throw damaged(options, at, 'the number of literals', 'the end of the block');
        more = input[at++] as number;
        literals += more;
      }
    }
    if (partial && literals > outEnd - out) literals = outEnd - out;
    if (literals > inEnd - at) throw damaged(options, at, `${literals} literals`, `the end of the block after ${inEnd - at}`);
    if (literals > outEnd - out) throw damaged(options, at, `at most ${outEnd - out} literals`, `${literals}`);
    // A call costs more than a few bytes do.
    if (literals > 32) output.set(input.subarray(at, at + literals), out);
    else for (let index = 0; index < literals; index++) output[out + index] = input[at + index] as number;
    at += literals;
    out += literals;
    if (at === inEnd || (partial && out === outEnd)) break;

    if (inEnd - at < 2) throw damaged(options, at, 'the distance of a match', 'the end of the block');
    const distance = (input[at] as number) | ((input[at + 1] as number) << 8);
    if (distance === 0 || distance > out) throw damaged(options, at, `a distance of 1 to ${out}`, `${distance}`);
    at += 2;
    let length = (token & 15) + MIN_MATCH;
    if ((token & 15) === 15) {
      let more = 255;
      while (more === 255) {
        if (at >= inEnd) throw damaged(options, at, 'the length of a match', 'the end of the block');
        more = input[at++] as number;
        length += more;
      }
    }
    if (length > outEnd - out) {
      if (!partial) throw damaged(options, at, `a match of at most ${outEnd - out} bytes`, `${length}`);
      length = outEnd - out;
    }
    if (distance >= length && length > 32) output.copyWithin(out, out - distance, out - distance + length);
    else for (let index = 0; index < length; index++) output[out + index] = output[out - distance + index] as number;
    out += length;
  }
  return out;
}

function damaged(options: Lz4Options, at: number, expected: string, actual: string): FormatError {
  return new FormatError({ file: options.file, offset: options.offset + at, expected, actual });
}
