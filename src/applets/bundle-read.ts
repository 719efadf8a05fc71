// tskmod bundle list and info: what is in an image of modules.

import { type BundledFile, openBundle, type OpenBundle } from '../bundle/read-bundle.ts';
import { UsageError } from '../errors.ts';
import type { BundleRun } from './bundle.ts';
import { sizeText, table } from './bundle-text.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';

const PROGRAM = 'tskmod bundle';
export const READ_OPTIONS: readonly OptionSpec[] = [{ long: 'release', short: 'S', argument: 'required' }, { long: 'json' }];
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

async function withBundle(command: string, argv: readonly string[], context: BundleRun['context'], use: (bundle: OpenBundle, json: boolean) => void): Promise<number> {
  const { options, operands } = getopt(argv, READ_OPTIONS, PROGRAM);
  const [path] = operands;
  if (path === undefined || operands.length > 1) throw new UsageError(`${command}: ${path === undefined ? 'which file?' : `one file, not ${operands.length}`}`);
  const bundle = await openBundle(context.openSystem({}), path, options.findLast(({ name }) => name === 'release')?.value);
  try {
    use(bundle, options.some(({ name }) => name === 'json'));
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
