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
  if (line.startsWith('#')) {
    if (line.startsWith(OWN_LINE)) takeOwnLine(line.slice(OWN_LINE.length), { file, line: number }, into);
    return;
  }
  const words = split(line);
  const directive = words[0];
  if (directive === undefined) return;
  if (directive === 'include' || directive === 'config') {
    const message = `${file}: command ${directive} is deprecated and not parsed anymore`;
    into.problems.push({ file, line: number, message });
  } else if (!takeDirective(words, line, { file, line: number }, into)) {
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

/** @param words those of the line */
function takeDirective(words: readonly string[], line: string, source: Source, into: ConfigBuilder): boolean {
  // Taken apart as an array is, they would cost V8 more than all that follows.
  const directive = words[0] ?? '';
  const word = words[1] ?? '';
  const third = words[2];
  const module = word === '' ? undefined : normalizeAlias(word);
  if (module === undefined) return false;
  switch (directive) {
    case 'alias': {
      const target = third === undefined ? undefined : normalizeAlias(third);
      if (target === undefined) return false;
      into.aliases.push({ pattern: module, module: target, source });
      return true;
    }
    case 'blacklist':
      into.blacklist.push({ module, source });
      return true;
    case 'options': {
      const params = behindSecondWord(line, directive, word);
      if (params === '') return false;
      into.options.push({ module, params: params.replaceAll('\t', ' '), source });
      return true;
    }
    case 'install':
    case 'remove': {
      const command = behindSecondWord(line, directive, word);
      if (command === '') return false;
      into[directive].push({ module, command, source });
      return true;
    }
    case 'softdep': {
      if (third === undefined) return false;
      const { pre, post } = softdepLists(words);
      into.softdeps.push({ module, pre, post, source });
      return true;
    }
    case 'weakdep':
      if (third === undefined) return false;
      into.weakdeps.push({ module, weak: words.slice(2), source });
      return true;
    default:
      return false;
  }
}

/** @param words those of the line, from its third on the lists */
function softdepLists(words: readonly string[]): { pre: string[]; post: string[] } {
  const lists = { pre: [] as string[], post: [] as string[] };
  let current: string[] | undefined;
  for (let i = 2; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === 'pre:') current = lists.pre;
    else if (word === 'post:') current = lists.post;
    // Words before the first keyword have no meaning; kmod drops them too.
    else current?.push(word);
  }
  return lists;
}

/** All that follows the one blank behind the second word, further blanks included. */
function behindSecondWord(line: string, directive: string, word: string): string {
  return line.slice(line.indexOf(word, line.indexOf(directive) + directive.length) + word.length + 1);
}

/** Searches and splits of V8's own: in a short program a loop is interpreted, and a regular expression compiled, twice. */
function split(text: string): string[] {
  const words = text.includes('\t') ? text.replaceAll('\t', ' ').split(' ') : text.split(' ');
  return words.includes('') ? words.filter((word) => word !== '') : words;
}
