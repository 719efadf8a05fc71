// The files that depmod writes, as bytes.

import { moduleNameOfPath, normalizeAlias } from './alias.ts';
import { ByteWriter } from './byte-writer.ts';
import type { OutputInput } from './depmod-signature.ts';
import type { DepmodSymbols } from './depmod-symbols.ts';
import { buildIndexOf, type IndexLayout } from './index-build.ts';
import { IndexEntries, valueText } from './index-entries.ts';
import { type InfoKind, type ModuleFacts, textOf } from './module-facts.ts';
import type { IndexName } from './module-source.ts';

/** One module, at the place of its priority. */
export type DepmodModule = {
  readonly name: string;
  /** As modules.dep has it. */
  readonly path: string;
  /** All that it needs, users before what they use, as places in the list of modules. */
  readonly needs: readonly number[];
  /** undefined where the module cannot be read. */
  readonly facts: ModuleFacts | undefined;
};

/** All that the outputs are made of. Text is latin1: names are bytes. */
export type DepmodData = {
  readonly modules: readonly DepmodModule[];
  readonly symbols: Pick<DepmodSymbols, 'ordered'>;
  /** The text of modules.builtin and of modules.builtin.modinfo, undefined where they are absent. */
  readonly builtin: string | undefined;
  readonly builtinModinfo: string | undefined;
};

export type FormatContext = {
  readonly layout: IndexLayout;
  /** `-w`: tell of values that one key has twice. */
  readonly warnDuplicates: boolean;
  /** Hears of what is left out. */
  report(level: 'error' | 'warn', message: string): void;
};

/** An output, and what is to be told of it. */
export type FormattedFile = { readonly content: Uint8Array; readonly reports: readonly { readonly level: 'error' | 'warn'; readonly message: string }[] };

export type DepmodFile = {
  readonly name: IndexName;
  /** Text files are what -n prints. */
  readonly kind: 'text' | 'index';
  readonly input: OutputInput;
  format(data: DepmodData, context: FormatContext): Uint8Array;
};

/** In the order in which they are written. */
export const DEPMOD_FILES: readonly DepmodFile[] = [
  { name: 'modules.dep', kind: 'text', input: 'dependencies', format: formatDep },
  { name: 'modules.dep.bin', kind: 'index', input: 'dependencies', format: indexDep },
  { name: 'modules.alias', kind: 'text', input: 'info', format: formatAlias },
  { name: 'modules.alias.bin', kind: 'index', input: 'info', format: indexAlias },
  { name: 'modules.softdep', kind: 'text', input: 'info', format: formatSoftdep },
  { name: 'modules.weakdep', kind: 'text', input: 'info', format: formatWeakdep },
  { name: 'modules.symbols', kind: 'text', input: 'symbols', format: formatSymbols },
  { name: 'modules.symbols.bin', kind: 'index', input: 'symbols', format: indexSymbols },
  { name: 'modules.builtin.bin', kind: 'index', input: 'files', format: indexBuiltin },
  { name: 'modules.builtin.alias.bin', kind: 'index', input: 'files', format: indexBuiltinAlias },
  { name: 'modules.devname', kind: 'text', input: 'info', format: formatDevname },
];

const EMPTY = new Uint8Array(0);

export function formatFile(file: DepmodFile, data: DepmodData, how: Omit<FormatContext, 'report'>): FormattedFile {
  const reports: FormattedFile['reports'][number][] = [];
  const content = file.format(data, { ...how, report: (level, message) => reports.push({ level, message }) });
  return { content, reports };
}

function formatDep(data: DepmodData): Uint8Array {
  return depTextOf(data).bytes;
}

function indexDep(data: DepmodData, context: FormatContext): Uint8Array {
  const entries = new IndexEntries();
  const { bytes, starts } = depTextOf(data);
  data.modules.forEach(({ name }, priority) => {
    const end = (starts[priority + 1] ?? 0) - 1;
    entries.add({ key: name, value: { bytes, start: starts[priority] ?? 0, end }, priority });
  });
  return index(entries, context, (_, value) => `duplicate module deps:\n${value}`);
}

/** modules.dep; the index has the same lines. `starts` has where each begins, and the end. */
type DepText = { readonly bytes: Uint8Array; readonly starts: readonly number[] };

const depTexts = new WeakMap<DepmodData, DepText>();

function depTextOf(data: DepmodData): DepText {
  const known = depTexts.get(data);
  if (known) return known;
  const writer = new ByteWriter();
  const starts = [0];
  for (const { path, needs } of data.modules) {
    writer.text(path);
    writer.text(':');
    for (const need of needs) {
      writer.text(' ');
      writer.text(data.modules[need]?.path ?? '');
    }
    writer.text('\n');
    starts.push(writer.length);
  }
  const text = { bytes: writer.bytes(), starts };
  depTexts.set(data, text);
  return text;
}

function formatAlias({ modules }: DepmodData): Uint8Array {
  const writer = new ByteWriter();
  writer.text('# Aliases extracted from modules themselves.\n');
  for (const { name, facts } of modules) {
    facts?.info('alias', (start, end) => {
      writer.text('alias ');
      writer.copy(facts.bytes, start, end);
      writer.text(` ${name}\n`);
    });
  }
  return writer.bytes();
}

