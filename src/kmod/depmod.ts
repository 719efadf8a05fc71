// depmod: from a tree of module files to the indexes of modprobe.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { moduleNameOfPath } from './alias.ts';
import { configDirectories, type ConfigFile, listFiles, readText } from './config-files.ts';
import type { CacheKey } from './depmod-cache.ts';
import { CacheFile } from './depmod-cache-file.ts';
import { type DepmodConfig, parseDepmodConfig } from './depmod-config.ts';
import { depmodData, linkModules } from './depmod-data.ts';
import { type FormatJob, sharedFiles } from './depmod-format.ts';
import { orderModules } from './depmod-order.ts';
import { DepmodError, readInput, writeOutputs } from './depmod-output.ts';
import type { ModulePath } from './depmod-priority.ts';
import { DepmodReader } from './depmod-reader.ts';
import { bytesOf, hasNewerModule, reasonOf, scanModules } from './depmod-scan.ts';
import { type OutputInput, signaturesOf } from './depmod-signature.ts';
import { DepmodSymbols, type SymbolProblem } from './depmod-symbols.ts';
import { DEPMOD_FILES, type DepmodFile } from './depmod-write.ts';
import type { IndexLayout } from './index-build.ts';
import type { ModuleFacts } from './module-facts.ts';
import { parseSymvers, parseSystemMap, type SymbolList } from './symvers.ts';

export type DepmodOptions = {
  /** The tree: …/lib/modules/RELEASE. */
  readonly directory: string;
  /** The release that lines of the configuration are compared with. */
  readonly release: string;
  /** Where the indexes go; the tree when absent. It is made when it is not there. */
  readonly outdir?: string | undefined;
  /** Files and directories instead of depmod.d (`-C`). */
  readonly configPaths?: readonly string[] | undefined;
  /** Absolute paths of modules, instead of all modules of the tree. */
  readonly modules?: readonly string[] | undefined;
  /** Module.symvers (`-E`) or System.map (`-F`): what the kernel itself exports. */
  readonly symvers?: string | undefined;
  readonly systemMap?: string | undefined;
  /** Tell of symbols that nobody exports, and with `symvers` of versions that differ (`-e`). */
  readonly reportSymbols?: boolean;
  readonly symbolPrefix?: string | undefined;
  readonly warnDuplicates?: boolean;
  /** Do nothing where no module is newer than modules.dep (`-A`). */
  readonly quick?: boolean;
  /** The format of 34 and later, or that of kmod up to 33; with the latter goes its rule on duplicates in modules.order. */
  readonly layout?: IndexLayout;
  /** Threads that read modules. */
  readonly jobs?: number | undefined;
  /** Neither read nor write the cache. */
  readonly noCache?: boolean;
  /** Takes the text files instead of the disk (`-n`). */
  readonly print?: ((name: string, text: string) => void) | undefined;
  /** Hears which symbol makes a module need another one, by their paths; the first of several symbols. */
  readonly onNeed?: ((path: string, symbol: string, owner: string) => void) | undefined;
  /** Called where a whole tree is to be read, when its threads have started. */
  readonly beforeReading?: (() => void) | undefined;
  /** Hears how far the work has come, as a line. */
  readonly onProgress?: ((line: string) => void) | undefined;
};

export type DepmodResult = {
  /** `cycles`: modules need each other in circles, and nothing was written. */
  readonly outcome: 'written' | 'printed' | 'up-to-date' | 'cycles';
  readonly directory: string;
  readonly modules: number;
  /** How many of them came out of the cache. */
  readonly cached: number;
  readonly cycles: readonly (readonly string[])[];
};

/** Makes the indexes. Throws DepmodError; what concerns one file or line is logged. */
export async function depmod(system: System, options: DepmodOptions): Promise<DepmodResult> {
  const { directory, print, layout = 'pre-order', warnDuplicates = false } = options;
  const outdir = options.outdir ?? directory;
  const none: DepmodResult = { outcome: 'up-to-date', directory, modules: 0, cached: 0, cycles: [] };
  if (options.quick && (print || isUpToDate(directory, outdir, system))) return none;

  const reader = new DepmodReader(system, options.jobs);
  try {
    const cache = options.noCache ? undefined : CacheFile.open(outdir, print === undefined, system);
    try {
      const symbols = new DepmodSymbols(options.symbolPrefix);
      const checks = loadKernelSymbols(symbols, options, system);
      const isWhole = !cache?.hasEntries;
      // Then threads start while the tree is looked through.
      const onFile = isWhole ? (path: string) => reader.warmUpFor(path) : undefined;
      const modules = inOrder(findModules(options, onFile, system), options, system);
      if (isWhole) options.beforeReading?.();
      const facts = await loadFacts(modules, reader, cache, system, (done, total) => options.onProgress?.(`reading modules: ${done} of ${total}`));
      options.onProgress?.('making indexes');
      const reuse = cache && isPlain(options) ? new Reuse(cache, signaturesOf(modules, facts, layout)) : undefined;
      const stays = (input: OutputInput) => DEPMOD_FILES.every((file) => file.input !== input || reuse?.current.has(file) === true);
      const finish = print ? undefined : reader.format(formatJob(modules, facts, options, reuse));
      if (!stays('dependencies') || !stays('symbols')) facts.forEach((fact, index) => fact && symbols.addExports(index, fact));
      const needs = stays('dependencies') ? [] : dependencies(modules, facts, symbols, { ...checks, onNeed: options.onNeed }, system);
      if ('cycles' in needs) return { ...none, outcome: 'cycles', modules: modules.length, cycles: needs.cycles };
      const data = depmodData(modules, facts, needs, symbols, {
        builtin: readInput(directory, 'modules.builtin'), builtinModinfo: readInput(directory, 'modules.builtin.modinfo'),
      });
      const made = new Map(await finish?.(data, DEPMOD_FILES.filter((file) => file.input === 'dependencies' && !reuse?.current.has(file))));
      writeOutputs(data, {
        directory, outdir, layout, warnDuplicates, print, made,
        current: reuse?.current ?? new Set(), onWritten: (file, content) => reuse?.put(file, content),
      }, system);
      cache?.save();
      return { ...none, outcome: print ? 'printed' : 'written', modules: modules.length, cached: cache?.hits ?? 0 };
    } finally {
      cache?.close();
    }
  } finally {
    await reader.close();
  }
}

