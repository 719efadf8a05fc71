// An initramfs for a machine or VM: modules, our tools, busybox, /init, hooks and files, compressed as the kernel can take it.

import { randomUUID } from 'node:crypto';
import { chmodSync, createReadStream, createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';

import { UnsupportedError, UsageError } from '../errors.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../image/cpio.ts';
import { compressionOf, decompress } from '../kmod/compression.ts';
import { depmod } from '../kmod/depmod.ts';
import { openModules } from '../kmod/find-modules.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { readSelection } from '../kmod/select-reader.ts';
import { type NeedyMachine, splitPatterns } from '../kmod/select.ts';
import { openSystem } from '../system.ts';
import { BOOT_APPLETS_NEEDED, bootInit, HOOK_DIRECTORY, HOOK_POINTS, HOST_PROGRAMS } from './boot-init.ts';
import { hostProgramEntries, nodeRuntime, systemEntries } from './guest-system.ts';
import { directoryEntry, fileEntry, sharedLibraries, textEntry, treeEntries, type GuestEntry } from './guest-tree.ts';
import { failureOf, findTool, requireTool, runTool } from './host-tool.ts';
import type { GuestFile } from './initramfs.ts';
import { compressionsOf, type InitramfsCompression } from './kernel-config.ts';
import { loadablePart } from './loadable-part.ts';
import { appendSegment } from './segment.ts';

export type BootInitramfsOptions = {
  readonly release: string;
  /** A module tree, an image that holds one (it becomes /boot/modules-RELEASE), or undefined for none. */
  readonly modules: string | undefined;
  /** Names, aliases or path globs, closed over what they need, with their firmware; all of the tree when this and `machines` are empty. */
  readonly select: readonly string[];
  /** Machines whose devices are to be driven. */
  readonly machines: readonly NeedyMachine[];
  /** A Node, or undefined: then busybox does what there is to do, and the modules are not compressed. */
  readonly node: string | undefined;
  readonly root: string | undefined;
  readonly files: readonly GuestFile[];
  /** A directory with a directory of executables for each point. */
  readonly hooks: string | undefined;
  /** An /init instead of ours. */
  readonly init: string | undefined;
  readonly compression: InitramfsCompression | 'none' | 'auto';
  /** The kernel's configuration, which `auto` looks into. */
  readonly config: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
};

export type Sized = { readonly files: number; readonly bytes: number };

/** All sizes in bytes. */
export type BootInitramfsReport = {
  readonly path: string;
  readonly size: number;
  readonly compression: InitramfsCompression | 'none';
  /** Of the archive when it is not compressed. */
  readonly unpacked: number;
  /** Module files of the initramfs with their indexes, and of the whole tree. */
  readonly modules: Sized;
  readonly tree: Sized;
  readonly firmware: Sized;
  /** What selected modules name and this machine has not. */
  readonly missingFirmware: readonly string[];
  readonly runtime: Sized;
  /** The shell and the programs of /init. */
  readonly system: Sized;
  /** They are busybox. */
  readonly busybox: boolean;
  readonly added: Sized;
  /** MiB of memory that a machine needs to boot it. */
  readonly memoryMiB: number;
};

/** What a kernel and its first programs take beside the initramfs. Node wants most of it. */
const MEMORY_BASE = 256 * 2 ** 20;
const MEMORY_BASE_WITHOUT_NODE = 96 * 2 ** 20;

/** Indexes and lists that depmod does not make but reads. */
const TREE_INPUTS = ['modules.order', 'modules.builtin', 'modules.builtin.modinfo'] as const;

const DEBIAN_PACKAGES: Readonly<Record<string, string>> = { xz: 'xz-utils', zstd: 'zstd' };

/** Writes the initramfs to `path`, whole or not at all; the same input gives the same bytes. Throws UsageError and UnsupportedError. */
export async function createBootInitramfs(path: string, options: BootInitramfsOptions): Promise<BootInitramfsReport> {
  const { node, signal, onProgress } = options;
  const compression = options.compression === 'auto' ? chooseCompression(options.config) : options.compression;
  if (options.config !== undefined && compression !== 'none' && !compressionsOf(options.config).includes(compression)) {
    throw new UsageError(`the kernel ${options.release} cannot unpack ${compression}: it knows ${compressionsOf(options.config).join(', ') || 'no compression'}`);
  }
  const runtime = node === undefined ? undefined : await nodeRuntime(node, undefined, signal);
  if (runtime?.bundle.length === 0) throw new UnsupportedError('our tools are not built: run npm run build, or leave Node out with --no-node');
  // Without our modprobe the kernel runs that of busybox, at its usual place.
  const leftOut = new Set(node === undefined ? ['sh', 'busybox', 'init', 'linuxrc'] : ['sh', 'busybox', 'init', 'linuxrc', 'modprobe', 'insmod', 'rmmod', 'depmod', 'modinfo', 'lsmod', 'node']);
  // Our tools do what only busybox has, so that any other shell and mount will do.
  const hasBusybox = node === undefined || findTool('busybox') !== undefined;
  const system = hasBusybox ? await systemEntries(BOOT_APPLETS_NEEDED, node === undefined ? undefined : findTool('dash'), signal, leftOut) : await hostProgramEntries(HOST_PROGRAMS, signal);
  onProgress?.('selecting modules');
  const { modules, firmware, tree, missingFirmware } = await moduleEntries(options);
  // Node is most of it, and an eighth of Node is read by debuggers only.
  const programs = runtime?.node.map((entry) => ('from' in entry && entry.from.path === node ? { path: entry.path, mode: entry.mode, data: loadablePart(readFileSync(node)) } : entry));
  const tools = [...(programs ?? []), ...(runtime?.bundle ?? [])];
  const init = options.init === undefined
    ? textEntry('/init', bootInit({ hasRuntime: node !== undefined, hasBusybox, root: options.root, libraryPath: runtime?.libraryPath ?? [] }), 0o755)
    : { ...fileEntry(options.init, '/init'), mode: S_IFREG | 0o755 };
  const added = [...hookEntries(options.hooks), ...(await addedEntries(options.files, signal))];
  const helper = node === undefined ? [{ path: 'sbin/modprobe', mode: 0o120777, data: Buffer.from('../bin/busybox') }] : [];
  const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  try {
    onProgress?.('writing');
    appendSegment(partial, [...system, ...helper, ...tools, ...modules, ...firmware, init, ...added]);
    const unpacked = statSync(partial).size;
    if (compression !== 'none') {
      const doing = `compressing ${Math.round(unpacked / 1e6)} MB with ${compression}`;
      onProgress?.(doing);
      await compressFile(partial, `${partial}.z`, compression, signal, (done) => onProgress?.(`${doing}: ${Math.floor((done / unpacked) * 100)} %`));
      renameSync(`${partial}.z`, partial);
    }
    // Only root should read what may hold keys; but a boot loader's tools run as root anyway, and QEMU does not.
    chmodSync(partial, 0o644);
    const { size } = statSync(partial);
    renameSync(partial, path);
    const base = node === undefined ? MEMORY_BASE_WITHOUT_NODE : MEMORY_BASE;
    return {
      path, size, compression, unpacked, tree, missingFirmware, modules: sizeOf(modules), firmware: sizeOf(firmware, () => true), runtime: sizeOf(tools), system: sizeOf(system), busybox: hasBusybox, added: sizeOf(added),
      // The archive stays in memory until it is unpacked, and a tmpfs takes half of the memory.
      memoryMiB: Math.ceil((size + 2 * unpacked + base) / 2 ** 20 / 32) * 32,
    };
  } finally {
    rmSync(partial, { force: true });
    rmSync(`${partial}.z`, { force: true });
  }
}

/** The best that the kernel knows and a tool here makes; gzip, which every kernel knows, where nothing is known of the kernel. */
function chooseCompression(config: string | undefined): InitramfsCompression | 'none' {
  const known = config === undefined ? ['gzip' as const] : compressionsOf(config);
  return known.find((compression) => compression === 'gzip' || findTool(compression) !== undefined) ?? 'none';
}

/** `onBytes` hears how many have been read, where the work is ours. */
async function compressFile(from: string, to: string, compression: InitramfsCompression, signal: AbortSignal | undefined, onBytes: (done: number) => void): Promise<void> {
  if (compression === 'gzip') {
    let done = 0;
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        onBytes(done += chunk.length);
        yield chunk;
      }
    };
    await pipeline(createReadStream(from, { highWaterMark: 1 << 20 }), counted, createGzip({ level: constants.Z_BEST_COMPRESSION }), createWriteStream(to), { signal });
    return;
  }
  const tool = requireTool(compression, DEBIAN_PACKAGES[compression] ?? compression);
  // The kernel's xz knows CRC32 only (lib/xz). One thread: how many there are would show in the bytes.
  const args = compression === 'xz' ? ['-T1', '-6', '--check=crc32', '-k', '-c', from] : ['-T1', '-12', '-q', '-c', from];
  const result = await runTool('/bin/sh', ['-c', 'exec "$@" > "$0"', to, tool, ...args], { signal });
  if (result.status !== 0) throw new UnsupportedError(`${tool}: ${failureOf(result)}`);
}

