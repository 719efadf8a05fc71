// The language of modprobe.d: parses one file into directives, and holds the directives of all files in order.

import { normalizeAlias } from './alias.ts';
import type { Source } from './probe.ts';

export type AliasDirective = { readonly pattern: string; readonly module: string; readonly source: Source };
export type OptionsDirective = { readonly module: string; readonly params: string; readonly source: Source };
export type BlacklistDirective = { readonly module: string; readonly source: Source };
export type CommandDirective = { readonly module: string; readonly command: string; readonly source: Source };
export type SoftdepDirective = {
  readonly module: string;
  readonly pre: readonly string[];
  readonly post: readonly string[];
  readonly source: Source;
};
/** Ours: the module is refused whatever asks for it. `module` may be a pattern. */
export type DenyDirective = { readonly module: string; readonly source: Source };
export type WeakdepDirective = { readonly module: string; readonly weak: readonly string[]; readonly source: Source };

/** All directives, each kind in the order in which they were read. */
export type Config = {
  readonly aliases: readonly AliasDirective[];
  readonly options: readonly OptionsDirective[];
  readonly blacklist: readonly BlacklistDirective[];
  readonly install: readonly CommandDirective[];
  readonly remove: readonly CommandDirective[];
  readonly softdeps: readonly SoftdepDirective[];
  readonly weakdeps: readonly WeakdepDirective[];
  readonly deny: readonly DenyDirective[];
};

/** A line that was skipped. `line` is that of its last physical line, as kmod counts. */
export type ConfigProblem = { readonly file: string; readonly line: number; readonly message: string };

export class ConfigBuilder {
  readonly aliases: AliasDirective[] = [];
  readonly options: OptionsDirective[] = [];
  readonly blacklist: BlacklistDirective[] = [];
  readonly install: CommandDirective[] = [];
  readonly remove: CommandDirective[] = [];
  readonly softdeps: SoftdepDirective[] = [];
  readonly weakdeps: WeakdepDirective[] = [];
  readonly deny: DenyDirective[] = [];
  readonly problems: ConfigProblem[] = [];
}

/** Begins a line of our own: a comment for kmod, so that both can share a directory. */
const OWN_LINE = '#tsmodprobe:';

/**
 * Reads one modprobe.d file into `into`. Lines that cannot be understood become problems; the others count.
 * Source of the syntax: modprobe.d(5); `#tsmodprobe: deny NAME…` is ours.
 */
export function parseConfig(text: string, file: string, into: ConfigBuilder): void {
  if (text.includes('\\')) {
    for (const { text: joined, line } of logicalLines(text, { comments: true })) takeLine(joined, file, line, into);
    return;
  }
  // Nothing is continued: every start reads a hundred such lines.
  let number = 0;
  for (const line of text.split('\n')) takeLine(line, file, ++number, into);
}

/** Joins continued lines and drops comments, continued ones too, unless asked. `line` is that of the last physical line. */
export function* logicalLines(text: string, { comments = false } = {}): Generator<{ text: string; line: number }> {
  const physical = text.split('\n');
  if (physical.at(-1) === '') physical.pop();
  let joined = '';
  for (const [index, raw] of physical.entries()) {
    const { text: unescaped, continues } = unescapeLine(raw);
    joined += unescaped;
    if (continues && index < physical.length - 1) continue;
    if (comments || !joined.startsWith('#')) yield { text: joined, line: index + 1 };
    joined = '';
  }
}

/** `\x` stands for x; a `\` at the end of the line continues it. */
function unescapeLine(raw: string): { text: string; continues: boolean } {
  if (!raw.includes('\\')) return { text: raw, continues: false };
  let text = '';
  for (let i = 0; i < raw.length; i++) {
    if (raw[i] === '\\' && ++i === raw.length) return { text, continues: true };
    text += raw[i];
  }
  return { text, continues: false };
}

function takeLine(line: string, file: string, number: number, into: ConfigBuilder): void {
  if (line === '') return;
  const source: Source = { file, line: number };
  if (line.startsWith('#')) {
    if (line.startsWith(OWN_LINE)) takeOwnLine(line.slice(OWN_LINE.length), source, into);
    return;
  }
  const { word: directive, rest } = firstWord(line);
  if (directive === '') return;
  if (directive === 'include' || directive === 'config') {
    const message = `${file}: command ${directive} is deprecated and not parsed anymore`;
    into.problems.push({ file, line: number, message });
  } else if (!takeDirective(directive, rest, source, into)) {
    into.problems.push({ file, line: number, message: `${file} line ${number}: ignoring bad line starting with '${directive}'` });
  }
}

function takeOwnLine(text: string, source: Source, into: ConfigBuilder): void {
  const [directive, ...names] = split(text);
  const modules = names.map((name) => normalizeAlias(name));
  if (directive === 'deny' && names.length > 0 && modules.every((module) => module !== undefined)) {
    for (const module of modules) into.deny.push({ module, source });
    return;
  }
  const message = `${source.file} line ${source.line}: ignoring bad line starting with '${OWN_LINE} ${directive ?? ''}'`;
  into.problems.push({ file: source.file, line: source.line ?? 0, message });
}

function takeDirective(directive: string, rest: string, source: Source, into: ConfigBuilder): boolean {
  const { word, rest: tail } = firstWord(rest);
  const module = word === '' ? undefined : normalizeAlias(word);
  if (module === undefined) return false;
  const words = split(tail);
  switch (directive) {
    case 'alias': {
      const target = words[0] === undefined ? undefined : normalizeAlias(words[0]);
      if (target === undefined) return false;
      into.aliases.push({ pattern: module, module: target, source });
      return true;
    }
    case 'blacklist':
      into.blacklist.push({ module, source });
      return true;
    case 'options':
      if (tail === '') return false;
      into.options.push({ module, params: tail.replaceAll('\t', ' '), source });
      return true;
    case 'install':
    case 'remove':
      if (tail === '') return false;
      into[directive].push({ module, command: tail, source });
      return true;
    case 'softdep':
      if (words.length === 0) return false;
      into.softdeps.push({ module, ...softdepLists(words), source });
      return true;
    case 'weakdep':
      if (words.length === 0) return false;
      into.weakdeps.push({ module, weak: words, source });
      return true;
    default:
      return false;
  }
}

function softdepLists(words: readonly string[]): { pre: string[]; post: string[] } {
  const lists = { pre: [] as string[], post: [] as string[] };
  let current: string[] | undefined;
  for (const word of words) {
    if (word === 'pre:') current = lists.pre;
    else if (word === 'post:') current = lists.post;
    // Words before the first keyword have no meaning; kmod drops them too.
    else current?.push(word);
  }
  return lists;
}

/** The first word, and all that follows the one blank behind it, further blanks included. */
function firstWord(line: string): { word: string; rest: string } {
  const blank = line.indexOf(' ');
  if (blank !== 0 && !line.includes('\t')) return blank < 0 ? { word: line, rest: '' } : { word: line.slice(0, blank), rest: line.slice(blank + 1) };
  const match = /^[ \t]*([^ \t]*)[ \t]?([^]*)$/.exec(line);
  return { word: match?.[1] ?? '', rest: match?.[2] ?? '' };
}

/** Searches and splits of V8's own: in a short program a loop is interpreted, and a regular expression compiled, twice. */
function split(text: string): string[] {
  const words = text.includes('\t') ? text.replaceAll('\t', ' ').split(' ') : text.split(' ');
  return words.includes('') ? words.filter((word) => word !== '') : words;
}
