// Reads a rules file: its lines in order, each with its tokens in the order in which udev runs them.

import { isAscii } from 'node:buffer';

import { LimitError } from '../../errors.ts';
import { OPTION_ORDER } from './assignments.ts';
import { checkTokens } from './check.ts';
import { type KeyContext, type NewToken, parseKey } from './keys.ts';
import { cutLines, placeOf, type SourceLine } from './lex.ts';
import { BUILTIN_NAMES, Complaints, type ParseContext } from './parse-context.ts';
import type { LineEffect, RuleFile, RuleLine, RuleProblem, Token, TokenKey } from './rule.ts';
import { TOKEN_KEYS } from './rule.ts';
import { type RawToken, scanToken, skipDelimiters } from './scan.ts';
import { delimiterStyle } from './style.ts';

export type ParsedRules = {
  readonly rules: RuleFile;
  /** In the order in which udev prints them. */
  readonly problems: readonly RuleProblem[];
  /** A line is too long: udev drops the whole file (ENOBUFS), and so `rules` is empty. The last problem says it. */
  readonly isDropped: boolean;
};

/** The biggest rules file of the distributions has 100 KB. */
export const RULES_FILE_MAX = 16 << 20;

/**
 * Reads the rules of one file. `file` is for messages. Nothing that is written there throws: what is wrong becomes a problem, and costs
 * what it costs udev. Throws LimitError beyond RULES_FILE_MAX bytes.
 */
export function parseRules(input: Uint8Array | string, file: string, context: ParseContext = {}): ParsedRules {
  // One character a byte: udev's limits and columns are in bytes.
  const bytes = typeof input === 'string' ? Buffer.from(input, 'utf8') : Buffer.from(input.buffer, input.byteOffset, input.length);
  const text = bytes.toString('latin1');
  if (text.length > RULES_FILE_MAX) throw new LimitError({ file, limit: 'RULES_FILE_MAX', maximum: RULES_FILE_MAX, actual: text.length });
  const complaints = new Complaints(file);
  const { lines, overlong } = cutLines(text);
  const reader = new LineReader(complaints, context, isAscii(bytes));
  const drafts: Draft[] = [];
  for (const source of lines) {
    const draft = reader.read(source);
    if (draft) drafts.push(draft);
  }
  if (overlong !== undefined) {
    complaints.add('error', 'No buffer space available', { line: overlong });
    return { rules: { file, lines: [] }, problems: complaints.problems, isDropped: true };
  }
  const kept = resolveGotos(drafts, complaints);
  if (context.checks) checkDrafts(kept, complaints);
  const places = new Map(kept.map((draft, place) => [draft, place]));
  return { rules: { file, lines: kept.map((draft) => lineOf(draft, places, file)) }, problems: complaints.problems, isDropped: false };
}

/** A line while its GOTO is not resolved. */
type Draft = {
  readonly source: SourceLine;
  readonly label: string | undefined;
  goto: string | undefined;
  target: Draft | undefined;
  readonly tokens: readonly Token[];
  /** With those that have gone and still count for the checks. */
  readonly allTokens: readonly Token[];
  readonly effects: number;
};

const NON_ASCII = /[^\0-\x7f]/;

const ORDER: ReadonlyMap<TokenKey, number> = new Map(TOKEN_KEYS.map((key, place) => [key, place]));