type Modules = { readonly modules: readonly GuestEntry[]; readonly firmware: readonly GuestEntry[]; readonly tree: Sized; readonly missingFirmware: readonly string[] };

async function moduleEntries(options: BootInitramfsOptions): Promise<Modules> {
  const { modules: place, release, select, machines, node } = options;
  const none = { firmware: [], missingFirmware: [] };
  if (place === undefined) return { ...none, modules: [], tree: { files: 0, bytes: 0 } };
  const isTree = statSync(place).isDirectory();
  const target = `/lib/modules/${release}`;
  const whole = isTree ? treeEntries(place, target, (path) => path !== 'build' && path !== 'source') : [fileEntry(place, `/boot/modules-${release}`)];
  const isAll = select.length === 0 && machines.length === 0;
  // An image comes along as it is: our tools read modules in it.
  const system = openSystem({ release });
  const source = await openModules(system, place);
  try {
    const { bytes } = sizeOf(whole);
    const tree = isTree ? sizeOf(whole, isModule) : { files: source.modulePaths?.().length ?? 0, bytes };
    if (isAll && node !== undefined) return { ...none, modules: whole, tree };
    const { files, missing } = await readSelection(system, source, { ...splitPatterns(isAll ? ['**'] : select), machines, firmware: true });
    const absent = missing.find(({ kind }) => kind !== 'firmware');
    if (absent !== undefined) throw new UsageError(`--select ${absent.name}: the kernel has no such module`);
    return {
      tree,
      modules: await indexedModules(options, source, files.filter(({ kind }) => kind === 'module').map(({ path }) => path)),
      firmware: files.flatMap(({ from, path }) => (from === undefined ? [] : [fileEntry(from, `/lib/firmware/${path}`)])),
      missingFirmware: missing.filter(({ kind }) => kind === 'firmware').map(({ name }) => name),
    };
  } finally {
    source.close?.();
  }
}

