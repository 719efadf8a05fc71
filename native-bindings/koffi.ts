// Where koffi, the foreign function interface, is found and how it is loaded fast.

import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { UnsupportedError, codeOf, messageOf } from '../src/errors.ts';

export type Koffi = typeof import('koffi');
export type CFunction = ReturnType<ReturnType<Koffi['load']>['func']>;

/** Pointers are bigints since koffi 3; the code here computes with them. */
const KOFFI_MAJOR = '3';

/** The interpreter's path (PT_INTERP) lies right behind the program headers, in the first page. */
const ELF_HEAD = 4096;

let loaded: Koffi | undefined;

/**
 * koffi, loaded once. First `koffi.node` beside the running file (where the bundle ships it), then the binary of
 * koffi's platform package, both by process.dlopen, which spares the search of koffi's own JavaScript (4 to 10 ms);
 * last koffi itself. Throws UnsupportedError when none can be loaded.
 */
export function loadKoffi(from: string = import.meta.url): Koffi {
  return (loaded ??= findKoffi(from));
}

/** As loadKoffi, but searches each time. `from` is the file: URL of the module to start from. */
export function findKoffi(from: string, libc?: 'glibc' | 'musl'): Koffi {
  if (process.platform !== 'linux') throw new UnsupportedError(`Linux is needed, and this is ${process.platform}`);
  const tried: string[] = [];
  for (const place of places(from, libc)) {
    try {
      const koffi = place.load();
      if (koffi.version.split('.', 1)[0] === KOFFI_MAJOR) return koffi;
      tried.push(`${place.name}: version ${koffi.version}, where ${KOFFI_MAJOR} is needed`);
    } catch (error) {
      // An absent file is the normal case and says nothing; a file that does not load is worth its reason.
      tried.push(`${place.name}: ${isAbsent(error) ? 'not there' : firstLine(messageOf(error))}`);
    }
  }
  throw new UnsupportedError(
    `koffi cannot be loaded on linux-${process.arch}; run "npm install koffi" beside tsmodprobe, ` +
      `or put koffi.node of @koromix/koffi-linux-${process.arch} next to the executable. Tried ${tried.join('; ')}`,
  );
}

type Place = { readonly name: string; readonly load: () => Koffi };

/** In order, each only when the one before it failed: finding out costs about as much as loading. */
function* places(from: string, libc: 'glibc' | 'musl' | undefined): Generator<Place> {
  const beside = join(dirname(fileURLToPath(from)), 'koffi.node');
  yield { name: beside, load: () => dlopen(beside) };
  const require = createRequire(from);
  for (const name of binaryNames(libc ?? libcOfNode(process.execPath))) {
    yield { name, load: () => dlopen(require.resolve(name)) };
  }
  yield { name: 'koffi', load: () => require('koffi') as Koffi };
}

/** The other libc's binary comes last, for a Node whose interpreter cannot be told (static, patched). */
function binaryNames(libc: 'glibc' | 'musl'): readonly string[] {
  // koffi names riscv64 with the float ABI.
  const abi = process.arch === 'riscv64' ? 'riscv64d' : process.arch;
  const directories = libc === 'musl' ? ['musl', 'linux'] : ['linux', 'musl'];
  return directories.map((directory) => `@koromix/koffi-linux-${process.arch}/${directory}_${abi}/koffi.node`);
}

function dlopen(path: string): Koffi {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, path);
  return module.exports as Koffi;
}

/** Cheaper by milliseconds than process.report. Only the order depends on it, so that a lost executable is no error. */
function libcOfNode(executable: string): 'glibc' | 'musl' {
  if (!existsSync(executable)) return 'glibc';
  const head = Buffer.alloc(ELF_HEAD);
  const fd = openSync(executable, 'r');
  try {
    const length = readSync(fd, head, 0, head.length, 0);
    return head.subarray(0, length).includes('/ld-musl-') ? 'musl' : 'glibc';
  } finally {
    closeSync(fd);
  }
}

function isAbsent(error: unknown): boolean {
  const code = codeOf(error);
  if (code === 'MODULE_NOT_FOUND' || code === 'ENOENT') return true;
  return code === 'ERR_DLOPEN_FAILED' && messageOf(error).includes('No such file or directory');
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
