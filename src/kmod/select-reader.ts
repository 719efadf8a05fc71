// Reads what a selection asks of files: the devices of machines, sizes of modules, and the firmware that they name.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { codeOf, LimitError } from '../errors.ts';
import type { System } from '../system.ts';
import { fnmatch } from './alias.ts';
import { loadConfig } from './config-files.ts';
import { ImageReader } from './image-reader.ts';
import { parseModuleInfo } from './modinfo.ts';
import { ModuleDb } from './module-db.ts';
import type { ModuleSource } from './module-source.ts';
import {
  type MissingPart, type NeedyDevice, type NeedyMachine, selectModules, type SelectedFile, type SelectedModule, type Selection, type SelectReason, type SelectRequest,
} from './select.ts';

export type SelectOptions = SelectRequest & {
  /** Also the firmware that the modules name: every one of them is read and decompressed for it. */
  readonly firmware?: boolean;
  /** Directories to look for firmware in, in their order; `firmwareRoots()` of the system when absent. */
  readonly firmwareRoots?: readonly string[];
  /** Told after each module that was read for its firmware. */
  readonly onProgress?: (done: number, total: number) => void;
};

/** The real sysfs is some 20 deep; a captured one is foreign input. */
const MAX_SYSFS_DEPTH = 64;
const MAX_SYSFS_DIRECTORIES = 1_000_000;

/** The endings that the kernel tries, in its order. */
export const FIRMWARE_ENDINGS = ['', '.zst', '.xz'];

/**
 * The files that a request selects from a source, with the bytes of each. Only what the source itself says counts, not the configuration of
 * this machine. Throws SystemError for what cannot be read, and what reading damaged modules throws.
 */
export async function readSelection(system: System, source: ModuleSource, options: SelectOptions): Promise<Selection> {
  const { minimatch } = options.globs?.length ? await import('minimatch') : { minimatch: () => false };
  const db = new ModuleDb(source, system.log);
  try {
    const config = loadConfig(system, source, { configPaths: [] });
    const { modules, builtin, missing } = selectModules(options, { config, db, matches: minimatch });
    const files: SelectedFile[] = [];
    const present: SelectedModule[] = [];
    const absent: MissingPart[] = [];
    for (const selected of modules) {
      const { module, path, reasons } = selected;
      if (!source.exists(path)) {
        absent.push({ kind: 'module', name: module, reasons });
        continue;
      }
      present.push(selected);
      files.push({ kind: 'module', name: module, path, bytes: sizeOf(source, path), reasons });
    }
    const firmware = options.firmware ? await readFirmware(system, source, present, options) : { files: [], missing: [] };
    return { files: [...files, ...firmware.files], builtin, missing: [...missing, ...absent, ...firmware.missing] };
  } finally {
    db.close();
  }
}

/** The devices below `sys` that have a modalias, in the order of their devpaths: of /sys, or of a captured one such as examples/q35/sys. */
export function readMachine(root: string, sys = join(root, 'sys')): NeedyMachine {
  const devices: NeedyDevice[] = [];
  let directories = 0;
  const walk = (devpath: string, depth: number): void => {
    if (depth > MAX_SYSFS_DEPTH) throw new LimitError({ file: sys, limit: 'MAX_SYSFS_DEPTH', maximum: MAX_SYSFS_DEPTH });
    if (++directories > MAX_SYSFS_DIRECTORIES) throw new LimitError({ file: sys, limit: 'MAX_SYSFS_DIRECTORIES', maximum: MAX_SYSFS_DIRECTORIES });
    const entries = unlessGone(() => readdirSync(`${sys}${devpath}`, { withFileTypes: true })) ?? [];
    if (entries.some(({ name }) => name === 'uevent')) {
      const uevent = unlessGone(() => readFileSync(`${sys}${devpath}/uevent`, 'latin1'));
      const modalias = /^MODALIAS=(.+)$/m.exec(uevent ?? '')?.[1];
      if (modalias !== undefined) devices.push({ devpath, modalias });
    }
    for (const name of entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort()) walk(`${devpath}/${name}`, depth + 1);
  };
  // An absent sysfs is a mistake of who named it.
  statSync(join(sys, 'devices'));
  walk('/devices', 0);
  return { root, devices };
}

