// modprobe --show-modversions and --show-exports: the symbols of one module file with their versions.

import { FormatError } from '../errors.ts';
import { compressionOf, decompress } from '../kmod/compression.ts';
import { ElfFile } from '../kmod/elf.ts';
import { exportedSymbols, modversions } from '../kmod/module-elf.ts';
import type { ModuleFile } from '../kmod/module-source.ts';

/** `crc` is 0 for a symbol without version. */
export type SymbolVersion = { readonly name: string; readonly crc: number };

/** Undefined for a file that is no module. */
export function symbolsOf(file: ModuleFile, kind: 'show-modversions' | 'show-exports'): SymbolVersion[] | undefined {
  const content = file.read(0, file.size);
  const compression = compressionOf(content);
  try {
    const elf = new ElfFile(compression === undefined ? content : decompress(content, compression, { file: file.path }), file.path);
    const symbols = kind === 'show-exports' ? exportedSymbols(elf) : modversions(elf);
    return symbols.map(({ name, crc }) => ({ name, crc: Math.max(crc, 0) }));
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Lines `0xCRC\tSYMBOL`. */
export function formatSymbols(symbols: readonly SymbolVersion[]): string {
  return symbols.map(({ name, crc }) => `0x${crc.toString(16).padStart(8, '0')}\t${name}\n`).join('');
}
