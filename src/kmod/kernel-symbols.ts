// What is known of the symbols that the kernel itself exports: from /proc/kallsyms, and from the list of its build, Module.symvers.

import { readFileSync, realpathSync, statSync } from 'node:fs';

import { codeOf, FormatError, LimitError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { compressionOf, decompress } from './compression.ts';
import type { ModuleSource } from './module-source.ts';
import { type KernelSymbol, parseSymvers } from './symvers.ts';

/** `exports` of a symbol: undefined where nothing tells. */
export type KernelSymbols = {
  exports(symbol: string): boolean | undefined;
  /** Its version and namespace, where the build's list is at hand. */
  symbol(symbol: string): Omit<KernelSymbol, 'name'> | undefined;
};

/** What kallsyms says of some symbols. */
export type Kallsyms = {
  readonly found: ReadonlySet<string>;
  /** Names of exports are listed as such, so that `found` has exported symbols only. */
  readonly exportsListed: boolean;
  /** Variables are listed too: a symbol that is not found does not exist. */
  readonly complete: boolean;
};

/** Kernels have some 10 MiB of names; lists of builds as much. */
export const MAX_SYMBOL_LIST = 256 * 1024 * 1024;

/** A kernel that lists its variables (CONFIG_KALLSYMS_ALL) has tens of thousands of them, another one some dozens. */
const VARIABLES_LISTED = 1000;
const KSYMTAB = '__ksymtab_';
/** Where packages put the list: kernel-devel and linux-headers behind the link `build`, Fedora beside the modules. */
const SYMVERS = ['build/Module.symvers', 'Module.symvers', 'symvers', 'symvers.gz', 'symvers.xz', 'symvers.zst'];

/** Lines `ADDRESS TYPE NAME`; those of modules have `\t[module]` behind them and are left out. */
export function parseKallsyms(text: string, wanted: ReadonlySet<string>): Kallsyms {
  const plain = new Set<string>();
  const exported = new Set<string>();
  let exportsListed = false;
  let variables = 0;
  let blank = -1;
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    // Looked for again only when it is passed: lines without one must not each search all of the rest.
    if (blank < at) blank = text.indexOf(' ', at);
    if (blank < 0) break;
    const type = text[blank + 1] ?? '';
    const name = blank + 3 > end ? '' : text.slice(blank + 3, end);
    at = end + 1;
    if (name.includes('\t')) continue;
    if (/[dDbB]/.test(type)) variables++;
    if (name.startsWith(KSYMTAB)) {
      exportsListed = true;
      const symbol = name.slice(KSYMTAB.length);
      if (wanted.has(symbol)) exported.add(symbol);
    } else if (wanted.has(name)) plain.add(name);
  }
  return { found: exportsListed ? exported : plain, exportsListed, complete: exportsListed || variables >= VARIABLES_LISTED };
}

/**
 * Reads what there is. `running`: the modules are those of the kernel that runs, so that its own list counts.
 * What cannot be read is logged for debugging: all of this is a help, and none of it a need.
 */
export function readKernelSymbols(system: System, source: ModuleSource, wanted: ReadonlySet<string>, running: boolean): KernelSymbols {
  const symvers = readSymvers(system, source);
  const kallsyms = running && !symvers ? readKallsyms(system, wanted) : undefined;
  return {
    exports(symbol) {
      if (symvers) return symvers.has(symbol);
      if (!kallsyms) return undefined;
      return kallsyms.found.has(symbol) ? true : kallsyms.complete ? false : undefined;
    },
    symbol: (symbol) => symvers?.get(symbol),
  };
}

function readKallsyms(system: System, wanted: ReadonlySet<string>): Kallsyms | undefined {
  const file = `${system.roots.proc}/kallsyms`;
  const text = readList(system, file, () => readFileSync(file, 'latin1'));
  // An empty list is one that we may not read.
  return text === undefined || text === '' ? undefined : parseKallsyms(text, wanted);
}

function readSymvers(system: System, source: ModuleSource): Map<string, KernelSymbol> | undefined {
  for (const name of SYMVERS) {
    const file = source.resolve(name);
    const text = readList(system, file, () => {
      // `build` is a link to an absolute path, which in a foreign root means another machine's file.
      if (!realpathSync(file).startsWith(`${system.roots.modules && realpathSync(system.roots.modules)}/`)) return undefined;
      const { size } = statSync(file);
      if (size > MAX_SYMBOL_LIST) throw new LimitError({ file, limit: 'size of a list of symbols', maximum: MAX_SYMBOL_LIST, actual: size });
      const bytes = readFileSync(file);
      const compression = compressionOf(bytes);
      return Buffer.from(compression === undefined ? bytes : decompress(bytes, compression, { file, limit: MAX_SYMBOL_LIST })).toString('latin1');
    });
    const symbols = text === undefined ? [] : parseSymvers(text, file).symbols;
    // linux-headers of some distributions have an empty one, or one without the kernel's own symbols.
    if (symbols.length > 0) return new Map(symbols.map((symbol) => [symbol.name, symbol]));
  }
  return undefined;
}

function readList(system: System, file: string, read: () => string | undefined): string | undefined {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof FormatError) && !(error instanceof LimitError)) throw error;
    system.log.debug({ code: 'no-symbol-list', file, message: `could not read ${file}: ${messageOf(error)}` });
    return undefined;
  }
}