/** Where the kernel looks for firmware, in its order, below a root. */
export function firmwareRoots(root: string, release: string): string[] {
  return ['lib/firmware', 'usr/lib/firmware'].flatMap((directory) =>
    [`${directory}/updates/${release}`, `${directory}/updates`, `${directory}/${release}`, directory].map((place) => join(root || '/', place)));
}

async function readFirmware(
  system: System, source: ModuleSource, modules: readonly SelectedModule[], { firmwareRoots: given, onProgress }: SelectOptions,
): Promise<{ files: SelectedFile[]; missing: MissingPart[] }> {
  const roots = given ?? firmwareRoots(system.roots.modules, system.release);
  const reader = new ImageReader(system, { source });
  const wanted = new Map<string, SelectReason[]>();
  let done = 0;
  const named = await Promise.all(modules.map(async ({ path }) => {
    const resolved = source.resolve(path);
    const names = await reader.use(resolved, (image) => firmwareNames(image, resolved));
    onProgress?.(++done, modules.length);
    return names;
  }));
  modules.forEach(({ module }, index) => {
    for (const name of new Set(named[index])) wanted.set(name, [...(wanted.get(name) ?? []), { kind: 'firmware', from: module }]);
  });
  const files = new Map<string, SelectedFile>();
  const missing: MissingPart[] = [];
  for (const [name, reasons] of [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const found = findFirmware(roots, name);
    if (found.length === 0) missing.push({ kind: 'firmware', name, reasons });
    for (const { path, from } of found) {
      const known = files.get(path);
      files.set(path, { kind: 'firmware', name: known?.name ?? name, path, from, bytes: statSync(from).size, reasons: [...(known?.reasons ?? []), ...reasons] });
    }
  }
  return { files: [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1)), missing };
}

/** What `firmware=` of a module's image names. */
export function firmwareNames(image: Uint8Array, file: string): string[] {
  return (parseModuleInfo(image, file)?.entries ?? []).filter(({ key, value }) => key === 'firmware' && isBelow(value)).map(({ value }) => value);
}

/** A name that leaves the firmware directory is no firmware's. */
function isBelow(name: string): boolean {
  return name !== '' && !name.startsWith('/') && !name.split('/').includes('..');
}

/** The file that the kernel would take for a name; of a name with wildcards, which some modules give, all that it names. */
function findFirmware(roots: readonly string[], name: string): { readonly path: string; readonly from: string }[] {
  if (/[*?[]/.test(name)) {
    const found = new Map<string, string>();
    for (const root of roots) {
      const names = unlessGone(() => readdirSync(join(root, dirname(name)))) ?? [];
      for (const file of names.sort()) {
        const path = join(dirname(name), file);
        const plain = file.replace(/\.(?:zst|xz)$/, '');
        if (fnmatch(basename(name), plain) && !found.has(path) && isFile(join(root, path))) found.set(path, join(root, path));
      }
    }
    return [...found].map(([path, from]) => ({ path, from }));
  }
  for (const ending of FIRMWARE_ENDINGS) {
    const root = roots.find((directory) => isFile(join(directory, name + ending)));
    if (root !== undefined) return [{ path: name + ending, from: join(root, name + ending) }];
  }
  return [];
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

function sizeOf(source: ModuleSource, path: string): number {
  const file = source.open(path);
  try {
    return file.size;
  } finally {
    file.close();
  }
}

/** Devices go while they are looked at, and some attributes are not for everybody. */
function unlessGone<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ENODEV', 'EIO'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
