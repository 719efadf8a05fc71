// A module made to load where its version information forbids it: what finit_module's flags do, for kernels that have only init_module.

import { ElfFile } from './elf.ts';
import type { ElfSection } from './elf.ts';
import { unsignedSize } from './signature.ts';

export type ForceOptions = {
  /** Ignore the versions of symbols. */
  readonly modversions: boolean;
  /** Ignore the kernel that the module was built for. */
  readonly vermagic: boolean;
};

/** elf.h. */
const SHF_ALLOC = 2;
const VERMAGIC = 'vermagic=';

/**
 * An edited copy of a module's image. The kernel looks for versions in sections that are loaded, so `__versions` (and its successors
 * of Linux 6.14) lose the flag that says so; the text of vermagic becomes zeros. The signature goes: the module is no longer what was
 * signed, and a signature that does not fit is refused where none at all may be taken (module_sig_check, kernel/module/signing.c).
 *
 * Throws FormatError for what is not an ELF file.
 */
export function forceImage(image: Uint8Array, { modversions, vermagic }: ForceOptions, file: string): Uint8Array {
  const copy = Uint8Array.from(image.subarray(0, unsignedSize(image)));
  const elf = new ElfFile(copy, file);
  if (modversions) {
    elf.sections.forEach((section, index) => {
      if (isVersions(section)) clearAlloc(elf, index);
    });
  }
  const modinfo = vermagic ? elf.section('.modinfo') : undefined;
  if (modinfo) blankVermagic(elf.contents(modinfo));
  return copy;
}

function isVersions({ name }: ElfSection): boolean {
  return name === '__versions' || name === '__version_ext_crcs' || name === '__version_ext_names';
}

/** sh_flags stands at 8 in the header of both classes, a word of the class; SHF_ALLOC is in its lowest byte. */
function clearAlloc(elf: ElfFile, index: number): void {
  const { bytes, view, is64, littleEndian } = elf;
  const headers = is64 ? Number(view.getBigUint64(40, littleEndian)) : view.getUint32(32, littleEndian);
  const size = view.getUint16(is64 ? 58 : 46, littleEndian);
  const at = headers + index * size + 8 + (littleEndian ? 0 : is64 ? 7 : 3);
  // ElfFile has read this very header, so it lies within the file.
  bytes[at] = (bytes[at] ?? 0) & ~SHF_ALLOC;
}

/** Every entry that begins so, up to its NUL. */
function blankVermagic(entries: Uint8Array): void {
  for (let at = 0; at < entries.length;) {
    const nul = entries.indexOf(0, at);
    const end = nul < 0 ? entries.length : nul;
    if (Buffer.from(entries.subarray(at, at + VERMAGIC.length)).toString('latin1') === VERMAGIC) entries.fill(0, at, end);
    at = end + 1;
  }
}
