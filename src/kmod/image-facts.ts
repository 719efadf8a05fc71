// What of a module's image decides whether a kernel takes it: architecture, vermagic, symbols with versions and namespaces, signature.

import { ElfFile } from './elf.ts';
import { exportedSymbols, modinfoStrings, type NeededSymbol, neededSymbols, symbolNamespaces } from './module-elf.ts';
import { type ModuleSignature, readSignature } from './signature.ts';

export type ImageFacts = {
  readonly machine: number;
  readonly bits: 32 | 64;
  /** Undefined where the module has none: it was not made by a kernel's build. */
  readonly vermagic: string | undefined;
  readonly needs: readonly NeededSymbol[];
  /** Versions by symbol. */
  readonly exports: ReadonlyMap<string, number>;
  /** Namespaces by exported symbol. */
  readonly namespaces: ReadonlyMap<string, string>;
  readonly importedNamespaces: ReadonlySet<string>;
  readonly signature: ModuleSignature | undefined;
};

/** Throws FormatError for what is no ELF file, or a damaged one. Nothing of the image is kept. */
export function readImageFacts(image: Uint8Array, file: string): ImageFacts {
  const elf = new ElfFile(image, file);
  const modinfo = modinfoStrings(elf);
  const valuesOf = (key: string) => modinfo.filter((entry) => entry.startsWith(`${key}=`)).map((entry) => entry.slice(key.length + 1));
  return {
    machine: elf.machine,
    bits: elf.is64 ? 64 : 32,
    vermagic: valuesOf('vermagic')[0]?.trim(),
    needs: neededSymbols(elf),
    exports: new Map(exportedSymbols(elf).map(({ name, crc }) => [name, crc])),
    namespaces: symbolNamespaces(elf),
    importedNamespaces: new Set(valuesOf('import_ns')),
    signature: readSignature(image, file),
  };
}
