// Which firmware the modules of an image name, and which of that is not in it.

import { compressionOf, decompress } from '../kmod/compression.ts';
import { FIRMWARE_ENDINGS, firmwareNames, firmwareRoots } from '../kmod/select-reader.ts';
import type { KernelFiles } from './kernel-files.ts';

/** A module names what any of its devices may want: `missing` of `all` are absent. */
export type AbsentFirmware = { readonly module: string; readonly missing: readonly string[]; readonly all: number };

/**
 * Of modules whose files are there. Nothing where firmware is not the image's business: modules alone. A name with wildcards counts as
 * there. Throws what reading a damaged module throws.
 */
export function absentFirmware({ kmod, release, holds, isInitramfs }: KernelFiles, module: string): AbsentFirmware | undefined {
  if (!holds || !(isInitramfs || ['lib/firmware', 'usr/lib/firmware'].some(holds))) return undefined;
  const path = kmod.facts.db.dependencies(module)?.path;
  if (path === undefined) return undefined;
  const names = [...new Set(namesIn(kmod.source, path))];
  const places = firmwareRoots('', release).map((directory) => directory.slice(1));
  const missing = names.filter((name) => !/[*?[]/.test(name) && !places.some((place) => FIRMWARE_ENDINGS.some((ending) => holds(`${place}/${name}${ending}`))));
  return missing.length === 0 ? undefined : { module, missing, all: names.length };
}

function namesIn(source: KernelFiles['kmod']['source'], path: string): readonly string[] {
  const file = source.open(path);
  try {
    const data = file.read(0, file.size);
    const compression = compressionOf(data);
    return firmwareNames(compression === undefined ? data : decompress(data, compression, { file: file.path }), file.path);
  } finally {
    file.close();
  }
}
