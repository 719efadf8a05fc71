// The configuration of depmod: which of several files of one module counts, and which directories are looked at.

import { logicalLines } from './config.ts';

/** depmod.d(5). The names of a search list, the highest priority first. */
export type SearchEntry = { readonly kind: 'built-in' } | { readonly kind: 'external' } | { readonly kind: 'directory'; readonly path: string };

export type DepmodConfig = {
  readonly search: readonly SearchEntry[];
  /** Paths below the tree without extension: they win over any search list. The latest line first. */
  readonly overrides: readonly string[];
  /** Absolute directories outside of the tree, the latest line first. */
  readonly externals: readonly string[];
  /** Names of files and directories that are passed over, wherever they are. */
  readonly excludes: ReadonlySet<string>;
  readonly problems: readonly ConfigProblem[];
};

export type ConfigProblem = { readonly level: 'error' | 'info'; readonly file: string; readonly line: number; readonly message: string };

export type ConfigText = { readonly file: string; readonly text: string };

/** The configuration of all files, in order; `release` decides on lines for some kernels only. */
export function parseDepmodConfig(files: readonly ConfigText[], release: string): DepmodConfig {
  const builder: Builder = { search: [], overrides: [], externals: [], excludes: new Set(), problems: [] };
  for (const { file, text } of files) {
    for (const { text: content, line } of logicalLines(text)) {
      const words = content.split(/[ \t]+/).filter((word) => word !== '');
      const [directive, ...rest] = words;
      if (directive === undefined) continue;
      const outcome = takeDirective(directive, rest, release, builder);
      if (outcome === 'taken') continue;
      builder.problems.push({ level: outcome.level, file, line, message: `${file}:${line}: ${outcome.text}` });
    }
  }
  // Only where nobody said what to search.
  if (builder.search.length === 0) builder.search.push({ kind: 'directory', path: 'updates' });
  return builder;
}

type Builder = {
  search: SearchEntry[];
  overrides: string[];
  externals: string[];
  excludes: Set<string>;
  problems: ConfigProblem[];
};

type Outcome = 'taken' | { readonly level: 'error' | 'info'; readonly text: string };

/** What comes later stands before, in every list, as in kmod's. */
function takeDirective(directive: string, words: readonly string[], release: string, into: Builder): Outcome {
  const [first, second, third] = words;
  switch (directive) {
    case 'search':
      for (const word of words) into.search.unshift(searchEntry(word));
      return 'taken';
    case 'override':
      if (first === undefined || second === undefined || third === undefined) break;
      if (!matchesRelease(second, release)) return { level: 'info', text: `override kernel did not match ${second}` };
      into.overrides.unshift(`${third}/${first}`);
      return 'taken';
    case 'external':
      if (first === undefined || second === undefined) break;
      if (!matchesRelease(first, release)) return { level: 'info', text: `external directory did not match ${first}` };
      into.externals.unshift(second);
      return 'taken';
    case 'exclude':
      for (const word of words) into.excludes.add(word);
      return 'taken';
    case 'include':
    case 'make_map_files':
      return { level: 'info', text: `command ${directive} not implemented yet` };
  }
  return { level: 'error', text: `ignoring bad line starting with '${directive}'` };
}

function searchEntry(word: string): SearchEntry {
  return word === 'built-in' || word === 'external' ? { kind: word } : { kind: 'directory', path: word };
}

/** `*`, or an extended regular expression found anywhere in the release. One that is none matches nothing. */
export function matchesRelease(pattern: string, release: string): boolean {
  if (pattern === '*') return true;
  const expression = fromPosix(pattern);
  return expression !== undefined && expression.test(release);
}

/** Whether a pattern can match at all. */
export function isReleasePattern(pattern: string): boolean {
  return pattern === '*' || fromPosix(pattern) !== undefined;
}

/** POSIX extended to JavaScript: what both know means the same but for character classes and escapes of letters. */
function fromPosix(pattern: string): RegExp | undefined {
  const classes: Readonly<Record<string, string>> = {
    '[:alpha:]': 'A-Za-z', '[:digit:]': '0-9', '[:alnum:]': 'A-Za-z0-9', '[:lower:]': 'a-z', '[:upper:]': 'A-Z',
    '[:space:]': '\\s', '[:blank:]': ' \\t', '[:xdigit:]': '0-9A-Fa-f', '[:punct:]': '!-\\/:-@\\[-`{-~',
  };
  let source = '';
  let open = 0;
  for (let i = 0; i < pattern.length; i++) {
    const ch = pattern[i] ?? '';
    if (ch === '\\') {
      const next = pattern[++i] ?? '';
      source += /[A-Za-z0-9]/.test(next) ? next : `\\${next}`;
    } else if (ch === '[') {
      const end = bracketEnd(pattern, i);
      if (end < 0) return undefined;
      const negated = pattern[i + 1] === '^';
      const body = pattern.slice(i + (negated ? 2 : 1), end).replaceAll(/\[:[a-z]+:\]|[\\[\]^]/g, (part) => classes[part] ?? `\\${part}`);
      source += `[${negated ? '^' : ''}${body}]`;
      i = end;
    } else {
      if (ch === '(') open++;
      // One that closes nothing is a letter like others.
      const closes = ch === ')' && open > 0;
      if (closes) open--;
      source += ch === ')' && !closes ? '\\)' : ch;
    }
  }
  try {
    return new RegExp(source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

/** The `]` that ends the bracket expression at `open`, or -1. One that comes first is a member. */
function bracketEnd(pattern: string, open: number): number {
  let i = open + 1;
  if (pattern[i] === '^') i++;
  if (pattern[i] === ']') i++;
  for (; i < pattern.length; i++) {
    if (pattern[i] === ']') return i;
    if (pattern[i] === '[' && pattern[i + 1] === ':') {
      const close = pattern.indexOf(':]', i + 2);
      if (close >= 0) i = close + 1;
    }
  }
  return -1;
}
