// What the parser of rules is told from outside, and where it leaves its complaints.

import { type Piece, placeOf, type SourceLine } from './lex.ts';
import type { RuleProblem } from './rule.ts';

/** When the names of users and groups are looked up: when the file is read, when the rule runs, or not at all. */
export type ResolveNames = 'early' | 'late' | 'never';

export type ParseContext = {
  /** Early is the default where there are functions to ask, else late. */
  readonly resolveNames?: ResolveNames;
  readonly resolveUser?: (name: string) => number | undefined;
  readonly resolveGroup?: (name: string) => number | undefined;
  /** The builtins that there are, in udev's order; udev's own by default. */
  readonly builtins?: readonly string[];
  /** Look for all that `udevadm verify` looks for: style, unused labels, expressions that are duplicate or exclude each other. */
  readonly checks?: boolean;
};

/** The builtins of udev 257, in its order. */
export const BUILTIN_NAMES: readonly string[] = [
  'blkid', 'btrfs', 'hwdb', 'input_id', 'keyboard', 'kmod', 'net_driver', 'net_id', 'net_setup_link', 'path_id', 'usb_id', 'uaccess',
];

/** A file of nothing but errors shall not fill the memory with them. */
export const RULE_PROBLEMS_MAX = 10_000;

/** The complaints about one file. */
export class Complaints {
  readonly file: string;
  readonly problems: RuleProblem[] = [];

  constructor(file: string) {
    this.file = file;
  }

  /** `offset` is that of the key to blame in the text of the rule. */
  add(severity: RuleProblem['severity'], message: string, line: Pick<SourceLine, 'line'> & { readonly pieces?: readonly Piece[] }, offset?: number): void {
    if (this.problems.length >= RULE_PROBLEMS_MAX) return;
    if (this.problems.length === RULE_PROBLEMS_MAX - 1) {
      this.problems.push({ file: this.file, line: line.line, severity: 'error', message: 'Too many problems, the rest is not listed.' });
      return;
    }
    const problem = { file: this.file, line: line.line, severity, message };
    if (offset === undefined || !line.pieces) {
      this.problems.push(problem);
      return;
    }
    const place = placeOf(line.pieces, offset);
    this.problems.push({ ...problem, column: place.column, ...(place.line !== line.line && { columnLine: place.line }) });
  }
}
