// Checks a bundle: every file readable and of its sum, every module a module, and the indexes those of just these modules.

import { FormatError, LimitError, messageOf, SystemError, UnsupportedError } from '../errors.ts';
import { checkFileSize } from '../image/file-range.ts';
import { moduleNameOfPath } from '../kmod/alias.ts';
import { DEPMOD_FILES } from '../kmod/depmod-write.ts';
import { formatIndexes, kernelLists, placedModule, readFacts } from '../kmod/fresh-indexes.ts';
import type { IndexLayout } from '../kmod/index-build.ts';
import { indexedModules } from '../kmod/layered-source.ts';
import { hasIndexes } from '../kmod/module-source.ts';
import type { Log, System } from '../system.ts';
import { MANIFEST_NAME, type ListedFile } from './manifest.ts';
import type { BundledFile, OpenBundle } from './read-bundle.ts';
import { breathe } from './whole-file.ts';

/** What is wrong with a file; `path` as `list` prints it. */
export type BundleProblem = { readonly path: string; readonly message: string };

/** Files and bytes that were read, and modules that were understood. */
export type Verification = { readonly modules: number; readonly files: number; readonly bytes: number; readonly checksums: number; readonly problems: readonly BundleProblem[] };

const ignore = (): void => undefined;
const SILENT: Log = { error: ignore, warn: ignore, notice: ignore, info: ignore, debug: ignore };
const PIECE = 4 * 1024 * 1024;
/** kmod before 33 does not write it. */
const MAY_BE_ABSENT = new Set(['modules.weakdep']);

/**
 * Reads all of a bundle. Images of others have no sums, and may have indexes as any kmod lays them out. Does not throw for damage: where the
 * directories themselves cannot be read, that is the one problem.
 */
export async function verifyBundle(
  system: System, bundle: OpenBundle, { onProgress, signal }: { readonly onProgress?: (text: string) => void; readonly signal?: AbortSignal } = {},
): Promise<Verification> {
  const { image, manifest } = bundle;
  const problems: BundleProblem[] = [];
  let files: readonly BundledFile[];
  try {
    files = bundle.files();
  } catch (error) {
    return { modules: 0, files: 0, bytes: 0, checksums: 0, problems: [{ path: image.path, message: damageOf(error) }] };
  }
  const listed = new Map(manifest?.files.map((file) => [file.path, file]));
  let [bytes, checksums] = [0, 0];
  for (const [index, file] of files.entries()) {
    if (index % 64 === 0) {
      onProgress?.(`reading files: ${index} of ${files.length}`);
      await breathe(signal);
    }
    try {
      const sum = await sumOf(bundle, file, signal);
      bytes += file.entry.size;
      const known = listed.get(file.path);
      if (known) checksums++;
      const message = manifest && file.kind !== 'other' && file.path !== MANIFEST_NAME ? differenceOf(known, file, sum) : undefined;
      if (message !== undefined) problems.push({ path: file.path, message });
    } catch (error) {
      problems.push({ path: file.path, message: damageOf(error) });
    }
    listed.delete(file.path);
  }
  for (const path of listed.keys()) problems.push({ path, message: `is missing: ${MANIFEST_NAME} has it` });
  const found = await moduleProblems(system, bundle, files, new Set(problems.map(({ path }) => path)), onProgress);
  return { modules: found.modules, files: files.length, bytes, checksums, problems: [...problems, ...found.problems] };
}

async function sumOf({ image }: OpenBundle, { entry }: BundledFile, signal: AbortSignal | undefined): Promise<number> {
  if (entry.kind === 'symlink') image.tree.readlink(entry);
  if (entry.kind !== 'file') return 0;
  checkFileSize(image, entry.size);
  const { crc32 } = process.getBuiltinModule('node:zlib');
  let sum = 0;
  for (let offset = 0; offset < entry.size; offset += PIECE) {
    const piece = image.tree.read(entry, offset, PIECE);
    if (piece.length !== Math.min(PIECE, entry.size - offset)) throw new FormatError({ file: image.path, offset: 0, expected: `${entry.size} bytes of ${entry.path}`, actual: `${offset + piece.length}` });
    sum = crc32(piece, sum);
    if (offset > 0) await breathe(signal);
  }
  return sum;
}