function indexAlias({ modules }: DepmodData, context: FormatContext): Uint8Array {
  const entries = new IndexEntries();
  modules.forEach(({ name, facts }, priority) => {
    facts?.info('alias', (start, end) => {
      if (entries.addAlias(facts.bytes, start, end, name, priority)) return;
      context.report('warn', `Unmatched bracket in ${textOf(facts.bytes, start, end)}`);
    });
  });
  return index(entries, context, (key, value) => `duplicate module alias:\n${key} ${value}`);
}

function formatSoftdep({ modules }: DepmodData): Uint8Array {
  return lines('# Soft dependencies extracted from modules themselves.\n', modules, 'softdep');
}

function formatWeakdep({ modules }: DepmodData): Uint8Array {
  return lines('# Weak dependencies extracted from modules themselves.\n', modules, 'weakdep');
}

/** `softdep MODULE TEXT`. */
function lines(head: string, modules: readonly DepmodModule[], kind: InfoKind): Uint8Array {
  const writer = new ByteWriter();
  writer.text(head);
  for (const { name, facts } of modules) {
    facts?.info(kind, (start, end) => {
      writer.text(`${kind} ${name} `);
      writer.copy(facts.bytes, start, end);
      writer.text('\n');
    });
  }
  return writer.bytes();
}

function formatSymbols({ symbols, modules }: DepmodData): Uint8Array {
  const writer = new ByteWriter();
  writer.text('# Aliases for symbols, used by symbol_request().\n');
  symbols.ordered((bytes, start, end, owner) => {
    writer.text('alias symbol:');
    writer.copy(bytes, start, end);
    writer.text(` ${modules[owner]?.name ?? ''}\n`);
  });
  return writer.bytes();
}

function indexSymbols({ symbols, modules }: DepmodData, context: FormatContext): Uint8Array {
  const entries = new IndexEntries();
  symbols.ordered((bytes, start, end, owner) => entries.addBytes('symbol:', bytes, start, end, modules[owner]?.name ?? '', owner));
  return index(entries, context, (key, value) => `duplicate module syms:\n${key} ${value}`);
}

/** The whole index is left empty where its input is missing. */
function indexBuiltin({ builtin }: DepmodData, context: FormatContext): Uint8Array {
  if (builtin === undefined) return EMPTY;
  const entries = new IndexEntries();
  for (const line of builtin.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    if (/^[A-Za-z]/.test(line)) entries.add({ key: moduleNameOfPath(line), value: '', priority: 0 });
    else context.report('error', `Invalid modules.builtin line: ${line.replace(/\n$/, '')}`);
  }
  return index(entries, context);
}

function indexBuiltinAlias({ builtinModinfo }: DepmodData, context: FormatContext): Uint8Array {
  if (builtinModinfo === undefined) return EMPTY;
  const entries = new IndexEntries();
  for (const entry of builtinModinfo.split('\0')) {
    const match = /^([^.=]+)\.alias=([^]*)$/.exec(entry);
    const [, module, alias] = match ?? [];
    if (module === undefined || alias === undefined) continue;
    const key = normalizeAlias(alias);
    if (key === undefined) context.report('warn', `Unmatched bracket in ${alias}`);
    else entries.add({ key, value: module.replaceAll('-', '_'), priority: 0 });
  }
  return index(entries, context);
}

/** `MODULE NAME c|bMAJOR:MINOR` for modules that are to be loaded when their device node is opened. */
function formatDevname({ modules }: DepmodData, context: FormatContext): Uint8Array {
  let text = '';
  for (const { name, facts } of modules) {
    const node = deviceNode(facts);
    if (node === undefined) continue;
    if (node.number !== undefined) text += `${name} ${node.devname} ${node.number}\n`;
    else context.report('error', `Module '${name}' has devname (${node.devname}) but lacks major and minor information. Ignoring.`);
  }
  return Buffer.from(text === '' ? '' : `# Device nodes to trigger on-demand module loading.\n${text}`, 'latin1');
}

/** The devname and number that stand when both have been seen for the first time. */
function deviceNode(facts: ModuleFacts | undefined): { readonly devname: string; readonly number: string | undefined } | undefined {
  if (!facts?.hasDevname) return undefined;
  let devname: string | undefined;
  let number: string | undefined;
  for (const alias of facts.values('alias')) {
    const [, type, major, minor] = /^(char|block)-major-(\d+)-(\d+)/.exec(alias) ?? [];
    if (alias.startsWith('devname:')) devname = alias.slice('devname:'.length);
    else if (type !== undefined) number = `${type.slice(0, 1)}${Number(major) >>> 0}:${Number(minor) >>> 0}`;
    if (devname !== undefined && number !== undefined) break;
  }
  return devname === undefined ? undefined : { devname, number };
}

function index(entries: IndexEntries, context: FormatContext, duplicate?: (key: string, value: string) => string): Uint8Array {
  if (context.warnDuplicates && duplicate) reportDuplicates(entries, (key, value) => context.report('warn', duplicate(key, value)));
  for (const { key, value } of entries.refused) {
    context.report('error', `Module index: bad character in '${key} ${value}', only 7-bit ASCII is supported: left out`);
  }
  return buildIndexOf(entries, { layout: context.layout });
}

function reportDuplicates(entries: IndexEntries, report: (key: string, value: string) => void): void {
  const seen = new Set<string>();
  entries.values.forEach((range, entry) => {
    const key = entries.key(entry);
    const value = valueText(range);
    const pair = `${key}\0${value}`;
    if (seen.has(pair)) report(key, value);
    seen.add(pair);
  });
}
