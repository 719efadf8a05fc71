// Kernels to boot: a file of the user's, or the newest Debian package of a series, unpacked into the cache and never installed.

import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { UnsupportedError, UsageError } from '../errors.ts';
import { cached } from './cache.ts';
import { failureOf, findTool, requireTool, runTool } from './host-tool.ts';

/** A kernel image with its modules. */
export type Kernel = {
  /** As uname -r prints it; undefined for an image that was given without modules. */
  readonly release: string | undefined;
  /** The bzImage (vmlinuz) or an ELF vmlinux. */
  readonly image: string;
  /** The directory that modules.dep is in. */
  readonly modules: string | undefined;
};

export type KernelOptions = {
  /** `6.12`, `6.1`, `6.12-cloud`: a series of Debian packages; anything with a slash, or an existing file: an image. */
  readonly kernel: string;
  /** The module tree of an image: `…/lib/modules/RELEASE`. Looked for beside the image when absent. */
  readonly modules?: string | undefined;
  readonly cacheDirectory: string;
  readonly signal?: AbortSignal | undefined;
  /** Called with one line before something slow is done. */
  readonly onProgress?: ((line: string) => void) | undefined;
};

/** Debian's names of the machines that a guest can be. */
const DEBIAN_ARCHITECTURE = 'amd64';

/**
 * The kernel that `options` ask for. A series that the cache holds is taken from there, newest first; otherwise apt-get downloads
 * the newest package of it. Throws an UnsupportedError that says what to do where neither is possible.
 */
export async function findKernel(options: KernelOptions): Promise<Kernel> {
  const { kernel } = options;
  if (kernel.includes('/') || existsSync(kernel)) return imageKernel(kernel, options.modules);
  const series = parseSeries(kernel);
  if (series === undefined) throw new UsageError(`${kernel}: neither a file nor a kernel series such as 6.12, 6.1 or 6.12-cloud`);
  if (options.modules !== undefined) throw new UsageError(`modules of ${kernel} come with its package; name a kernel image to use others`);
  const kernels = join(options.cacheDirectory, 'kernels');
  const unpacked = existsSync(kernels) ? await readdir(kernels) : [];
  const [newest] = newestFirst(unpacked, series);
  return packageKernel(newest === undefined ? await fetchNewest(kernels, series, options) : join(kernels, newest));
}

/**
 * The names of `names` that are kernel packages of a series (`6.12`, `6.12-cloud`), newest first. A name may go on with `_VERSION`,
 * as the directories of the cache do. Debian's names: linux-image-6.1.0-49-amd64, linux-image-6.12.57+deb13-cloud-amd64.
 */
export function kernelPackages(names: readonly string[], series: string): string[] {
  const parsed = parseSeries(series);
  return parsed === undefined ? [] : newestFirst(names, parsed);
}

type Series = { readonly version: string; readonly flavour: string };

function parseSeries(text: string): Series | undefined {
  const match = /^(\d+\.\d+)(?:-(cloud|rt))?$/.exec(text);
  return match ? { version: match[1] ?? '', flavour: match[2] ?? '' } : undefined;
}

