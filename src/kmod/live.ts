// What the running kernel says of a module: loaded, coming or going, how often used, and by whom.

import { readdirSync } from 'node:fs';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { isDirectory, readLatin1 } from './text-file.ts';

/** linux/limits.h: bytes of a file's name. */
const NAME_MAX = 255;

/** linux/module.h, as /sys/module/NAME/initstate spells it. */
export type InitState = 'live' | 'coming' | 'going';

/** Reads below `system.roots.sys`/module at every call: the kernel's state changes under us. Names are normalised. */
export class LiveModules {
  readonly #directory: string;

  constructor(system: System) {
    this.#directory = `${system.roots.sys}/module`;
  }

  /**
   * Undefined when the module is not in the kernel as a loaded module. A directory without initstate is a module that
   * is just coming, or built in; callers that care ask for built-in modules first.
   */
  state(module: string): InitState | undefined {
    // Looked for first: most are absent, and an exception costs more than a look.
    if (!this.#exists(module)) return undefined;
    const text = this.#read(module, 'initstate');
    if (text === 'live' || text === 'coming' || text === 'going') return text;
    return this.#exists(module) ? 'coming' : undefined;
  }

  /** How many users the module has; undefined when it is not loaded or the kernel cannot unload modules. */
  refcnt(module: string): number | undefined {
    const text = this.#read(module, 'refcnt');
    return text === undefined ? undefined : Number.parseInt(text, 10);
  }

  /** Modules that use this one. */
  holders(module: string): string[] {
    if (!isModuleName(module)) return [];
    try {
      return readdirSync(`${this.#directory}/${module}/holders`).sort();
    } catch (error) {
      if (isGone(error)) return [];
      throw error;
    }
  }

  #exists(module: string): boolean {
    return isModuleName(module) && isDirectory(`${this.#directory}/${module}`);
  }

  #read(module: string, attribute: string): string | undefined {
    if (!isModuleName(module)) return undefined;
    try {
      return readLatin1(`${this.#directory}/${module}/${attribute}`).trim();
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }
}

/** What of the modules of `system.release` is loaded: nothing where another kernel runs. */
export function liveOf(system: System, isRunning: boolean): Pick<LiveModules, 'state' | 'holders'> {
  return isRunning ? new LiveModules(system) : { state: () => undefined, holders: () => [] };
}

/** The kernel as it would be if `removed` were gone: what a dry run of removals asks. */
export function liveWithout(live: LiveModules, removed: ReadonlySet<string>): Pick<LiveModules, 'state' | 'refcnt'> {
  return {
    state: (module) => (removed.has(module) ? undefined : live.state(module)),
    refcnt(module) {
      const count = live.refcnt(module);
      // A holder is one user.
      return removed.size === 0 || count === undefined ? count : Math.max(0, count - live.holders(module).filter((holder) => removed.has(holder)).length);
    },
  };
}

/** A name that may become a path. Indexes that are damaged have names longer than any file's. */
export function isModuleName(name: string): boolean {
  return name !== '' && Buffer.byteLength(name) <= NAME_MAX && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');
}

/** A module can vanish between any two reads. */
function isGone(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENODEV' || code === 'ENOTDIR';
}