/** The modules with indexes of their own: those of the whole tree are larger than most selections. */
async function indexedModules({ release, node }: BootInitramfsOptions, source: ModuleSource, paths: readonly string[]): Promise<GuestEntry[]> {
  const staging = mkdtempSync(join(tmpdir(), 'tskmod-initramfs-'));
  try {
    for (const path of paths) {
      const data = contentsOf(source, path);
      const compression = node === undefined ? compressionOf(data) : undefined;
      // Modules that lie outside of the tree come into it.
      const inTree = isAbsolute(path) ? join('extra', basename(path)) : path;
      const name = compression === undefined ? inTree : inTree.replace(/\.ko\.\w+$/, '.ko');
      mkdirSync(join(staging, dirname(name)), { recursive: true });
      writeFileSync(join(staging, name), compression === undefined ? data : decompress(data, compression, { file: source.resolve(path) }));
    }
    for (const name of TREE_INPUTS) {
      const input = source.readIndex(name);
      if (input !== undefined) writeFileSync(join(staging, name), input);
    }
    const result = await depmod(openSystem({ release }), { directory: staging, release, configPaths: [], noCache: true, jobs: 1 });
    if (result.outcome === 'cycles') throw new UnsupportedError(`modules of ${source.name} need each other in circles: ${result.cycles.map((cycle) => cycle.join(' ')).join('; ')}`);
    return treeEntries(staging, `/lib/modules/${release}`).map((entry) => {
      const mode = (entry.mode & S_IFMT) | ((entry.mode & S_IFMT) === S_IFDIR ? 0o755 : 0o644);
      return 'from' in entry ? { path: entry.path, mode, data: readFileSync(entry.from.path) } : { ...entry, mode };
    });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function contentsOf(source: ModuleSource, path: string): Uint8Array {
  const file = source.open(path);
  try {
    return file.read(0, file.size);
  } finally {
    file.close();
  }
}

function hookEntries(directory: string | undefined): GuestEntry[] {
  if (directory === undefined) return [];
  const unknown = readdirSync(directory).find((name) => !HOOK_POINTS.some((point) => point === name));
  if (unknown !== undefined) throw new UsageError(`--hooks ${directory}: ${unknown} is no point; there are ${HOOK_POINTS.join(', ')}`);
  return [directoryEntry(HOOK_DIRECTORY), ...treeEntries(directory, HOOK_DIRECTORY)];
}

async function addedEntries(files: readonly GuestFile[], signal: AbortSignal | undefined): Promise<GuestEntry[]> {
  const entries: GuestEntry[] = [];
  for (const { source, target } of files) {
    if (!existsSync(source)) throw new UsageError(`--add ${source}: no such file`);
    if (statSync(source).isDirectory()) {
      entries.push(directoryEntry(target), ...treeEntries(source, target));
      continue;
    }
    entries.push(fileEntry(source, target));
    if (isElf(source)) entries.push(...(await sharedLibraries(source, signal)).map((library) => fileEntry(library, library)));
  }
  return entries;
}

function isElf(path: string): boolean {
  return readFileSync(path).subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
}

function isModule(path: string): boolean {
  return /\.ko(?:\.\w+)?$/.test(path);
}

/** Bytes of all members; those that `counts` accepts are counted. */
function sizeOf(entries: readonly GuestEntry[], counts: (path: string) => boolean = isModule): Sized {
  const bytes = entries.reduce((sum, entry) => sum + ('from' in entry ? entry.size : entry.data?.length ?? 0), 0);
  return { files: entries.filter((entry) => counts(entry.path)).length, bytes };
}
