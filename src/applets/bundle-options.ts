// The options of the commands of tskmod bundle.

import type { OptionSpec } from './getopt.ts';
import { SELECT_OPTIONS } from './select-options.ts';

export const READ_OPTIONS: readonly OptionSpec[] = [{ long: 'release', short: 'S', argument: 'required' }, { long: 'json' }];

const DIRECTORY: OptionSpec = { long: 'directory', short: 'C', argument: 'required' };
export const EXTRACT_OPTIONS: readonly OptionSpec[] = [...READ_OPTIONS, DIRECTORY];

export const CREATE_OPTIONS: readonly OptionSpec[] = [
  ...READ_OPTIONS, { long: 'output', short: 'o', argument: 'required' }, { long: 'from', argument: 'required' },
  { long: 'modules', argument: 'required' }, { long: 'format', argument: 'required' }, ...SELECT_OPTIONS, { long: 'weakdeps' }, { long: 'firmware' }, { long: 'explain' },
];

/** Of any of them, for completions and the manual page. */
export const BUNDLE_OPTIONS: readonly OptionSpec[] = [...CREATE_OPTIONS, DIRECTORY, { long: 'help', short: 'h' }];
