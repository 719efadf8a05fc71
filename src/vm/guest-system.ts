// What every initramfs of ours begins with: busybox, a shell, and Node with its libraries and our bundle.

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { UnsupportedError } from '../errors.ts';
import {
  BUSYBOX_APPLETS_NEEDED, GUEST_BUNDLE, GUEST_CODE_CACHE, GUEST_DIRECTORIES, GUEST_KOFFI, GUEST_NODE, GUEST_PARTS, GUEST_RULES,
  GUEST_TEXTS, GUEST_WRAPPER, guestWrapper, VMCTL,
} from './guest-init.ts';
import { directoryEntry, fileEntry, libraryPath, linkEntry, sharedLibraries, textEntry, treeEntries, type GuestEntry } from './guest-tree.ts';
import { requireTool, runTool } from './host-tool.ts';
import { findBundle, findKoffi, findRules } from './own-files.ts';

export type NodeRuntime = {
  /** Node, its libraries, and what those read. */
  readonly node: readonly GuestEntry[];
  /** Our CLI, its FFI, our rules, and links to them in /bin; empty where the bundle is not built or not wanted. */
  readonly bundle: readonly GuestEntry[];
  /** Directories of libraries that the dynamic loader has to be told of. */
  readonly libraryPath: readonly string[];
};

/** Applets of busybox that must not shadow anything, and those that the kernel would run by their place. */
const BUSYBOX_APPLETS_LEFT_OUT = new Set(['sh', 'init', 'linuxrc', 'busybox', 'modprobe', 'depmod', 'modinfo', 'udevd', 'node']);

/** Names that our bundle is called by. Not in /sbin: the kernel would run /sbin/modprobe two dozen times before /init. */
const WRAPPER_LINKS = ['modprobe', 'tskmod', 'tsmodprobe', 'tsudevadm', 'tsudevd'];

/** Node at /usr/bin/node and our bundle: dist/tskmod.cjs when undefined and built, none when false. */
export async function nodeRuntime(node: string, bundle: string | false | undefined, signal?: AbortSignal): Promise<NodeRuntime> {
  const libraries = await sharedLibraries(node, signal);
  const directories = libraryPath(libraries);
  return {
    node: [fileEntry(node, GUEST_NODE), ...[...libraries, ...openedBeside(libraries), ...libraries.flatMap(externalBuiltins)].map((file) => fileEntry(file, file))],
    bundle: bundleEntries(bundle, directories, libraries),
    libraryPath: directories,
  };
}

/** The system of a guest of `tskmod vm`: busybox, dash, and the client of the control line. */
export async function guestSystemEntries(signal: AbortSignal | undefined): Promise<GuestEntry[]> {
  const shell = requireTool('dash', 'dash');
  return [...(await systemEntries(BUSYBOX_APPLETS_NEEDED, shell, signal)), textEntry('/bin/vmctl', VMCTL, 0o755)];
}

/** busybox with a link for each of its programs, `shell` as /bin/sh, and the directories that a root has. `leftOut` are programs that get no link. */
export async function systemEntries(
  needed: readonly string[], shell: string | undefined, signal?: AbortSignal, leftOut: ReadonlySet<string> = BUSYBOX_APPLETS_LEFT_OUT,
): Promise<GuestEntry[]> {
  const busybox = requireTool('busybox', 'busybox-static');
  const listed = await runTool(busybox, ['--list'], { signal });
  const applets = listed.stdout.split('\n').filter((name) => /^[\w.[\]-]+$/.test(name));
  const missing = needed.filter((name) => !applets.includes(name));
  if (missing.length > 0) throw new UnsupportedError(`${busybox} lacks ${missing.join(', ')}: run apt-get install busybox-static`);
  // Debian's busybox sh runs its own applets whatever PATH says, so that "modprobe" would never be ours: dash is better.
  const libraries = [...(await sharedLibraries(busybox, signal)), ...(shell === undefined ? [] : await sharedLibraries(shell, signal))];
  return [
    fileEntry(busybox, '/bin/busybox'),
    shell === undefined ? linkEntry('/bin/sh', 'busybox') : fileEntry(shell, '/bin/sh'),
    ...libraries.map((library) => fileEntry(library, library)),
    ...applets.filter((name) => !leftOut.has(name)).map((name) => linkEntry(`/bin/${name}`, 'busybox')),
    linkEntry('/usr/bin/env', '/bin/busybox'),
    ...rootEntries(),
  ];
}

/** Programs of this machine in the place of busybox: by name, the Debian package that has it. Throws UnsupportedError for one that is absent. */
export async function hostProgramEntries(programs: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<GuestEntry[]> {
  const found = Object.entries(programs).map(([name, debianPackage]) => ({ path: requireTool(name, debianPackage), target: `/bin/${name === 'dash' ? 'sh' : name}` }));
  const libraries = new Set<string>();
  for (const { path } of found) for (const library of await sharedLibraries(path, signal)) libraries.add(library);
  return [
    ...found.map(({ path, target }) => fileEntry(path, target)),
    ...[...libraries].sort().map((library) => fileEntry(library, library)),
    ...rootEntries(),
  ];
}

function rootEntries(): GuestEntry[] {
  return [...Object.entries(GUEST_TEXTS).map(([path, text]) => textEntry(path, text)), ...GUEST_DIRECTORIES.map((path) => directoryEntry(path))];
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

/**
 * Files that Node reads before its first line: Debian's libnode has some of its own JavaScript in /usr/share/nodejs (--shared-builtin-*-path at
 * its build), and says where in its data. None of other libraries.
 */
export function externalBuiltins(library: string): string[] {
  if (!basename(library).startsWith('libnode.so')) return [];
  const found = readFileSync(library).toString('latin1').matchAll(/\0(\/[\w@+./-]{1,255}\.js)(?=\0)/g);
  return [...new Set([...found].map(([, path = '']) => path))].filter((path) => existsSync(path)).sort();
}

/** What our FFI opens by itself, where it is installed: libblkid tells what is on a disk; Node before 22.15 has no zstd of its own. */
const OPENED_LIBRARIES = ['libblkid.so.1', 'libzstd.so.1'];

/** Those lie where the C library is. */
function openedBeside(libraries: readonly string[]): string[] {
  const directories = new Set(libraries.filter((path) => /\/libc\.so/.test(path)).map((path) => dirname(path)));
  return [...directories].flatMap((directory) => OPENED_LIBRARIES.map((name) => join(directory, name))).filter((path) => existsSync(path));
}
