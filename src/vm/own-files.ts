// Where this package keeps what a guest gets of it: the bundle of the CLI, the native part of koffi, and our rules.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { codeOf } from '../errors.ts';

/** dist/tskmod.cjs, or undefined where it has not been built. */
export function findBundle(): string | undefined {
  const top = packageDirectory();
  const path = top === undefined ? undefined : join(top, 'dist/tskmod.cjs');
  return path !== undefined && existsSync(path) ? path : undefined;
}

/** The rules that we ship, or undefined where the package is not whole. */
export function findRules(): string | undefined {
  const top = packageDirectory();
  const path = top === undefined ? undefined : join(top, 'rules');
  return path !== undefined && existsSync(path) ? path : undefined;
}

/** koffi.node for a guest of x86-64 with this C library, or undefined where koffi's package for it is not installed. */
export function findKoffi(libc: 'linux' | 'musl'): string | undefined {
  const top = packageDirectory();
  if (top === undefined) return undefined;
  const koffi = resolveFrom(join(top, 'package.json'), 'koffi');
  const native = koffi === undefined ? undefined : resolveFrom(koffi, '@koromix/koffi-linux-x64');
  const path = native === undefined ? undefined : join(dirname(native), `${libc}_x64/koffi.node`);
  return path !== undefined && existsSync(path) ? path : undefined;
}

/** The directory of our package.json: the sources, the library and the bundle lie at different depths below it. */
function packageDirectory(): string | undefined {
  for (let directory = dirname(fileURLToPath(import.meta.url)); directory !== dirname(directory); directory = dirname(directory)) {
    const path = join(directory, 'package.json');
    if (existsSync(path) && /"name":\s*"tsmodprobe"/.test(readFileSync(path, 'utf8'))) return directory;
  }
  return undefined;
}

function resolveFrom(file: string, name: string): string | undefined {
  try {
    return createRequire(file).resolve(name);
  } catch (error) {
    if (codeOf(error) === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
