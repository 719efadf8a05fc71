// Trees of files on their way into a guest: walks of directories, single files, and the shared libraries of programs.

import { lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { LimitError, UnsupportedError } from '../errors.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type CpioEntry, type CpioReference } from '../image/cpio.ts';
import { failureOf, requireTool, runTool } from './host-tool.ts';

/** A file of the host, with what identifies its contents for a cache. */
export type SourceFile = { readonly path: string; readonly mtimeMs: number };
export type GuestEntry = CpioEntry | CpioReference<SourceFile>;

const MAX_TREE_ENTRIES = 500_000;
const MAX_TREE_DEPTH = 64;

/** The directories that every dynamic loader searches; the multiarch ones are compiled into Debian's. */
const LOADER_DIRECTORIES = /^(?:\/usr)?\/lib(?:64)?(?:\/x86_64-linux-gnu)?$/;

/** A regular file of the host, under another name; symbolic links are followed. */
export function fileEntry(source: string, path: string): GuestEntry {
  const { mode, size, mtimeMs } = statSync(source);
  return { path: relativePath(path), mode: S_IFREG | (mode & 0o7777), size, from: { path: source, mtimeMs } };
}

export function textEntry(path: string, text: string, permissions = 0o644): GuestEntry {
  return { path: relativePath(path), mode: S_IFREG | permissions, data: Buffer.from(text) };
}

export function linkEntry(path: string, target: string): GuestEntry {
  return { path: relativePath(path), mode: S_IFLNK | 0o777, data: Buffer.from(target) };
}

export function directoryEntry(path: string, permissions = 0o755): GuestEntry {
  return { path: relativePath(path), mode: S_IFDIR | permissions };
}

/**
 * Everything below a directory, under another name. Symbolic links stay what they are; sockets and FIFOs are left out, as they are
 * ends of something that runs here. `accept` is asked with each path relative to `directory`.
 */
export function treeEntries(directory: string, path: string, accept: (relative: string) => boolean = () => true): GuestEntry[] {
  const entries: GuestEntry[] = [];
  const walk = (relative: string, depth: number): void => {
    if (depth > MAX_TREE_DEPTH) throw new LimitError({ file: directory, limit: 'MAX_TREE_DEPTH', maximum: MAX_TREE_DEPTH });
    for (const name of readdirSync(join(directory, relative))) {
      const below = join(relative, name);
      const source = join(directory, below);
      const status = lstatSync(source);
      const target = relativePath(join(path, below));
      const type = status.mode & S_IFMT;
      if (type === S_IFDIR) {
        if (target !== '') entries.push({ path: target, mode: S_IFDIR | (status.mode & 0o7777) });
        walk(below, depth + 1);
      } else if (accept(below)) {
        if (type === S_IFREG) entries.push({ path: target, mode: status.mode, size: status.size, from: { path: source, mtimeMs: status.mtimeMs } });
        else if (type === S_IFLNK) entries.push(linkEntry(target, readlinkSync(source)));
      }
      if (entries.length > MAX_TREE_ENTRIES) throw new LimitError({ file: directory, limit: 'MAX_TREE_ENTRIES', maximum: MAX_TREE_ENTRIES });
    }
  };
  walk('', 0);
  return entries;
}

/** The shared libraries of a program and its dynamic loader, as absolute paths; none for a static program. */
export async function sharedLibraries(program: string, signal?: AbortSignal): Promise<string[]> {
  const result = await runTool(requireTool('ldd', 'libc-bin'), [program], { signal });
  const output = result.stdout + result.stderr;
  if (/not a dynamic executable|statically linked|not a valid dynamic program/i.test(output)) return [];
  if (result.status !== 0) throw new UnsupportedError(`ldd ${program}: ${failureOf(result)}`);
  return parseLdd(result.stdout, program);
}

/** The paths in the output of ldd(1), of glibc or musl. Throws an UnsupportedError for a library that is not there. */
export function parseLdd(text: string, program: string): string[] {
  const paths = new Set<string>();
  for (const line of text.split('\n')) {
    const [, missing] = /^\s*(\S+) => not found/.exec(line) ?? [];
    if (missing !== undefined) throw new UnsupportedError(`${program} needs ${missing}, which is not installed`);
    const [, found] = /(?:^|=>)\s*(\/\S+) \(0x[0-9a-f]+\)$/.exec(line) ?? [];
    if (found !== undefined) paths.add(found);
  }
  return [...paths];
}

/** The directories of libraries that a dynamic loader has to be told of. */
export function libraryPath(libraries: readonly string[]): string[] {
  const directories = new Set(libraries.filter((path) => !/\/ld[-.][^/]*$/.test(path)).map((path) => dirname(path)));
  return [...directories].filter((directory) => !LOADER_DIRECTORIES.test(directory)).sort();
}

function relativePath(path: string): string {
  return path.replace(/^\/+/, '').replace(/\/+$/, '');
}
