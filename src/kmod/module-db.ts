// What the indexes of a module source say: files and dependencies of modules, aliases, symbols, what is built in.

import { FormatError, messageOf } from '../errors.ts';
import type { Log } from '../system.ts';
import { moduleNameOfPath, normalizeAlias } from './alias.ts';
import { type IndexEntry, IndexFile } from './index-file.ts';
import { buildIndex } from './index-build.ts';
import { IndexPages } from './index-pages.ts';
import type { IndexName, IndexReader, ModuleSource } from './module-source.ts';

/** A line of modules.dep: the module's file and the files that it needs, itself excluded, needed ones last. */
export type Dependencies = { readonly path: string; readonly needs: readonly string[] };

type Index = 'dep' | 'alias' | 'symbols' | 'builtin' | 'builtin.alias';

const BINARY: Readonly<Record<Index, IndexName>> = {
  dep: 'modules.dep.bin',
  alias: 'modules.alias.bin',
  symbols: 'modules.symbols.bin',
  builtin: 'modules.builtin.bin',
  'builtin.alias': 'modules.builtin.alias.bin',
};

const TEXT: Readonly<Record<Index, { readonly name: IndexName; readonly parse: (text: string) => Iterable<IndexEntry> }>> = {
  dep: { name: 'modules.dep', parse: parseDep },
  alias: { name: 'modules.alias', parse: parseAliases },
  symbols: { name: 'modules.symbols', parse: parseAliases },
  builtin: { name: 'modules.builtin', parse: parseBuiltin },
  'builtin.alias': { name: 'modules.builtin.modinfo', parse: parseBuiltinModinfo },
};

/** Reads each index on its first use: the binary one, or the text it was made from where that is missing or damaged. */
export class ModuleDb {
  readonly source: ModuleSource;
  readonly #log: Log;
  readonly #inParts: boolean;
  readonly #open = new Map<Index, IndexFile | undefined>();
  readonly #dependencies = new Map<string, Dependencies | undefined>();

  /** `inParts`: read no more of an index than look-ups need, and keep it open until `close()`. */
  constructor(source: ModuleSource, log: Log, { inParts = false } = {}) {
    this.source = source;
    this.#log = log;
    this.#inParts = inParts;
  }

