// The initramfs of a guest: dash and busybox, Node with its libraries, our bundle, the module tree, the caller's files and /init.

import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { UnsupportedError, UsageError } from '../errors.ts';
import {
  BUSYBOX_APPLETS_NEEDED, GUEST_BUNDLE, GUEST_CODE_CACHE, GUEST_COMMAND, GUEST_DIRECTORIES, GUEST_KOFFI, GUEST_NODE, GUEST_PARTS, GUEST_RULES,
  GUEST_TEXTS, GUEST_WRAPPER, guestCommand, guestInit, guestWrapper, VMCTL,
} from './guest-init.ts';
import {
  directoryEntry, fileEntry, libraryPath, linkEntry, sharedLibraries, textEntry, treeEntries, type GuestEntry,
} from './guest-tree.ts';
import { requireTool, runTool } from './host-tool.ts';
import type { Kernel } from './kernel.ts';
import { findBundle, findKoffi, findRules } from './own-files.ts';
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
  readonly command: string | readonly string[];
  readonly environment?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Applets of busybox that must not shadow anything, and those that the kernel would run by their place. */
const BUSYBOX_APPLETS_LEFT_OUT = new Set(['sh', 'init', 'linuxrc', 'busybox', 'modprobe', 'depmod', 'modinfo', 'udevd', 'node']);

/** Names that our bundle is called by. Not in /sbin: the kernel would run /sbin/modprobe two dozen times before /init. */
const WRAPPER_LINKS = ['modprobe', 'tskmod', 'tsmodprobe', 'tsudevadm', 'tsudevd'];

/**
 * Writes the initramfs to `path` and returns its size. The parts that do not change from run to run are kept in the cache as
 * segments; the kernel unpacks segments in their order, so what comes later wins. It is not compressed: decompression by an
 * emulated processor costs more than reading.
 */
export async function writeInitramfs(path: string, options: InitramfsOptions): Promise<number> {
  const { kernel, cacheDirectory, signal, command, environment } = options;
  const node = options.node === false ? undefined : options.node ?? process.execPath;
  const libraries = node === undefined ? [] : await sharedLibraries(node, signal);
  const directories = libraryPath(libraries);
  const base = await systemEntries(signal);
  if (node !== undefined) base.push(fileEntry(node, GUEST_NODE), ...[...libraries, ...codecsBeside(libraries)].map((library) => fileEntry(library, library)));
  const own = node === undefined ? [] : bundleEntries(options.bundle, directories, libraries);
  const helper = helperPath(options.helper ?? (own.length > 0 ? 'ours' : 'none'), own.length > 0);
  const changing = [
    ...own,
    textEntry(GUEST_COMMAND, guestCommand(command), 0o755),
    textEntry('/init', guestInit({ helper, environment, libraryPath: directories }), 0o755),
    ...(await callersEntries(options)),
  ];
  await joinSegments(path, [
    await cachedSegment(cacheDirectory, 'modules', moduleEntries(kernel, options.modules ?? 'all')),
    await cachedSegment(cacheDirectory, 'base', base),
  ]);
  appendSegment(path, changing);
  return statSync(path).size;
}

/** Node before 22.15 has no zstd of its own; our FFI finds the library where the C library is. */
function codecsBeside(libraries: readonly string[]): string[] {
  const directories = new Set(libraries.filter((path) => /\/libc\.so/.test(path)).map((path) => dirname(path)));
  return [...directories].map((directory) => join(directory, 'libzstd.so.1')).filter((path) => existsSync(path));
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

async function systemEntries(signal: AbortSignal | undefined): Promise<GuestEntry[]> {
  const busybox = requireTool('busybox', 'busybox-static');
  const listed = await runTool(busybox, ['--list'], { signal });
  const applets = listed.stdout.split('\n').filter((name) => /^[\w.[\]-]+$/.test(name));
  const missing = BUSYBOX_APPLETS_NEEDED.filter((name) => !applets.includes(name));
  if (missing.length > 0) throw new UnsupportedError(`${busybox} lacks ${missing.join(', ')}: run apt-get install busybox-static`);
  // Debian's busybox sh runs its own applets whatever PATH says, so that "modprobe" would never be ours.
  const shell = requireTool('dash', 'dash');
  const libraries = [...(await sharedLibraries(busybox, signal)), ...(await sharedLibraries(shell, signal))];
  return [
    fileEntry(busybox, '/bin/busybox'),
    fileEntry(shell, '/bin/sh'),
    ...libraries.map((library) => fileEntry(library, library)),
    ...applets.filter((name) => !BUSYBOX_APPLETS_LEFT_OUT.has(name)).map((name) => linkEntry(`/bin/${name}`, 'busybox')),
    linkEntry('/usr/bin/env', '/bin/busybox'),
    textEntry('/bin/vmctl', VMCTL, 0o755),
    ...Object.entries(GUEST_TEXTS).map(([path, text]) => textEntry(path, text)),
    ...GUEST_DIRECTORIES.map((path) => directoryEntry(path)),
  ];
}

function bundleEntries(bundle: string | false | undefined, directories: readonly string[], libraries: readonly string[]): GuestEntry[] {
  const path = bundle === false ? undefined : bundle ?? findBundle();
  if (path === undefined) return [];
  const rules = findRules();
  const koffi = findKoffi(libraries.some((library) => library.includes('ld-musl')) ? 'musl' : 'linux');
  const beside = (name: string): string => join(dirname(path), name);
  return [
    fileEntry(path, GUEST_BUNDLE),
    ...(existsSync(beside('tskmod.parts')) ? [fileEntry(beside('tskmod.parts'), GUEST_PARTS)] : []),
    ...(existsSync(beside('tskmod.cache')) ? [directoryEntry(GUEST_CODE_CACHE), ...treeEntries(beside('tskmod.cache'), GUEST_CODE_CACHE)] : []),
    ...(koffi === undefined ? [] : [fileEntry(koffi, GUEST_KOFFI)]),
    ...(rules === undefined ? [] : [directoryEntry(GUEST_RULES), ...treeEntries(rules, GUEST_RULES, (name) => /^[^/]*\.rules$/.test(name))]),
    textEntry(GUEST_WRAPPER, guestWrapper(directories), 0o755),
    ...WRAPPER_LINKS.filter((name) => name !== 'modprobe').map((name) => linkEntry(`/app/${name}`, 'modprobe')),
    ...WRAPPER_LINKS.map((name) => linkEntry(`/bin/${name}`, `../app/${name}`)),
  ];
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