/** Whether the outputs come of the modules alone, with nothing to be told of them. */
function isPlain({ symvers, systemMap, symbolPrefix, warnDuplicates, print, onNeed }: DepmodOptions): boolean {
  return symvers === undefined && systemMap === undefined && symbolPrefix === undefined && !warnDuplicates && !print && !onNeed;
}

/** The outputs of an earlier run that would come out the same. */
class Reuse {
  readonly #cache: CacheFile;
  readonly #signatures: ReturnType<typeof signaturesOf>;
  readonly current: ReadonlySet<DepmodFile>;

  constructor(cache: CacheFile, signatures: ReturnType<typeof signaturesOf>) {
    this.#cache = cache;
    this.#signatures = signatures;
    this.current = new Set(DEPMOD_FILES.filter(({ name, input }) => input !== 'files' && cache.isCurrent(name, signatures[input])));
  }

  put({ name, input }: DepmodFile, content: Uint8Array): void {
    if (input !== 'files') this.#cache.putOutput(name, this.#signatures[input], content);
  }
}

/** What threads can format while we look for dependencies. */
function formatJob(
  modules: readonly ModulePath[], facts: readonly (ModuleFacts | undefined)[], options: DepmodOptions, reuse: Reuse | undefined,
): Omit<FormatJob, 'kind' | 'taken'> {
  const { symvers, systemMap, symbolPrefix, layout = 'pre-order', warnDuplicates = false } = options;
  const ownSymbols = symvers === undefined && systemMap === undefined && symbolPrefix === undefined;
  return {
    modules: modules.map(({ name, relative }) => ({ name, path: relative })), records: facts.map((fact) => fact?.record), layout, warnDuplicates,
    files: sharedFiles((file) => (file.input === 'info' || (file.input === 'symbols' && ownSymbols)) && reuse?.current.has(file) !== true),
  };
}

/** For each module all that it needs; or the circles, which are logged. */
function dependencies(
  modules: readonly ModulePath[], facts: readonly (ModuleFacts | undefined)[], symbols: DepmodSymbols, checks: Checks & Pick<DepmodOptions, 'onNeed'>, system: System,
): readonly (readonly number[])[] | { readonly cycles: readonly (readonly string[])[] } {
  const { onNeed } = checks;
  const pathOf = (index: number) => modules[index]?.path ?? '';
  const linked = linkModules(modules, facts, (fact, index) => {
    const onOwner = onNeed && ((owner: number, symbol: string) => onNeed(pathOf(index), symbol, pathOf(owner)));
    return symbols.needs(fact, checks.unknown ? reportOf(pathOf(index), checks, system) : undefined, onOwner);
  });
  if (linked.kind === 'linked') return linked.needs;
  for (const cycle of linked.cycles) say(system, `Cycle detected: ${[...cycle, cycle[0]].join(' -> ')}`);
  say(system, `Found ${linked.count} modules in dependency cycles!`);
  return { cycles: linked.cycles };
}

function isUpToDate(directory: string, outdir: string, system: System): boolean {
  try {
    const { mtimeMs } = statSync(join(outdir, 'modules.dep'));
    return !hasNewerModule(directory, mtimeMs, parseDepmodConfig([], ''), system.log);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    say(system, `could not fstatat(${outdir}, modules.dep): ${reasonOf(error)}`);
    return false;
  }
}

/** What -e is to report: nothing, unknown symbols, or versions too. */
type Checks = { readonly unknown: boolean; readonly versions: boolean };

