// The module files of a tree and of external directories, one for each module.

import { type Dirent, opendirSync, readdirSync, statSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

import { codeOf, LimitError, messageOf } from '../errors.ts';
import { errnoByName, errnoText, type Log } from '../system.ts';
import { moduleNameOfPath } from './alias.ts';
import type { DepmodConfig } from './depmod-config.ts';
import { isModuleFile, type ModulePath, staysFirst } from './depmod-priority.ts';

/** Entries of all directories together: links can make a small tree endless. */
const MAX_ENTRIES = 1 << 20;
/** limits.h. */
const PATH_MAX = 4096;
/** Links to the build tree. */
const NEVER_MODULES = new Set(['build', 'source']);

/**
 * The modules of a tree, by name. What cannot be read is logged and passed over; throws Node's error where the tree
 * itself cannot be.
 *
 * @param onFile hears of each module file as it is found
 */
export function scanModules(directory: string, config: DepmodConfig, log: Log, onFile?: (path: string) => void): Map<string, ModulePath> {
  const scan = new Scan(directory, config, log, onFile);
  scan.walk(directory);
  for (const external of config.externals) {
    try {
      scan.walk(external);
    } catch (error) {
      // The directory itself: said already, and its absence is allowed.
      if (codeOf(error) === undefined) throw error;
    }
  }
  return scan.modules();
}

/** Whether a module file below the directory is newer than `than` (mtime in ms). Stops at the first. */
export function hasNewerModule(directory: string, than: number, config: DepmodConfig, log: Log): boolean {
  const scan = new Scan(directory, config, log);
  scan.walk(directory, (path) => mtime(path) > than);
  return scan.stopped;
}

class Scan {
  readonly #directory: string;
  readonly #config: DepmodConfig;
  readonly #log: Log;
  readonly #onFile: ((path: string) => void) | undefined;
  readonly #found = new Map<string, ModulePath[]>();
  readonly #orders = new Map<string, Map<string, number>>();
  #entries = 0;
  stopped = false;

  constructor(directory: string, config: DepmodConfig, log: Log, onFile?: (path: string) => void) {
    this.#directory = directory;
    this.#config = config;
    this.#log = log;
    this.#onFile = onFile;
  }

  /** @param stop ends the walk at a file for which it returns true */
  walk(directory: string, stop?: (path: string) => boolean): void {
    let entries: Dirent[];
    try {
      entries = readdirSync(directory, { withFileTypes: true });
    } catch (error) {
      this.#log.error({ code: 'unreadable', file: directory, message: `could not open directory ${directory}: ${reasonOf(error)}` });
      throw error;
    }
    this.#entries += entries.length;
    if (this.#entries > MAX_ENTRIES) throw new LimitError({ file: this.#directory, limit: 'limit of directory entries', maximum: MAX_ENTRIES });
    for (const entry of entries) {
      const { name } = entry;
      if (this.stopped) return;
      if (NEVER_MODULES.has(name) || this.#config.excludes.has(name)) continue;
      const path = `${directory}/${name}`;
      if (path.length >= PATH_MAX) {
        this.#log.error({ code: 'path-too-long', file: path, message: `path is too long ${path}` });
        continue;
      }
      const kind = entry.isFile() || entry.isDirectory() ? entry : this.#follow(path, name);
      if (kind?.isDirectory()) this.#descend(path, stop);
      else if (kind?.isFile() && isModuleFile(name)) {
        if (stop) this.stopped ||= stop(path);
        else this.#add(path);
      }
    }
  }

  /** Of several files of one module the one that counts. */
  modules(): Map<string, ModulePath> {
    const modules = new Map<string, ModulePath>();
    for (const [name, files] of this.#found) {
      const inOrder = files.length > 1 ? files.sort((a, b) => this.#compare(a.path, b.path)) : files;
      modules.set(name, inOrder.reduce((old, added) => (staysFirst(old, added, this.#config) ? old : added)));
    }
    return modules;
  }

  #descend(path: string, stop: ((path: string) => boolean) | undefined): void {
    try {
      this.walk(path, stop);
    } catch (error) {
      // Logged where it happened; limits and faults of ours go on.
      if (codeOf(error) === undefined) throw error;
    }
  }

  #follow(path: string, name: string): Stats | undefined {
    try {
      const stats = statSync(path);
      if (stats.isFile() || stats.isDirectory()) return stats;
      this.#log.error({ code: 'file-type', file: path, message: `unsupported file type ${path}: ${(stats.mode & 0o170000).toString(8)}` });
    } catch (error) {
      this.#log.error({ code: 'unreadable', file: path, message: `fstatat(${dirname(path)}, ${name}): ${reasonOf(error)}` });
    }
    return undefined;
  }

  #add(path: string): void {
    this.#onFile?.(path);
    const name = moduleNameOfPath(path);
    const below = path.startsWith(`${this.#directory}/`);
    const file: ModulePath = { name: bytesOf(name), path, relative: bytesOf(below ? path.slice(this.#directory.length + 1) : path) };
    const files = this.#found.get(name);
    if (files) files.push(file);
    else this.#found.set(name, [file]);
  }

  /**
   * Which path a walk in the order of readdir(3) meets first. Node sorts directories, and kmod does not; the order only
   * matters where a module is there twice.
   */
  #compare(a: string, b: string): number {
    const [externalA, externalB] = [this.#rootOf(a), this.#rootOf(b)];
    if (externalA !== externalB) return externalA - externalB;
    let slash = 0;
    for (let i = 0; i < a.length && a[i] === b[i]; i++) if (a[i] === '/') slash = i;
    const order = this.#orderOf(a.slice(0, slash));
    const position = (path: string) => order.get(path.slice(slash + 1).split('/', 1)[0] ?? '') ?? -1;
    return position(a) - position(b);
  }

  /** 0 for the tree, else the number of the external directory. */
  #rootOf(path: string): number {
    if (path.startsWith(`${this.#directory}/`)) return 0;
    return 1 + this.#config.externals.findIndex((external) => path.startsWith(`${external}/`));
  }

  #orderOf(directory: string): Map<string, number> {
    const known = this.#orders.get(directory);
    if (known) return known;
    const order = new Map<string, number>();
    const handle = opendirSync(directory);
    try {
      for (let entry = handle.readSync(); entry; entry = handle.readSync()) order.set(entry.name, order.size);
    } finally {
      handle.closeSync();
    }
    this.#orders.set(directory, order);
    return order;
  }
}

/** The bytes of a file name as latin1, which is what all outputs are made of. */
export function bytesOf(name: string): string {
  return Buffer.byteLength(name) === name.length ? name : Buffer.from(name).toString('latin1');
}

/** What strerror(3) says of a failed file operation. */
export function reasonOf(error: unknown): string {
  const errno = errnoByName(codeOf(error) ?? '');
  return errno === undefined ? messageOf(error) : errnoText(errno);
}

function mtime(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
