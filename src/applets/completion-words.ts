// What may stand where a command line is being typed: options, values and operands, from the tables that getopt reads.

import type { Applet } from './applet.ts';
import type { OptionSpec } from './getopt.ts';
import { isPathOfDevice, operandsOf, type ValueKind, type Values, valuesOf } from './completion-values.ts';
import { parseHelpOptions } from './help-options.ts';

export type Candidate = { readonly word: string; readonly summary: string };

/** What stands before the word that is being typed: the values of options by their names, '' for one without. */
export type Typed = ReadonlyMap<string, readonly string[]>;

export type Completion = {
  /** What the shell adds itself. */
  readonly paths: 'files' | 'directories' | 'none';
  readonly words: readonly Candidate[];
};

/** What completion asks of the machine and of the applets. */
export interface CompletionHost {
  /** All words of a kind; `operands` stand before the word that is being typed. */
  words(kind: ValueKind, typed: Typed, operands: readonly string[]): Promise<readonly string[]>;
  help(applet: Applet): Promise<string>;
}

type Place = {
  readonly applet: Applet;
  readonly typed: Map<string, string[]>;
  readonly operands: string[];
  /** The option whose value comes next. */
  pending: OptionSpec | undefined;
  onlyOperands: boolean;
};

/** `words` begins behind the name of the program; the last one is being typed, and may be ''. */
export async function completeWords(root: Applet, words: readonly string[], host: CompletionHost): Promise<Completion> {
  const word = words.at(-1) ?? '';
  const place = await walk(root, words.slice(0, -1));
  if (place.pending) return valueWords(valuesOf(place.pending.long, place.applet.name), word, '', place, host);
  const equals = word.indexOf('=');
  if (!place.onlyOperands && word.startsWith('--') && equals > 0) {
    const spec = place.applet.options.find(({ long }) => `--${long}` === word.slice(0, equals));
    if (!spec || isFlag(spec)) return { paths: 'none', words: [] };
    return valueWords(valuesOf(spec.long, place.applet.name), word.slice(equals + 1), word.slice(0, equals + 1), place, host);
  }
  if (!place.onlyOperands && word.startsWith('-')) return optionWords(place.applet, word, host);
  if (place.applet.subcommands && place.operands.length === 0) {
    return { paths: 'none', words: starting(place.applet.subcommands.map(({ name, summary }) => ({ word: name, summary })), word) };
  }
  return valueWords(operandsOf(place.applet.name, place.operands, place.typed), word, '', place, host);
}

async function walk(root: Applet, words: readonly string[]): Promise<Place> {
  let place = begin(root);
  for (const word of words) {
    if (place.pending) {
      record(place, place.pending, word);
      place.pending = undefined;
    } else if (place.onlyOperands || word === '-' || !word.startsWith('-')) {
      const subcommand = place.operands.length === 0 ? place.applet.subcommands?.find(({ name }) => name === word) : undefined;
      if (subcommand) place = begin(await subcommand.load());
      else place.operands.push(word);
    } else if (word === '--') {
      place.onlyOperands = true;
    } else if (word.startsWith('--')) {
      takeLong(place, word);
    } else {
      takeShort(place, word);
    }
  }
  return place;
}

function begin(applet: Applet): Place {
  return { applet, typed: new Map(), operands: [], pending: undefined, onlyOperands: false };
}

function record({ typed }: Place, spec: OptionSpec, value: string): void {
  const name = spec.name ?? spec.long;
  typed.set(name, [...typed.get(name) ?? [], value]);
}

function takeLong(place: Place, word: string): void {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const spec = place.applet.options.find(({ long }) => long === name) ?? place.applet.options.find(({ long, exact }) => !exact && long.startsWith(name));
  if (!spec) return;
  if (equals < 0 && spec.argument === 'required') place.pending = spec;
  else record(place, spec, equals < 0 ? '' : word.slice(equals + 1));
}

function takeShort(place: Place, word: string): void {
  for (let i = 1; i < word.length; i++) {
    const spec = place.applet.options.find(({ short }) => short === word[i]);
    if (!spec) return;
    const rest = word.slice(i + 1);
    if (isFlag(spec)) record(place, spec, '');
    else if (spec.argument === 'required' && rest === '') place.pending = spec;
    else return record(place, spec, rest);
  }
}

function isFlag({ argument }: OptionSpec): boolean {
  return argument !== 'required' && argument !== 'optional';
}

/** The long ones that the help names: not what is there for old callers alone. */
async function optionWords(applet: Applet, word: string, host: CompletionHost): Promise<Completion> {
  const summaries = new Map(parseHelpOptions(await host.help(applet)).flatMap(({ spellings, summary }) => spellings.map((spelling) => [spelling, summary])));
  const words = applet.options.filter(({ long }) => summaries.has(`--${long}`)).map(({ long, argument }) => ({
    word: `--${long}${argument === 'required' ? '=' : ''}`, summary: summaries.get(`--${long}`) ?? '',
  }));
  return { paths: 'none', words: starting(words, word) };
}

async function valueWords(values: Values, word: string, before: string, { typed, operands }: Place, host: CompletionHost): Promise<Completion> {
  const { kind, also } = values;
  if (isPathOfDevice(kind, word)) return { paths: 'files', words: [] };
  const found = kind === undefined ? [] : await host.words(kind, typed, operands);
  const words = [...values.words ?? [], ...found].map((name) => ({ word: before + name, summary: '' }));
  return { paths: also ?? 'none', words: starting(words, before + word) };
}

function starting(words: readonly Candidate[], beginning: string): Candidate[] {
  return words.filter(({ word }) => word.startsWith(beginning));
}