/** What lines are for, as bits: LineEffect, and what else keeps a line. */
const ALWAYS = 1;
const NODE = 2;
const NAME = 4;
const STATIC_NODE = 8;
const EFFECTS: readonly (readonly LineEffect[])[] = Array.from({ length: 16 }, (_, bits) => {
  const names = [[ALWAYS, 'always'], [NODE, 'node'], [NAME, 'name']] as const;
  return names.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
});
const EFFECT_OF: ReadonlyMap<TokenKey, number> = new Map([
  ...TOKEN_KEYS.filter((key) => /^(?:PROGRAM$|IMPORT|RUN)|^(?:OPTIONS|TAG|SECLABEL|ENV|ATTR|SYSCTL)$/.test(key)).map((key) => [key, ALWAYS] as const),
  ...TOKEN_KEYS.filter((key) => /^(?:OWNER|GROUP|MODE)#?$|^SYMLINK$/.test(key)).map((key) => [key, NODE] as const),
  ['NAME', NAME],
  ['static_node', STATIC_NODE],
]);

/** Reads the lines of one file, one after the other. */
class LineReader {
  private readonly complaints: Complaints;
  private readonly keys: KeyContext;
  private readonly checks: boolean;
  private readonly isAscii: boolean;
  private source: SourceLine = { text: '', line: 0, pieces: [] };
  private offset = 0;
  private tokens: Token[] = [];
  private ghosts: Token[] = [];
  private effects = 0;

  constructor(complaints: Complaints, context: ParseContext, isAscii: boolean) {
    this.complaints = complaints;
    this.checks = context.checks ?? false;
    this.isAscii = isAscii;
    const canResolve = context.resolveUser !== undefined || context.resolveGroup !== undefined;
    this.keys = {
      resolveNames: context.resolveNames ?? (canResolve ? 'early' : 'late'),
      resolveUser: (name) => context.resolveUser?.(name),
      resolveGroup: (name) => context.resolveGroup?.(name),
      builtins: context.builtins ?? BUILTIN_NAMES,
      error: (message) => this.complaints.add('error', message, this.source, this.offset),
      warn: (message) => this.complaints.add('warning', message, this.source, this.offset),
      add: (token) => void this.tokens.push(this.place(token)),
      addGhost: (token) => void this.ghosts.push(this.place(token)),
    };
  }

  /** Undefined for a line that is dropped. */
  read(source: SourceLine): Draft | undefined {
    this.source = source;
    if (source.bad) {
      const message = source.bad === 'too-long' ? 'Line is too long, ignored.' : 'Unexpected EOF after line continuation, line ignored.';
      this.complaints.add('error', message, source);
      return undefined;
    }
    const { text } = source;
    this.tokens = [];
    this.ghosts = [];
    this.effects = 0;
    let label: string | undefined;
    let goto: string | undefined;
    for (let at = 0, count = 0; ; count++) {
      const start = skipDelimiters(text, at);
      this.offset = start;
      if (this.checks) this.checkStyle(text.slice(at, start), count === 0 ? 'first' : start < text.length ? 'between' : 'last');
      if (start >= text.length) break;
      const raw = scanToken(text, start);
      if (!raw) {
        this.keys.error('Invalid key/value pair, ignoring.');
        return undefined;
      }
      at = raw.end;
      this.decode(raw);
      if (raw.key === 'GOTO' || raw.key === 'LABEL') {
        if (!this.takesJump(raw)) return undefined;
        if (raw.key === 'LABEL') {
          if (label !== undefined) this.keys.warn(`Contains multiple LABEL keys, ignoring LABEL="${label}".`);
          label = raw.value;
        } else if (goto !== undefined) this.keys.warn(`Contains multiple GOTO keys, ignoring GOTO="${raw.value}".`);
        else goto = raw.value;
        continue;
      }
      if (!parseKey(raw, this.keys)) return undefined;
    }
    const { tokens, ghosts, effects } = this;
    if (effects === 0 && label === undefined && goto === undefined) {
      this.complaints.add('warning', 'The line has no effect, ignoring.', source);
      return undefined;
    }
    if (isResultFirst(tokens)) this.complaints.add('warning', 'Reordering RESULT check after PROGRAM assignment.', source);
    const allTokens = ghosts.length === 0 ? undefined : sortTokens([...tokens, ...ghosts]);
    sortTokens(tokens);
    return { source, label, goto, target: undefined, tokens, allTokens: allTokens ?? tokens, effects };
  }

  private checkStyle(delimiters: string, place: 'first' | 'between' | 'last'): void {
    for (const message of delimiterStyle(delimiters, place)) this.complaints.add('style', `style: ${message}`, this.source, this.offset);
  }

  /** From bytes to characters. Values may have become bytes beyond ASCII by their escapes. */
  private decode(raw: RawToken): void {
    if (NON_ASCII.test(raw.value)) raw.value = fromBytes(raw.value);
    if (this.isAscii) return;
    raw.key = fromBytes(raw.key);
    if (raw.attr !== undefined) raw.attr = fromBytes(raw.attr);
  }

  /** Whether a GOTO or LABEL is written as one. */
  private takesJump({ key, op, attr, ignoreCase }: RawToken): boolean {
    if (ignoreCase && op !== '==' && op !== '!=') {
      this.keys.error(`Invalid prefix 'i' for '${key}'. The 'i' prefix can be specified only for '==' or '!=' operator.`);
    } else if (attr !== undefined) this.keys.error(`Invalid attribute for ${key}.`);
    else if (op !== '=') this.keys.error(`Invalid operator for ${key}.`);
    else return true;
    return false;
  }

  /** Puts in where the token is, and counts what it is for. */
  private place(token: NewToken): Token {
    this.effects |= EFFECT_OF.get(token.key) ?? 0;
    const { line, pieces } = this.source;
    if (pieces.length <= 1) {
      token.column = this.offset + (pieces[0]?.column ?? 1);
      return token;
    }
    const place = placeOf(pieces, this.offset);
    token.column = place.column;
    if (place.line !== line) token.line = place.line;
    return token;
  }
}

function fromBytes(text: string): string {
  return NON_ASCII.test(text) ? Buffer.from(text, 'latin1').toString('utf8') : text;
}

/** RESULT before a PROGRAM in the text: the order in which they run is another. */
function isResultFirst(tokens: readonly Token[]): boolean {
  const result = tokens.findIndex(({ key }) => key === 'RESULT');
  return result >= 0 && tokens.some(({ key }, place) => key === 'PROGRAM' && place > result);
}

/** Stably, by kind: in place, since lines are short, and sorted already as a rule. */
function sortTokens(tokens: Token[]): Token[] {
  for (let i = 1; i < tokens.length; i++) {
    if (orderOf(tokens[i - 1]) > orderOf(tokens[i])) return tokens.sort((a, b) => orderOf(a) - orderOf(b));
  }
  return tokens;
}

function orderOf(token: Token | undefined): number {
  if (!token) return 0;
  const order = (ORDER.get(token.key) ?? 0) * OPTIONS_MAX;
  return token.key === 'OPTIONS' ? order + OPTION_ORDER.indexOf(token.attr === 'nowatch' ? 'watch' : token.attr ?? '') : order;
}

const OPTIONS_MAX = 16;

/** Finds for each GOTO the first of its labels behind it. The lines that are left are returned. */
function resolveGotos(drafts: readonly Draft[], complaints: Complaints): readonly Draft[] {
  const behind = new Map<string, Draft>();
  for (const draft of drafts.toReversed()) {
    if (draft.goto !== undefined) draft.target = behind.get(draft.goto);
    if (draft.label !== undefined) behind.set(draft.label, draft);
  }
  return drafts.filter((draft) => {
    if (draft.goto === undefined || draft.target) return true;
    complaints.add('warning', `GOTO="${draft.goto}" has no matching label, ignoring.`, draft.source);
    if (draft.effects !== 0) return true;
    complaints.add('warning', 'The line has no effect any more, dropping.', draft.source);
    return draft.label !== undefined;
  });
}

function checkDrafts(drafts: readonly Draft[], complaints: Complaints): void {
  const targets = new Set(drafts.map(({ target }) => target));
  for (const draft of drafts) {
    if (draft.label !== undefined && !targets.has(draft)) complaints.add('style', `style: LABEL="${draft.label}" is unused.`, draft.source);
    // A line that lost its only effect is left for its label, and no more is said of it.
    if (draft.effects === 0 && draft.goto !== undefined && !draft.target) continue;
    for (const message of checkTokens(draft.allTokens)) complaints.add('warning', message, draft.source);
  }
}

function lineOf({ source, label, target, tokens, effects }: Draft, places: ReadonlyMap<Draft, number>, file: string): RuleLine {
  const goto = target && places.get(target);
  const bits = goto === undefined ? effects : effects | ALWAYS;
  const line: NewLine = { file, line: source.line, tokens, effects: EFFECTS[bits & (ALWAYS | NODE | NAME)] ?? [] };
  const firstLine = source.pieces[0]?.line ?? source.line;
  if (firstLine !== source.line) line.firstLine = firstLine;
  if (label !== undefined) line.label = label;
  if (goto !== undefined) line.goto = goto;
  return line;
}

type NewLine = { -readonly [Field in keyof RuleLine]: RuleLine[Field] };
