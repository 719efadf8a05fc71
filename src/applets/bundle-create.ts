// tskmod bundle create and add: read what is asked, make the file, and print its sizes.

import { UsageError } from '../errors.ts';
import { type BundleReport, planBundle, releaseAt, writePlanned } from '../bundle/create.ts';
import { abortable } from '../bundle/whole-file.ts';
import { BUNDLE_FORMATS, type BundleFormat, requireWriter } from '../bundle/write-image.ts';
import { splitPatterns } from '../kmod/select.ts';
import type { SelectOptions } from '../kmod/select-reader.ts';
import { postponeOptimising } from '../udev/late-optimiser.ts';
import type { BundleRun } from './bundle.ts';
import { sizeText, table } from './bundle-text.ts';
import { CREATE_OPTIONS, READ_OPTIONS } from './bundle-options.ts';
import { getopt } from './getopt.ts';
import { jsonLine } from './json.ts';
import { selectionIn } from './select-options.ts';

const PROGRAM = 'tskmod bundle';

/** What `create` was asked. */
export type CreateRequest = {
  /** undefined with `explain` alone: then nothing is written. */
  readonly output: string | undefined;
  readonly explain: boolean;
  readonly release: string | undefined;
  readonly modules: readonly string[];
  readonly format: BundleFormat;
  readonly select: SelectOptions | undefined;
  /** As it was typed, for the manifest. */
  readonly selected: readonly string[];
  readonly json: boolean;
};

/** Throws a UsageError. */
export function parseCreate(argv: readonly string[]): CreateRequest {
  const { options, operands } = getopt(argv, CREATE_OPTIONS, PROGRAM);
  const all = (name: string): string[] => options.filter((option) => option.name === name).map(({ value }) => value);
  const [operand] = operands;
  if (operand !== undefined) throw new UsageError(`create ${operand}: the file is named with -o, the modules with --from`);
  const output = all('output').at(-1);
  const explain = all('explain').length > 0;
  if (output === undefined && !explain) throw new UsageError('where to? Name a file with -o');
  const wanted = all('format').at(-1) ?? 'erofs';
  const format = BUNDLE_FORMATS.find((name) => name === wanted);
  if (format === undefined) throw new UsageError(`--format ${wanted}: there are ${BUNDLE_FORMATS.join(', ')}`);
  const { select, machines } = selectionIn(options);
  const isAll = select.length + machines.length === 0;
  const [weakdeps, firmware] = [all('weakdeps').length > 0, all('firmware').length > 0];
  const request = { ...splitPatterns(isAll ? ['**'] : select), machines, weakdeps, firmware };
  return {
    output, format, explain, release: all('release').at(-1), modules: [...all('from').slice(-1), ...all('modules')], json: all('json').length > 0,
    // Firmware of all modules, and reasons, are those of a selection of them all.
    select: isAll && !firmware && !explain ? undefined : request,
    selected: options.flatMap(({ name, value }) => (['select', 'machine'].includes(name) ? [`--${name}=${value}`] : ['weakdeps', 'firmware'].includes(name) ? [`--${name}`] : [])),
  };
}

export async function bundleCreate({ argv, context, progress, signal }: BundleRun): Promise<number> {
  const { output, explain, release, modules, format, select, selected, json } = parseCreate(argv);
  const mtime = epochOf(context.env['SOURCE_DATE_EPOCH']);
  const onProgress = (text: string): void => progress.show(text);
  // Before all modules are read in vain.
  if (output !== undefined) requireWriter(format);
  const [place] = modules;
  const told = release ?? (place === undefined ? undefined : await releaseAt(context.openSystem({}), place));
  // Files are copied before compiled code pays; reading modules, which shows its progress first, takes longer.
  const compile = postponeOptimising({ events: 1 });
  const contents = await abortable(planBundle(context.openSystem(told === undefined ? {} : { release: told }), {
    modules, select, onProgress: (text) => {
      compile();
      onProgress(text);
    },
  }), signal);
  try {
    if (explain && contents.selection) {
      const { explainJson, explainText } = await import('./bundle-explain.ts');
      progress.clear();
      context.stdout(json ? explainJson(contents.selection) : explainText(contents.selection));
    }
    if (output === undefined) return 0;
    const report = await writePlanned(output, contents, { format, mtime, selected, signal, onProgress });
    progress.clear();
    context.stdout(json ? jsonLine('bundle', report) : reportText(report));
    return 0;
  } finally {
    contents.close?.();
  }
}

export async function bundleAdd({ argv, context, progress, signal }: BundleRun): Promise<number> {
  const { options, operands: [path, ...files] } = getopt(argv, READ_OPTIONS, PROGRAM);
  if (path === undefined || files.length === 0) throw new UsageError(`add: ${path === undefined ? 'to which file?' : 'which modules?'}`);
  const { openBundle } = await import('../bundle/read-bundle.ts');
  const { planAddition } = await import('../bundle/add.ts');
  const onProgress = (text: string): void => progress.show(text);
  const system = context.openSystem({});
  const bundle = await openBundle(system, path, options.findLast(({ name }) => name === 'release')?.value);
  try {
    const { contents, format, added, warnings } = await abortable(planAddition(system, bundle, files, onProgress), signal);
    const epoch = context.env['SOURCE_DATE_EPOCH'];
    const mtime = epoch === undefined ? bundle.image.tree.entry(bundle.directory)?.mtime ?? 0 : epochOf(epoch);
    // What replaces it is written beside it, and read out of it: it stays open until then.
    const report = await writePlanned(path, contents, { format, mtime, selected: bundle.manifest?.selected ?? [], signal, onProgress });
    progress.clear();
    for (const warning of warnings) context.stderr(`${PROGRAM}: warning: ${warning}\n`);
    if (options.some(({ name }) => name === 'json')) context.stdout(jsonLine('bundle', { ...report, added }));
    else context.stdout(added.map((one) => `${one.replaces === undefined ? 'added' : 'replaced'}  ${one.path}\n`).join('') + reportText(report));
    return 0;
  } finally {
    bundle.close();
  }
}

/** reproducible-builds.org: a number of seconds; it is an error to take anything else for it. */
export function epochOf(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  // What an inode of every format can hold.
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0x7fff_ffff) throw new UsageError(`SOURCE_DATE_EPOCH=${text}: not seconds since 1970, up to 2147483647`);
  return Number(text);
}

function reportText({ path, size, format, release, module, index, firmware, indexes, missingFirmware }: BundleReport): string {
  return table([
    ['modules', sizeText(module.bytes), `${module.files} of ${release}`],
    ['indexes', sizeText(index.bytes), indexes === 'kept' ? 'those that were there, which are current' : 'made anew'],
    ...(firmware.files + missingFirmware.length === 0 ? [] : [['firmware', sizeText(firmware.bytes), `${firmware.files} files; ${missingFirmware.length} that modules name are not on this machine`]]),
    [path, sizeText(size), format],
  ]);
}
