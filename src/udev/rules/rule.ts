// A parsed rules file as data: lines, and tokens in the order in which udev runs them.

import type { DeviceRule } from './device-rule.ts';

/** `==` `!=` match; the others assign. Wrong but mappable operators are mapped by the parser, which warns. */
export type Operator = '==' | '!=' | '=' | '+=' | '-=' | ':=';

/** How a match value is compared. `|` has been split; case-insensitive (`i"..."`) is a flag of its own. */
export type Pattern =
  /** Equal to one of these. */
  | { readonly type: 'plain'; readonly values: readonly string[] }
  /** fnmatch(3) of one of these; at least one has `*`, `?` or `[`. `globs` says which. */
  | { readonly type: 'glob'; readonly values: readonly string[]; readonly globs: readonly boolean[] }
  /** `""`: nothing, or unset. `"?*"` has become its opposite by the parser (the operator is flipped). */
  | { readonly type: 'empty' }
  /** `subsystem`, `bus` or `class` as the value of SUBSYSTEM: any of the three. */
  | { readonly type: 'subsystem' };

/** A text with substitutions, cut at parse time: no scanning while events run. */
export type FormatPart = string | Substitution;
export type Substitution = {
  readonly type:
    | 'devnode' | 'attr' | 'env' | 'kernel' | 'number' | 'driver' | 'devpath' | 'id' | 'major' | 'minor' | 'result' | 'parent'
    | 'name' | 'links' | 'root' | 'sys';
  /** `{...}`: the attribute, the property, or `N` and `N+` of `$result`. */
  readonly argument?: string;
};
export type Format = readonly FormatPart[];

/** In the order of udev_rule_token kinds (udev.md 1.3): a line's tokens are stably sorted by it. */
export const TOKEN_KEYS = [
  'ACTION', 'DEVPATH', 'KERNEL', 'SYMLINK?', 'NAME?', 'ENV?', 'CONST', 'TAG?', 'SUBSYSTEM', 'DRIVER', 'ATTR?', 'SYSCTL?',
  'KERNELS', 'SUBSYSTEMS', 'DRIVERS', 'ATTRS', 'TAGS',
  'TEST', 'PROGRAM', 'IMPORT{file}', 'IMPORT{program}', 'IMPORT{builtin}', 'IMPORT{db}', 'IMPORT{cmdline}', 'IMPORT{parent}', 'RESULT',
  'OPTIONS', 'OWNER', 'GROUP', 'MODE', 'OWNER#', 'GROUP#', 'MODE#', 'TAG', 'static_node', 'SECLABEL', 'ENV', 'NAME', 'SYMLINK', 'ATTR',
  'SYSCTL', 'RUN{builtin}', 'RUN{program}',
] as const;

/** A key with `?` matches what the same key without it assigns; `#` has a number that was known when the file was read. */
export type TokenKey = (typeof TOKEN_KEYS)[number];

export type Token = {
  readonly key: TokenKey;
  readonly op: Operator;
  /** `{...}` of the key, as it is written; the option's name for OPTIONS. Cut into a format where udev substitutes in it. */
  readonly attr?: string;
  readonly attrFormat?: Format;
  /** The text between the quotes, after unescaping; of OPTIONS and static_node what stands behind `=`. */
  readonly value: string;
  /** Of a match. */
  readonly pattern?: Pattern;
  readonly ignoreCase?: boolean;
  /** Of what substitutes in its value. */
  readonly format?: Format;
  /** Of OWNER#, GROUP#, MODE#, link_priority, log_level (-1 for `reset`) and the mode of TEST. */
  readonly number?: number;
  /** Of the key, from 1, in the physical line `line`; that is the rule's where it is absent. */
  readonly column: number;
  readonly line?: number;
};

export type RuleLine = {
  /** The file as it was given, for messages. */
  readonly file: string;
  /** The physical line on which the rule ends, from 1: the one that udev's messages name. */
  readonly line: number;
  /** Where it begins, when that is another one. */
  readonly firstLine?: number;
  readonly label?: string;
  /** The index in `RuleFile.lines` of the line with the label; absent where there is no GOTO or its label is missing. */
  readonly goto?: number;
  readonly tokens: readonly Token[];
  /** What the gate asks (udev.md 1.3): a line whose every effect is impossible for a device does not run, its matches neither. */
  readonly effects: readonly LineEffect[];
  /** A rule in TypeScript, in place of tokens: it is the only line of its file. */
  readonly handler?: DeviceRule;
};

/** `always`: GOTO, PROGRAM, IMPORT or an assignment that any device takes. The others need a dev number or an ifindex, and no `remove`. */
export type LineEffect = 'always' | 'node' | 'name';

export type RuleFile = { readonly file: string; readonly lines: readonly RuleLine[] };

/** All rules of a machine, files sorted by base name. */
export type RuleSet = { readonly files: readonly RuleFile[] };

/** What a rules file is blamed for. */
export type RuleProblem = {
  readonly file: string;
  /** The line that udev names: the last one of the rule. 0 where the file could not be read at all. */
  readonly line: number;
  /** Of the key that is to blame, in the physical line `columnLine`; that is `line` where it is absent. */
  readonly column?: number;
  readonly columnLine?: number;
  /** `error` costs the line or the file; `warning` at most a token; `style` nothing. */
  readonly severity: 'error' | 'warning' | 'style';
  /** The text of udevadm verify, without file and line. */
  readonly message: string;
};