function newestFirst(names: readonly string[], { version, flavour }: Series): string[] {
  const pattern = new RegExp(
    `^linux-image-${version.replace('.', '\\.')}\\.(\\d+)(?:\\+[a-z]+(\\d*))?(?:-(\\d+))?` +
      `${flavour === '' ? '' : `-${flavour}`}-${DEBIAN_ARCHITECTURE}(?:_(.*))?$`,
  );
  return names
    .map((name) => ({ name, match: pattern.exec(name) }))
    .filter(({ match }) => match !== null)
    .map(({ name, match }) => ({ name, numbers: [1, 3, 2].map((group) => Number(match?.[group] ?? 0)), rest: match?.[4] ?? '' }))
    .sort((a, b) => compareNumbers(b.numbers, a.numbers) || (a.rest < b.rest ? 1 : a.rest > b.rest ? -1 : 0))
    .map(({ name }) => name);
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function imageKernel(image: string, modules: string | undefined): Kernel {
  if (!existsSync(image)) throw new UsageError(`${image}: no such kernel image`);
  if (modules !== undefined) {
    if (!existsSync(modules)) throw new UsageError(`${modules}: no such module directory`);
    return { image, modules, release: basename(modules) };
  }
  const release = /^vmlinuz-(.+)$/.exec(basename(image))?.[1];
  const beside = release === undefined ? [] : moduleDirectories(join(image, '../..'), release);
  return { image, release, modules: beside.find((directory) => existsSync(directory)) };
}

/** The kernel of an unpacked package. */
async function packageKernel(directory: string): Promise<Kernel> {
  const boot = join(directory, 'boot');
  const image = existsSync(boot) ? (await readdir(boot)).find((name) => name.startsWith('vmlinuz-')) : undefined;
  if (image === undefined) throw new UnsupportedError(`${directory}: no boot/vmlinuz-* in it: remove it to fetch it again`);
  return imageKernel(join(boot, image), undefined);
}

async function fetchNewest(kernels: string, series: Series, options: KernelOptions): Promise<string> {
  const { signal } = options;
  const what = `Linux ${options.kernel}`;
  const [aptCache, aptGet, dpkg] = ['apt-cache', 'apt-get', 'dpkg'].map((name) => findTool(name));
  if (aptCache === undefined || aptGet === undefined || dpkg === undefined) {
    throw new UnsupportedError(`${what} comes from Debian's archive, and apt is not here: name a kernel image and its module directory`);
  }
  const search = await runTool(aptCache, ['search', '--names-only', `^linux-image-${series.version.replace('.', '\\.')}\\.`], { signal });
  const [name] = newestFirst(search.stdout.split('\n').map((line) => line.split(' ')[0] ?? ''), series);
  if (name === undefined) {
    throw new UnsupportedError(`${what}: apt knows no such package: run apt-get update, or name a kernel image and its module directory`);
  }
  const show = await runTool(aptCache, ['show', '--no-all-versions', name], { signal });
  const version = /^Version: (\S+)$/m.exec(show.stdout)?.[1];
  if (version === undefined || version.includes('/')) throw new UnsupportedError(`${what}: apt-cache show ${name} gives no version: ${failureOf(show)}`);
  return cached(join(kernels, `${name}_${version}`), async (temporary) => {
    options.onProgress?.(`fetching ${name} ${version}`);
    await mkdir(temporary);
    // apt-get downloads into the current directory.
    const download = await runTool(aptGet, ['download', '-q', `${name}=${version}`], { cwd: temporary, signal });
    if (download.status !== 0) throw new UnsupportedError(`apt-get download ${name}: ${failureOf(download)}: run apt-get update`);
    await unpack(dpkg, temporary, options);
  });
}

async function unpack(dpkg: string, directory: string, options: KernelOptions): Promise<void> {
  const { signal } = options;
  const deb = (await readdir(directory)).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new UnsupportedError(`apt-get download left no package in ${directory}`);
  options.onProgress?.(`unpacking ${deb}`);
  const extract = await runTool(dpkg, ['-x', join(directory, deb), directory], { signal });
  if (extract.status !== 0) throw new UnsupportedError(`dpkg -x ${deb}: ${failureOf(extract)}`);
  await rm(join(directory, deb));
  const { release, modules } = await packageKernel(directory);
  if (release === undefined || modules === undefined) throw new UnsupportedError(`${deb}: holds no modules`);
  if (existsSync(join(modules, 'modules.dep.bin'))) return;
  // Debian's packages leave the indexes to their postinst script. depmod wants lib/modules, wherever /usr has been merged to.
  const base = modules.includes('/usr/lib/modules/') ? join(directory, 'usr') : directory;
  const depmod = await runTool(requireTool('depmod', 'kmod'), ['-b', base, release], { signal });
  if (depmod.status !== 0) throw new UnsupportedError(`depmod -b ${base} ${release}: ${failureOf(depmod)}`);
}

function moduleDirectories(root: string, release: string): string[] {
  return [join(root, 'lib/modules', release), join(root, 'usr/lib/modules', release)];
}
