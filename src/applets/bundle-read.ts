// tskmod bundle list, info, verify and extract: what is in an image of modules.

import { type BundledFile, openBundle, type OpenBundle } from '../bundle/read-bundle.ts';
import { UsageError } from '../errors.ts';
import type { BundleRun } from './bundle.ts';
import { sizeText, table } from './bundle-text.ts';
import { EXTRACT_OPTIONS, READ_OPTIONS } from './bundle-options.ts';
import { getopt } from './getopt.ts';
import { jsonLine } from './json.ts';

const PROGRAM = 'tskmod bundle';
const KINDS = ['module', 'index', 'firmware', 'other'] as const;

export async function bundleList({ argv, context }: BundleRun): Promise<number> {
  return withBundle('list', argv, context, ({ files }, json) => {
    const found = files();
    if (json) context.stdout(found.map(({ kind, path, entry }) => jsonLine('bundle-file', { type: kind, path, bytes: entry.size })).join(''));
    else context.stdout(listText(found));
  });
}

export async function bundleInfo({ argv, context }: BundleRun): Promise<number> {
  return withBundle('info', argv, context, (bundle, json) => {
    const found = bundle.files();
    const sized = Object.fromEntries(KINDS.map((kind) => [kind, sizedOf(found, kind)])) as Record<(typeof KINDS)[number], ReturnType<typeof sizedOf>>;
    const { image: { path, size, tree }, release, directory, manifest } = bundle;
    const facts = {
      path, format: tree.format, release, directory, size, ...sized,
      builder: manifest?.builder ?? null, selected: manifest?.selected ?? [], checksums: manifest?.files.length ?? 0, mtime: tree.entry(directory)?.mtime ?? 0,
    };
    context.stdout(json ? jsonLine('bundle', facts) : infoText(facts));
  });
}

type Facts = Record<(typeof KINDS)[number], { readonly files: number; readonly bytes: number }> & {
  readonly path: string; readonly format: string; readonly release: string; readonly directory: string; readonly size: number;
  readonly builder: string | null; readonly selected: readonly string[]; readonly checksums: number; readonly mtime: number;
};

async function withBundle(command: string, argv: readonly string[], context: BundleRun['context'], use: (bundle: OpenBundle, json: boolean) => void | Promise<void>): Promise<number> {
  const { options, operands } = getopt(argv, READ_OPTIONS, PROGRAM);
  const [path] = operands;
  if (path === undefined || operands.length > 1) throw new UsageError(`${command}: ${path === undefined ? 'which file?' : `one file, not ${operands.length}`}`);
  const bundle = await openBundle(context.openSystem({}), path, options.findLast(({ name }) => name === 'release')?.value);
  try {
    await use(bundle, options.some(({ name }) => name === 'json'));
    return 0;
  } finally {
    bundle.close();
  }
}

function sizedOf(files: readonly BundledFile[], kind: BundledFile['kind']): { readonly files: number; readonly bytes: number } {
  const those = files.filter((file) => file.kind === kind);
  return { files: those.length, bytes: those.reduce((sum, { entry }) => sum + entry.size, 0) };
}

function listText(files: readonly BundledFile[]): string {
  const width = Math.max(0, ...files.map(({ entry }) => `${entry.size}`.length));
  return files.map(({ path, entry }) => `${`${entry.size}`.padStart(width)}  ${path}\n`).join('');
}

function infoText(facts: Facts): string {
  const { path, format, release, directory, size, builder, selected, checksums, mtime } = facts;
  return table([
    [path, sizeText(size), format],
    ['release', '', `${release}, in ${directory === '' ? 'the root' : directory}`],
    ...KINDS.flatMap((kind) => (facts[kind].files === 0 ? [] : [[kind, sizeText(facts[kind].bytes), `${facts[kind].files} ${facts[kind].files === 1 ? 'file' : 'files'}`]])),
    ['time', '', new Date(mtime * 1000).toISOString().replace('.000Z', 'Z')],
    ['made by', '', builder === null ? 'somebody else: it has no sums' : `${builder}, with the sums of ${checksums} files`],
    ...selected.map((text) => ['selected', '', text]),
  ]);
}

export async function bundleVerify({ argv, context, progress, signal }: BundleRun): Promise<number> {
  const { verifyBundle } = await import('../bundle/verify.ts');
  let agrees = true;
  await withBundle('verify', argv, context, async (bundle, json) => {
    const { path } = bundle.image;
    const { abortable } = await import('../bundle/whole-file.ts');
    const verifying = verifyBundle(context.openSystem({ release: bundle.release }), bundle, { onProgress: (text) => progress.show(text), signal });
    const verified = await abortable(verifying, signal);
    progress.clear();
    agrees = verified.problems.length === 0;
    if (json) {
      context.stdout(jsonLine('verification', { path, release: bundle.release, ...verified }));
      return;
    }
    for (const problem of verified.problems) context.stderr(`${path}: ${problem.path}: ${problem.message}\n`);
    const { modules, files, bytes, checksums, problems } = verified;
    context.stdout(agrees
      ? `${path}: ${modules} modules of ${bundle.release}, ${files} files, ${sizeText(bytes)}: all agree${checksums === 0 ? '; it has no sums' : ''}\n`
      : `${path}: ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}\n`);
  });
  return agrees ? 0 : 1;
}

export async function bundleExtract({ argv, context, progress, signal }: BundleRun): Promise<number> {
  const { options, operands: [path, ...globs] } = getopt(argv, EXTRACT_OPTIONS, PROGRAM);
  if (path === undefined) throw new UsageError('extract: which file?');
  const directory = options.findLast(({ name }) => name === 'directory')?.value ?? '.';
  const { extractBundle } = await import('../bundle/extract.ts');
  const { minimatch } = await import('minimatch');
  const bundle = await openBundle(context.openSystem({}), path, options.findLast(({ name }) => name === 'release')?.value);
  try {
    const prefix = bundle.directory === '' ? '' : `${bundle.directory}/`;
    const used = new Set<string>();
    const matches = (at: string): boolean => {
      const below = at.startsWith(prefix) ? at.slice(prefix.length) : at;
      const matching = globs.filter((glob) => minimatch(at, glob) || minimatch(below, glob) || minimatch(below.replace(/\.ko(?:\.\w+)?$/, ''), glob));
      for (const glob of matching) used.add(glob);
      return matching.length > 0;
    };
    const { files, bytes, leftOut } = await extractBundle(bundle, directory, {
      signal, matches: globs.length === 0 ? undefined : matches, onProgress: (done, total) => progress.show(`extracting ${Math.floor((done / Math.max(1, total)) * 100)} %`),
    });
    progress.clear();
    for (const at of leftOut) context.stderr(`${PROGRAM}: ${path}: ${at}: left out: a device, or a link that leads out of the image\n`);
    const unused = globs.find((glob) => !used.has(glob));
    if (unused !== undefined) throw new UsageError(`extract ${unused}: ${path} has no such file`);
    if (options.some(({ name }) => name === 'json')) context.stdout(jsonLine('extraction', { path, directory, files, bytes, leftOut }));
    return 0;
  } finally {
    bundle.close();
  }
}
