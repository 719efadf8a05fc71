// modprobe --show-modversions and --show-exports: the symbols of one module file with their versions.

import { messageOf, UnsupportedError } from '../errors.ts';
import { unreadCode } from '../kmod/failure.ts';
import { ImageReader } from '../kmod/image-reader.ts';
import { openImage } from '../kmod/modinfo.ts';
import { exportedSymbols, modversions } from '../kmod/module-elf.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { errnoByName, errnoText, type System } from '../system.ts';

/** `crc` is 0 for a symbol without version. */
export type SymbolVersion = { readonly name: string; readonly crc: number };

/** The symbols, or why there are none, in kmod's words. `source`: where `path` leads, when it is no file of this machine. */
export async function symbolsOf(system: System, path: string, kind: 'show-modversions' | 'show-exports', source?: ModuleSource): Promise<readonly SymbolVersion[] | string> {
  const of = kind === 'show-exports' ? exportedSymbols : modversions;
  try {
    const symbols = await new ImageReader(system, { jobs: 1, source }).use(path, (image) => of(openImage(image, path)).map(({ name, crc }) => ({ name, crc: Math.max(crc, 0) })));
    return symbols.length > 0 ? symbols : errnoText(errnoByName('ENODATA') ?? 0);
  } catch (error) {
    // What is to be installed, kmod does not know.
    return error instanceof UnsupportedError ? messageOf(error) : errnoText(errnoByName(unreadCode(error)) ?? 0);
  }
}

/** Lines `0xCRC\tSYMBOL`. */
export function formatSymbols(symbols: readonly SymbolVersion[]): string {
  return symbols.map(({ name, crc }) => `0x${crc.toString(16).padStart(8, '0')}\t${name}\n`).join('');
}
