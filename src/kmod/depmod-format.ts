// Formats outputs of depmod on several threads: each takes the next file that nobody has taken.

import { DepmodSymbols } from './depmod-symbols.ts';
import { DEPMOD_FILES, type DepmodData, type DepmodFile, formatFile, type FormattedFile } from './depmod-write.ts';
import type { IndexLayout } from './index-build.ts';
import { factsOf } from './module-facts.ts';

/** What a thread is to format. */
export type FormatJob = {
  readonly kind: 'format';
  readonly modules: readonly { readonly name: string; readonly path: string }[];
  /** Of each module; in shared memory, so that nothing is copied. */
  readonly records: readonly (Uint8Array | undefined)[];
  readonly layout: IndexLayout;
  readonly warnDuplicates: boolean;
  /** The names of the files, the costly ones first. */
  readonly files: readonly string[];
  /** One Int32: how many of the files have been taken. */
  readonly taken: SharedArrayBuffer;
};

/** Files by name. */
export type FormattedFiles = ReadonlyMap<string, FormattedFile>;

/** By the time that they take. Those that are made of dependencies are not here: only the thread that found these knows them. */
const COSTLY_FIRST = ['modules.alias.bin', 'modules.symbols.bin', 'modules.alias', 'modules.symbols', 'modules.softdep', 'modules.weakdep', 'modules.devname'];

/** The files of these inputs that threads can share, in the order in which they should be taken. */
export function sharedFiles(wanted: (file: DepmodFile) => boolean): string[] {
  return DEPMOD_FILES.filter((file) => COSTLY_FIRST.includes(file.name) && wanted(file)).map(({ name }) => name)
    .sort((a, b) => COSTLY_FIRST.indexOf(a) - COSTLY_FIRST.indexOf(b));
}

/** Formats the files that are only for us, then files of the job until all are taken. */
export function formatShare(job: FormatJob, data: DepmodData, own: readonly DepmodFile[] = []): FormattedFiles {
  const made = new Map<string, FormattedFile>(own.map((file) => [file.name, formatFile(file, data, job)]));
  const taken = new Int32Array(job.taken);
  for (let index = Atomics.add(taken, 0, 1); index < job.files.length; index = Atomics.add(taken, 0, 1)) {
    const file = DEPMOD_FILES.find(({ name }) => name === job.files[index]);
    if (file) made.set(file.name, formatFile(file, data, job));
  }
  return made;
}

/** What a thread knows that has nothing but the job: the modules, without their dependencies. */
export function dataOf({ modules, records }: FormatJob): DepmodData {
  const facts = records.map((record, index) => record && factsOf(record, modules[index]?.path ?? ''));
  let symbols: DepmodSymbols | undefined;
  return {
    modules: modules.map(({ name, path }, index) => ({ name, path, needs: [], facts: facts[index] })),
    symbols: {
      ordered(visit) {
        if (!symbols) {
          symbols = new DepmodSymbols();
          for (const [index, fact] of facts.entries()) if (fact) symbols.addExports(index, fact);
        }
        symbols.ordered(visit);
      },
    },
    builtin: undefined,
    builtinModinfo: undefined,
  };
}