function loadKernelSymbols(symbols: DepmodSymbols, options: DepmodOptions, system: System): Checks {
  const { symvers, systemMap, reportSymbols = false, symbolPrefix } = options;
  const file = symvers ?? systemMap;
  if (file === undefined) {
    if (reportSymbols) system.log.warn({ code: 'no-symbols', message: '-e needs -E or -F' });
    return { unknown: false, versions: false };
  }
  let text: string;
  try {
    text = readFileSync(file, 'latin1');
  } catch (error) {
    throw new DepmodError(`could not load ${file}: ${reasonOf(error)}`, { cause: error });
  }
  const found: SymbolList = symvers === undefined ? parseSystemMap(text, file, symbolPrefix) : parseSymvers(text, file);
  for (const { line, message } of found.problems) system.log.error({ code: 'bad-line', file, line, message });
  symbols.addKernelSymbols(found.symbols);
  return { unknown: reportSymbols, versions: reportSymbols && symvers !== undefined };
}

function findModules(options: DepmodOptions, onFile: ((path: string) => void) | undefined, system: System): Map<string, ModulePath> {
  if (options.modules) return namedModules(options.modules, options.directory, system);
  const config = loadDepmodConfig(options, system);
  try {
    return scanModules(options.directory, config, system.log, onFile);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    throw new DepmodError(`could not search modules: ${reasonOf(error)}`, { cause: error });
  }
}

function namedModules(paths: readonly string[], directory: string, system: System): Map<string, ModulePath> {
  const modules = new Map<string, ModulePath>();
  for (const path of paths) {
    if (!path.startsWith('/')) throw new DepmodError(`${path}: not absolute path.`);
    try {
      statSync(path);
    } catch (error) {
      throw new DepmodError(`could not create module ${path}: ${reasonOf(error)}`, { cause: error });
    }
    const name = bytesOf(moduleNameOfPath(path));
    if (modules.has(name)) {
      say(system, `hash_add_unique ${name}: File exists`);
      throw new DepmodError(`could not add module ${path}: File exists`);
    }
    const relative = bytesOf(path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path);
    modules.set(name, { name, path, relative });
  }
  return modules;
}

function loadDepmodConfig({ configPaths, release }: DepmodOptions, system: System): DepmodConfig {
  const paths = configPaths ?? configDirectories(system, 'depmod.d');
  const files: ConfigFile[] = listFiles(paths, system).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const texts = files.flatMap((file) => {
    const text = readText(file, system);
    return text === undefined ? [] : { file: file.path, text };
  });
  const config = parseDepmodConfig(texts, release);
  for (const { level, file, line, message } of config.problems) system.log[level]({ code: 'bad-line', file, line, message });
  return config;
}

function inOrder(modules: ReadonlyMap<string, ModulePath>, { directory, layout }: DepmodOptions, system: System): readonly ModulePath[] {
  const order = readInput(directory, 'modules.order', system);
  const duplicates = layout === 'post-order' ? 'last' : 'first';
  const ordered = orderModules(modules, { order, duplicates });
  if (ordered.corrupted !== undefined) say(system, `${directory}/modules.order:${ordered.corrupted} corrupted line misses '\\n'`);
  return ordered.modules;
}

/** The records of all modules; undefined for one that cannot be read, which is logged. */
async function loadFacts(
  modules: readonly ModulePath[], reader: DepmodReader, cache: CacheFile | undefined, system: System, onRead: (done: number, total: number) => void,
): Promise<(ModuleFacts | undefined)[]> {
  const keys = modules.map((module) => cache && keyOf(module));
  const facts: (ModuleFacts | undefined)[] = keys.map((key) => key && cache?.get(key));
  const missing = [...modules.keys()].filter((index) => facts[index] === undefined);
  const outcomes = await reader.read(missing.map((index) => ({ path: modules[index]?.path ?? '', size: keys[index]?.size })), onRead);
  missing.forEach((index, i) => {
    const outcome = outcomes[i];
    const path = modules[index]?.path ?? '';
    if (outcome && 'facts' in outcome) {
      facts[index] = outcome.facts;
    } else if (outcome) {
      say(system, `failed to load symbols from ${path}: ${outcome.failure}`);
      system.log.info({ code: 'bad-module', file: path, message: outcome.detail });
    }
  });
  keys.forEach((key, index) => {
    const fact = facts[index];
    if (key && fact) cache?.put({ key, facts: fact });
  });
  return facts;
}

function keyOf({ path, relative }: ModulePath): CacheKey | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats && { path: relative, inode: stats.ino, size: stats.size, mtime: stats.mtimeMs, ctime: stats.ctimeMs };
}

function reportOf(path: string, checks: Checks, system: System): (problem: SymbolProblem) => void {
  return ({ kind, symbol }) => {
    if (kind === 'unknown') {
      system.log.warn({ code: 'unknown-symbol', file: path, message: `${path} needs unknown symbol ${symbol}` });
    } else if (checks.versions) {
      system.log.warn({ code: 'symbol-version', file: path, message: `${path} disagrees about version of symbol ${symbol}` });
    }
  };
}

function say(system: System, message: string): void {
  system.log.error({ code: 'depmod', message });
}
