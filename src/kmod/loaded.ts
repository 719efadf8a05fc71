// The modules that are in the kernel now: /proc/modules for which and in what order, /sys/module for their size and users.

import { opendirSync, readFileSync } from 'node:fs';

import { codeOf, LimitError } from '../errors.ts';
import type { System } from '../system.ts';
import { isModuleName } from './live.ts';

export type LoadedModule = {
  readonly module: string;
  /** Bytes in memory. */
  readonly size: number;
  /** How many users; undefined where the kernel cannot unload modules. */
  readonly refcnt: number | undefined;
  /** Modules that use it, in the kernel's order. */
  readonly holders: readonly string[];
  readonly state: 'live' | 'coming' | 'going';
};

/** A line of /proc/modules (kernel/module/procfs.c). */
export type ProcModule = Omit<LoadedModule, 'holders'> & {
  /** Who uses it, in the kernel's order, with `[permanent]` left out. */
  readonly users: readonly string[];
};

/** Far beyond what any kernel has loaded. */
export const MAX_LOADED_MODULES = 65536;

const STATES: Readonly<Record<string, ProcModule['state']>> = { Live: 'live', Loading: 'coming', Unloading: 'going' };

/**
 * `NAME SIZE REFCNT USERS STATE ADDRESS [TAINTS]`; `-` where the kernel has no count or no users. Lines that are not so are left out.
 * Throws LimitError for more than MAX_LOADED_MODULES.
 */
export function parseProcModules(text: string, file: string): ProcModule[] {
  const modules: ProcModule[] = [];
  for (const line of text.split('\n')) {
    const [module = '', size = '', refcnt = '', users = '', state = ''] = line.split(' ');
    if (!isModuleName(module) || !/^\d+$/.test(size)) continue;
    if (modules.length === MAX_LOADED_MODULES) throw new LimitError({ file, limit: 'loaded modules', maximum: MAX_LOADED_MODULES });
    modules.push({
      module,
      size: Number(size),
      refcnt: /^-?\d+$/.test(refcnt) ? Number(refcnt) : undefined,
      users: users.split(',').filter((user) => isModuleName(user) && user !== '-' && !user.startsWith('[')),
      state: STATES[state] ?? 'live',
    });
  }
  return modules;
}

/**
 * What lsmod shows. Modules come and go meanwhile: for one that has left /sys, its line of /proc/modules still counts.
 * Throws Node's error where /proc/modules cannot be read: the kernel has no modules then, or /proc is not mounted.
 */
export function readLoadedModules(system: System): LoadedModule[] {
  const file = `${system.roots.proc}/modules`;
  return parseProcModules(readFileSync(file, 'latin1'), file).map(({ users, ...line }) => {
    const directory = `${system.roots.sys}/module/${line.module}`;
    return {
      ...line,
      size: readNumber(`${directory}/coresize`) ?? line.size,
      refcnt: readNumber(`${directory}/refcnt`) ?? line.refcnt,
      holders: readHolders(system, line.module) ?? users,
    };
  });
}

/** Modules that use `module`, as the kernel's directory lists them (readdirSync would sort); undefined where it is not loaded. */
export function readHolders(system: System, module: string): string[] | undefined {
  if (!isModuleName(module)) return undefined;
  const holders: string[] = [];
  try {
    const directory = opendirSync(`${system.roots.sys}/module/${module}/holders`);
    try {
      for (let entry = directory.readSync(); entry; entry = directory.readSync()) holders.push(entry.name);
    } finally {
      directory.closeSync();
    }
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
  return holders;
}

function readNumber(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'latin1').trim();
    return /^-?\d+$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENODEV' || code === 'ENOTDIR' || code === 'EACCES';
}
