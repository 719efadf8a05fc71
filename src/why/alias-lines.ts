// The lines of modules.alias: which one matched, on which line it stands, and which nearly matched.

import { normalizeAlias } from '../kmod/alias.ts';
import type { Match } from '../kmod/lookup.ts';
import type { AliasLine, NearAlias } from './facts.ts';

/** More would be a list of a vendor's hardware. */
const NEAR_MAX = 3;
/** Letters and the value behind them: `v00008086`, `ic09`, and `*` for any. */
const FIELD = /([a-z]+)([0-9A-F]+|\*)/y;

/** What is looked for in: the text of modules.alias, and what messages call it. */
export type AliasText = { readonly file: string; readonly text: string };

/** The matches as lines, each once. The indexes have no line numbers: these come from the text, where the line is found. */
export function aliasLines(matches: readonly Match[], index: AliasText): AliasLine[] {
  const lines = new Map<string, AliasLine>();
  for (const { module, alias, builtin, reason: { pattern, source } } of matches) {
    if (pattern === undefined || source === undefined) continue;
    const found = source.line === undefined && source.file === index.file ? lineOf(index.text, pattern, module) : undefined;
    lines.set(`${pattern} ${module}`, { pattern: found?.pattern ?? pattern, module, alias, builtin, source: found ? { ...source, line: found.line } : source });
  }
  return [...lines.values()];
}

/** The lines of the same bus whose first field agrees, or says nothing, and of whose others exactly one does not. */
export function nearAliases(modalias: string, matched: ReadonlySet<string>, { file, text }: AliasText): NearAlias[] {
  const colon = modalias.indexOf(':');
  const fields = fieldsOf(modalias, colon + 1);
  const [first] = fields ?? [];
  if (colon < 1 || !fields || !first) return [];
  const near: { readonly alias: Omit<NearAlias, 'source'>; readonly start: number; readonly agreed: number; readonly distance: number }[] = [];
  const bus = `alias ${modalias.slice(0, colon + 1)}`;
  for (const head of [`${bus}${first.key}${first.value}`, `${bus}${first.key}*`]) {
    for (let at = text.indexOf(head); at >= 0; at = text.indexOf(`\n${head}`, at)) {
      if (text[at] === '\n') at++;
      const end = endOf(text, at);
      const blank = text.lastIndexOf(' ', end);
      const module = text.slice(blank + 1, end);
      const pattern = text.slice(at + 'alias '.length, blank);
      const found = matched.has(module) ? undefined : oneOff(fields, fieldsOf(pattern, colon + 1));
      if (found) near.push({ alias: { ...found.alias, pattern, module }, start: at, agreed: found.agreed, distance: found.distance });
      at = end - 1;
    }
  }
  near.sort((a, b) => b.agreed - a.agreed || a.distance - b.distance || a.start - b.start);
  return near.slice(0, NEAR_MAX).map(({ alias, start }) => ({ ...alias, source: { file, line: lineNumber(text, start) } }));
}

type Field = { readonly key: string; readonly value: string };

/** Undefined for what is no row of such fields to its end. */
function fieldsOf(text: string, start: number): readonly Field[] | undefined {
  const fields: Field[] = [];
  FIELD.lastIndex = start;
  while (FIELD.lastIndex < text.length) {
    const match = FIELD.exec(text);
    if (!match) return text.endsWith('*') && fields.length > 0 ? fields : undefined;
    fields.push({ key: match[1] ?? '', value: match[2] ?? '' });
  }
  return fields;
}

type OneOff = { readonly alias: Pick<NearAlias, 'field' | 'wanted' | 'found'>; readonly agreed: number; readonly distance: number };

/** The one field that differs, how many have the same value, and how far the two values are apart. */
function oneOff(fields: readonly Field[], pattern: readonly Field[] | undefined): OneOff | undefined {
  if (!pattern) return undefined;
  let off: { readonly key: string; readonly wanted: string; readonly found: string } | undefined;
  let agreed = 0;
  for (const [i, { key, value }] of pattern.entries()) {
    const own = fields[i];
    if (!own || own.key !== key) return undefined;
    if (value === '*') continue;
    if (value === own.value) agreed++;
    else if (off) return undefined;
    else off = { key, wanted: value, found: own.value };
  }
  if (!off || agreed === 0) return undefined;
  const distance = Math.abs(Number.parseInt(off.wanted, 16) - Number.parseInt(off.found, 16));
  return { alias: { field: off.key, wanted: off.wanted, found: off.found }, agreed, distance };
}

/** Indexes have patterns with `_` for `-`; the text has them as the modules do. */
function lineOf(text: string, pattern: string, module: string): { readonly pattern: string; readonly line: number } | undefined {
  const tail = ` ${module}\n`;
  for (let at = text.indexOf(tail); at >= 0; at = text.indexOf(tail, at + 1)) {
    const start = text.lastIndexOf('\n', at) + 1;
    if (!text.startsWith('alias ', start)) continue;
    const written = text.slice(start + 'alias '.length, at);
    if (written === pattern || normalizeAlias(written) === pattern) return { pattern: written, line: lineNumber(text, start) };
  }
  return undefined;
}

function endOf(text: string, at: number): number {
  const newline = text.indexOf('\n', at);
  return newline < 0 ? text.length : newline;
}

function lineNumber(text: string, at: number): number {
  let line = 1;
  for (let newline = text.indexOf('\n'); newline >= 0 && newline < at; newline = text.indexOf('\n', newline + 1)) line++;
  return line;
}
