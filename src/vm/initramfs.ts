// The initramfs of a guest: dash and busybox, Node with its libraries, our bundle, the module tree, the caller's files and /init.

import { statSync } from 'node:fs';

import { UnsupportedError, UsageError } from '../errors.ts';
import { GUEST_COMMAND, GUEST_WRAPPER, guestCommand, guestInit, type GuestShare } from './guest-init.ts';
import { guestSystemEntries, nodeRuntime } from './guest-system.ts';
import { directoryEntry, fileEntry, sharedLibraries, textEntry, treeEntries, type GuestEntry } from './guest-tree.ts';
import type { Kernel } from './kernel.ts';
import { appendSegment, cachedSegment, joinSegments } from './segment.ts';

/** A file or directory of the host and where a guest has it. */
export type GuestFile = {
  readonly source: string;
  /** Absolute in the guest. */
  readonly target: string;
  /** The source is a program: its shared libraries come along. */
  readonly withLibraries?: boolean | undefined;
};

export type InitramfsOptions = {
  readonly kernel: Kernel;
  readonly cacheDirectory: string;
  /** All modules of the kernel (the default), or those at these paths relative to the tree. The indexes always come along. */
  readonly modules?: 'all' | readonly string[] | undefined;
  /** The Node of the guest: this process's own when absent, none when false. */
  readonly node?: string | false | undefined;
  /** The bundle of the CLI: dist/tskmod.cjs when absent and built, none when false. */
  readonly bundle?: string | false | undefined;
  readonly files?: readonly GuestFile[] | undefined;
  /** Directories whose contents go to the root. Later ones win. */
  readonly overlays?: readonly string[] | undefined;
  /** What kernel.modprobe is set to: our modprobe (the default where the bundle is), nothing, or a path in the guest. */
  readonly helper?: 'ours' | 'none' | string | undefined;
  /** A whole /lib/modules in one file, which the guest has in /boot instead of a tree. */
  readonly modulesFile?: string | undefined;
  readonly shares?: readonly GuestShare[] | undefined;
  readonly command: string | readonly string[];
  readonly environment?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Writes the initramfs to `path` and returns its size. The parts that do not change from run to run are kept in the cache as
 * segments; the kernel unpacks segments in their order, so what comes later wins. It is not compressed: decompression by an
 * emulated processor costs more than reading.
 */
export async function writeInitramfs(path: string, options: InitramfsOptions): Promise<number> {
  const { kernel, cacheDirectory, signal, command, environment } = options;
  const node = options.node === false ? undefined : options.node ?? process.execPath;
  const runtime = node === undefined ? undefined : await nodeRuntime(node, options.bundle, signal);
  const own = runtime?.bundle ?? [];
  const base = [...(await guestSystemEntries(signal)), ...(runtime?.node ?? [])];
  const helper = helperPath(options.helper ?? (own.length > 0 ? 'ours' : 'none'), own.length > 0);
  const changing = [
    ...own,
    textEntry(GUEST_COMMAND, guestCommand(command), 0o755),
    textEntry('/init', guestInit({ helper, environment, shares: options.shares, libraryPath: runtime?.libraryPath }), 0o755),
    ...(await callersEntries(options)),
  ];
  await joinSegments(path, [
    await cachedSegment(cacheDirectory, 'modules', options.modulesFile === undefined ? moduleEntries(kernel, options.modules ?? 'all') : fileOfModules(options.modulesFile, kernel)),
    await cachedSegment(cacheDirectory, 'base', base),
  ]);
  appendSegment(path, changing);
  return statSync(path).size;
}

function fileOfModules(file: string, { release, image }: Kernel): GuestEntry[] {
  if (release === undefined) throw new UnsupportedError(`${image}: its release is not known, and the tools look for /boot/modules-RELEASE: call it vmlinuz-RELEASE`);
  return [fileEntry(file, `/boot/modules-${release}.image`)];
}

function moduleEntries({ release, modules }: Kernel, wanted: 'all' | readonly string[]): GuestEntry[] {
  if (modules === undefined || release === undefined) {
    if (wanted !== 'all' && wanted.length > 0) throw new UsageError('modules are wanted, but the kernel has no module directory');
    return [];
  }
  const target = `/lib/modules/${release}`;
  const missing = new Set(wanted === 'all' ? [] : wanted);
  const entries = treeEntries(modules, target, (relative) => {
    // Links to the kernel's sources, which the guest does not have.
    if (relative === 'build' || relative === 'source') return false;
    return wanted === 'all' || missing.delete(relative) || /^modules\.[^/]+$/.test(relative);
  });
  const [first] = missing;
  if (first !== undefined) throw new UsageError(`${first}: no such file in ${modules}`);
  return entries;
}

async function callersEntries({ files = [], overlays = [], signal }: InitramfsOptions): Promise<GuestEntry[]> {
  const entries = overlays.flatMap((directory) => treeEntries(directory, '/'));
  for (const { source, target, withLibraries } of files) {
    if (statSync(source).isDirectory()) entries.push(directoryEntry(target), ...treeEntries(source, target));
    else entries.push(fileEntry(source, target));
    if (withLibraries) entries.push(...(await sharedLibraries(source, signal)).map((library) => fileEntry(library, library)));
  }
  return entries;
}

function helperPath(helper: string, hasBundle: boolean): string {
  if (helper === 'none') return '';
  if (helper !== 'ours') return helper;
  if (!hasBundle) throw new UnsupportedError("the guest cannot have our modprobe as the kernel's helper: dist/tskmod.cjs is not built: run npm run build");
  return GUEST_WRAPPER;
}