function differenceOf(known: ListedFile | undefined, { entry }: BundledFile, sum: number): string | undefined {
  if (known === undefined) return `is not in ${MANIFEST_NAME}`;
  if (known.size !== entry.size) return `has ${entry.size} bytes, and not ${known.size}`;
  return known.crc32 === sum ? undefined : `its contents were changed: CRC-32 ${hex(sum)}, and not ${hex(known.crc32)}`;
}

/** Of modules whose bytes are as they should be, and of indexes where all modules could be read. */
async function moduleProblems(
  system: System, bundle: OpenBundle, files: readonly BundledFile[], damaged: ReadonlySet<string>, onProgress: ((text: string) => void) | undefined,
): Promise<{ readonly modules: number; readonly problems: readonly BundleProblem[] }> {
  const { source } = bundle;
  const problems: BundleProblem[] = [];
  if (!hasIndexes(source)) return { modules: 0, problems: [{ path: 'modules.dep', message: 'is missing' }] };
  let modules;
  try {
    // What a damaged index makes of a look-up is no news: it is named itself.
    modules = indexedModules(source, { ...system, log: SILENT }).filter(({ relative }) => !relative.startsWith('/')).map((module) => placedModule(source, module));
  } catch (error) {
    return { modules: 0, problems: [{ path: 'modules.dep', message: damageOf(error) }] };
  }
  const names = new Set(modules.map(({ name }) => name));
  const paths = new Set(files.map(({ path }) => path));
  for (const { kind, path } of files) {
    // Of two files of one module depmod takes one.
    if (kind === 'module' && !names.has(moduleNameOfPath(path))) problems.push({ path, message: 'modules.dep does not name it' });
  }
  const present = modules.filter(({ relative }) => paths.has(relative));
  for (const { relative } of modules) if (!paths.has(relative) && !damaged.has(relative)) problems.push({ path: relative, message: 'modules.dep names it, and it is not there' });
  const facts = await readFacts(system, present, (done, total) => onProgress?.(`reading modules: ${done} of ${total}`));
  for (const { relative, path } of present) {
    const why = facts.unreadable.get(path);
    if (why && !damaged.has(relative)) problems.push({ path: relative, message: why.detail });
  }
  if (facts.unreadable.size > 0 || present.length < modules.length) return { modules: facts.facts.size, problems };
  onProgress?.('making indexes');
  try {
    const lists = kernelLists([source]);
    const made = new Map<IndexLayout, ReadonlyMap<string, Uint8Array>>();
    const expected = (layout: IndexLayout): ReadonlyMap<string, Uint8Array> => {
      const known = made.get(layout) ?? formatIndexes(source.name, present, facts, lists, layout);
      made.set(layout, known);
      return known;
    };
    for (const { name } of DEPMOD_FILES) {
      if (damaged.has(name)) continue;
      const index = files.find(({ path }) => path === name);
      const bytes = index && bundle.image.tree.read(index.entry);
      if (bytes === undefined) {
        if (!MAY_BE_ABSENT.has(name)) problems.push({ path: name, message: 'is missing' });
      } else if (!(['pre-order', 'post-order'] as const).some((layout) => Buffer.compare(bytes, expected(layout).get(name) ?? new Uint8Array()) === 0)) {
        problems.push({ path: name, message: 'does not agree with the modules: it was made of others' });
      }
    }
  } catch (error) {
    problems.push({ path: 'modules.dep', message: damageOf(error) });
  }
  return { modules: facts.facts.size, problems };
}

/** The text of an error that reading damaged data throws; others are ours, and go on. */
function damageOf(error: unknown): string {
  if ([FormatError, LimitError, UnsupportedError, SystemError].some((kind) => error instanceof kind)) return messageOf(error);
  throw error;
}

function hex(sum: number): string {
  return sum.toString(16).padStart(8, '0');
}
