// The module files of a tree, looked into on demand: their facts, and which of their symbols would not resolve in this kernel.

import { readFileSync } from 'node:fs';

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError } from '../errors.ts';
import type { System } from '../system.ts';
import { moduleNameOfPath } from './alias.ts';
import { type ImageFacts, readImageFacts } from './image-facts.ts';
import { ImageReader } from './image-reader.ts';
import { readKernelSymbols } from './kernel-symbols.ts';
import { LiveModules } from './live.ts';
import type { ModuleDb } from './module-db.ts';
import { checkSymbols, type SymbolProblem } from './symbol-check.ts';

/** Facts of a file, or the error that reading it gave. */
export type Examined = { readonly facts: ImageFacts; readonly error?: undefined } | { readonly facts?: undefined; readonly error: unknown };

/** The modules that are looked at before one is found that the kernel, or else the tree, can be known by. */
const WITNESSES_TRIED = 8;

export class TreeImages {
  readonly #system: System;
  readonly #db: ModuleDb;
  readonly #reader: ImageReader;
  readonly #live: LiveModules;
  readonly #examined = new Map<string, Promise<Examined>>();
  #candidates: readonly string[] | undefined;

  constructor(system: System, db: ModuleDb) {
    this.#system = system;
    this.#db = db;
    this.#reader = new ImageReader(system, { jobs: 1, source: db.source });
    this.#live = new LiveModules(system);
  }

  /** The modules of this tree are those of the kernel that runs. Where /proc does not tell, there is none to disagree. */
  get isRunning(): boolean {
    return (runningRelease(this.#system) ?? this.#system.release) === this.#system.release;
  }

  isLoaded(module: string): boolean {
    return this.isRunning && this.#live.state(module) === 'live';
  }

  /** Each file is read once. */
  examine(path: string): Promise<Examined> {
    const found = this.#examined.get(path) ?? this.#read(path);
    this.#examined.set(path, found);
    return found;
  }

  /** A module of the tree that is loaded, or else one of the kernel's own: what it says of the kernel is so. */
  async witness(except: string): Promise<{ module: string; facts: ImageFacts } | undefined> {
    const candidates = (this.#candidates ??= this.#findCandidates());
    for (const module of candidates) {
      const facts = module === except ? undefined : await this.#factsOf(module);
      // One that is not loaded may be as wrong as the module in question.
      if (facts && (this.isLoaded(module) || facts.vermagic?.split(' ')[0] === this.#system.release)) return { module, facts };
    }
    return undefined;
  }

  /** What would not resolve if the module was loaded now; after what it needs, where `problem.listed`. */
  async symbolProblems(module: string, facts: ImageFacts): Promise<SymbolProblem[]> {
    const listed = new Set(this.#db.dependencies(module)?.needs.map(moduleNameOfPath));
    const exporters = new Map<string, readonly string[]>();
    const neighbours = new Map<string, ImageFacts | undefined>();
    for (const { name } of facts.needs) {
      const modules = this.#db.symbols(`symbol:${name}`).map(({ value }) => value);
      exporters.set(name, modules);
      for (const each of modules) if (!neighbours.has(each)) neighbours.set(each, await this.#factsOf(each));
    }
    const ofKernel = new Set(facts.needs.filter(({ name }) => exporters.get(name)?.length === 0).map(({ name }) => name));
    return checkSymbols(module, facts, {
      exporters: (symbol) => exporters.get(symbol) ?? [],
      facts: (each) => neighbours.get(each),
      isLoaded: (each) => this.isLoaded(each),
      isListed: (each) => listed.has(each),
      kernel: readKernelSymbols(this.#system, this.#db.source, ofKernel, this.isRunning),
      witness: await this.witness(module),
    });
  }

  async #factsOf(module: string): Promise<ImageFacts | undefined> {
    const path = this.#db.dependencies(module)?.path;
    return path === undefined ? undefined : (await this.examine(this.#db.source.resolve(path))).facts;
  }

  async #read(path: string): Promise<Examined> {
    try {
      return { facts: await this.#reader.use(path, (image) => readImageFacts(image, path)) };
    } catch (error) {
      const foreseen = error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError || codeOf(error) !== undefined;
      if (!foreseen) throw error;
      return { error };
    }
  }

  #findCandidates(): string[] {
    const loaded = this.isRunning ? this.#loadedNames() : [];
    return (loaded.length > 0 ? loaded : this.#ownNames()).slice(0, WITNESSES_TRIED);
  }

  #loadedNames(): string[] {
    return (readText(this.#system, `${this.#system.roots.proc}/modules`) ?? '').split('\n')
      .map((line) => line.slice(0, line.indexOf(' '))).filter((module) => module !== '' && this.#db.dependencies(module));
  }

  /** Below kernel/ the distribution's own modules are; updates/ and extra/ have others'. */
  #ownNames(): string[] {
    const text = this.#db.source.readText('modules.dep') ?? '';
    return [...text.matchAll(/^(kernel\/[^:\n]+):/gm)].map((match) => moduleNameOfPath(match[1] ?? ''));
  }
}

/** The release of the kernel that runs, as its own /proc has it. */
export function runningRelease(system: System): string | undefined {
  return readText(system, `${system.roots.proc}/sys/kernel/osrelease`)?.trim();
}

/** Whether the modules that are meant are those of the kernel that runs; a machine that does not say what runs is taken to mean its own. */
export function isOfRunningKernel(system: System): boolean {
  const running = runningRelease(system);
  return running === undefined || running === system.release;
}

/** The text of a small file of /proc or /sys; undefined where it is absent or not for us. */
export function readText(system: System, file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) !== 'ENOENT') system.log.debug({ code: 'unreadable', file, message: `could not read ${file}: ${messageOf(error)}` });
    return undefined;
  }
}