  close(): void {
    for (const index of this.#open.values()) index?.close();
    this.#open.clear();
  }

  /** Names are normalised module names (`crc32c_generic`). */
  dependencies(module: string): Dependencies | undefined {
    if (!this.#dependencies.has(module)) {
      this.#dependencies.set(module, parseDependencies(this.#search('dep', module)[0]?.value));
    }
    return this.#dependencies.get(module);
  }

  isBuiltin(module: string): boolean {
    return this.#search('builtin', module).length > 0;
  }

  /** Patterns that match, with their modules, in the order in which kmod tries them; one that matches twice stands twice. */
  aliases(alias: string): IndexEntry[] {
    return this.#searchWild('alias', alias);
  }

  builtinAliases(alias: string): IndexEntry[] {
    return this.#searchWild('builtin.alias', alias);
  }

  /** @param symbol with its prefix: `symbol:crc32c` */
  symbols(symbol: string): IndexEntry[] {
    return this.#searchWild('symbols', symbol);
  }

  /** All modules that have a file, by name, with the names of those that they need. */
  modules(): { readonly module: string; readonly needs: readonly string[] }[] {
    return this.#guarded('dep', (open) => [...open.entries()]).map(({ key, value }) => ({
      module: key, needs: parseDependencies(value)?.needs.map(moduleNameOfPath) ?? [],
    }));
  }

  /** Patterns with the modules that they name, as `modprobe -c` lists them. */
  *aliasEntries(): Generator<IndexEntry> {
    yield* this.#index('alias')?.entries() ?? [];
  }

  /** `symbol:NAME` with the modules that export them. */
  *symbolEntries(): Generator<IndexEntry> {
    yield* this.#index('symbols')?.entries() ?? [];
  }

  #search(index: Index, key: string): IndexEntry[] {
    return this.#guarded(index, (open) => open.search(key));
  }

  #searchWild(index: Index, key: string): IndexEntry[] {
    return this.#guarded(index, (open) => open.searchWild(key));
  }

  /** Damage deep inside a file shows itself during a search: then the text file takes over. */
  #guarded(index: Index, search: (open: IndexFile) => IndexEntry[]): IndexEntry[] {
    const open = this.#index(index);
    if (!open) return [];
    try {
      return search(open);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#warnDamaged(error);
      const fromText = this.#fromText(index);
      this.#open.set(index, fromText);
      return fromText ? search(fromText) : [];
    }
  }

  #index(index: Index): IndexFile | undefined {
    if (!this.#open.has(index)) this.#open.set(index, this.#fromBinary(index) ?? this.#fromText(index));
    return this.#open.get(index);
  }

  #fromBinary(index: Index): IndexFile | undefined {
    const name = BINARY[index];
    let reader: IndexReader | undefined;
    try {
      if (this.#inParts) reader = this.source.openIndex?.(name);
      const bytes = reader ? new IndexPages(reader) : this.source.readIndex(name);
      // depmod leaves an empty file where it had no input.
      return bytes === undefined || bytes.length === 0 ? undefined : new IndexFile(bytes, this.source.resolve(name));
    } catch (error) {
      reader?.close();
      if (error instanceof FormatError) this.#warnDamaged(error);
      else this.#log.warn({ code: 'unreadable-index', message: `could not read ${name}: ${messageOf(error)}` });
      return undefined;
    }
  }

  #fromText(index: Index): IndexFile | undefined {
    const { name, parse } = TEXT[index];
    const text = this.source.readText(name);
    if (text === undefined) return undefined;
    const { bytes, refused } = buildIndex(parse(text));
    const file = this.source.resolve(name);
    for (const { key } of refused) {
      this.#log.warn({ code: 'bad-character', file, message: `${file}: entry left out, it holds a character above 127: ${key}` });
    }
    return new IndexFile(bytes, file);
  }

  #warnDamaged(error: FormatError): void {
    this.#log.warn({ code: 'damaged-index', file: error.file, message: `${error.message}; using the text file (depmod makes a new index)` });
  }
}

function parseDependencies(line: string | undefined): Dependencies | undefined {
  const colon = line?.indexOf(':') ?? -1;
  if (line === undefined || colon < 1) return undefined;
  return { path: line.slice(0, colon), needs: line.slice(colon + 1).split(' ').filter((path) => path !== '') };
}

function* parseDep(text: string): Generator<IndexEntry> {
  let priority = 0;
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) yield { key: moduleNameOfPath(line.slice(0, colon)), value: line, priority: priority++ };
  }
}

/** Lines `alias PATTERN MODULE`. The text is not normalised; the order of its modules is their priority. */
function* parseAliases(text: string): Generator<IndexEntry> {
  const priorities = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (!line.startsWith('alias ')) continue;
    const blank = line.lastIndexOf(' ');
    const key = normalizeAlias(line.slice('alias '.length, blank));
    const value = line.slice(blank + 1);
    if (key === undefined || key === '') continue;
    const priority = priorities.get(value) ?? priorities.size;
    priorities.set(value, priority);
    yield { key, value, priority };
  }
}

function* parseBuiltin(text: string): Generator<IndexEntry> {
  for (const line of text.split('\n')) {
    if (line !== '') yield { key: moduleNameOfPath(line), value: '', priority: 0 };
  }
}

/** NUL-separated `module.key=value`. */
function* parseBuiltinModinfo(text: string): Generator<IndexEntry> {
  for (const entry of text.split('\0')) {
    const match = /^([^.=]+)\.alias=([^]+)$/.exec(entry);
    const key = match?.[2] === undefined ? undefined : normalizeAlias(match[2]);
    if (key !== undefined && match?.[1] !== undefined) yield { key, value: match[1], priority: 0 };
  }
}
