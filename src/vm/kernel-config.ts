// What a kernel can unpack an initramfs from, as its configuration says: a config-RELEASE, or IKCONFIG inside the image.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { codeOf, messageOf, UnsupportedError } from '../errors.ts';

export const INITRAMFS_COMPRESSIONS = ['zstd', 'xz', 'gzip'] as const;
export type InitramfsCompression = (typeof INITRAMFS_COMPRESSIONS)[number];

/** init/Kconfig and usr/Kconfig of the kernel. */
const OPTIONS: Readonly<Record<InitramfsCompression, string>> = { zstd: 'CONFIG_RD_ZSTD', xz: 'CONFIG_RD_XZ', gzip: 'CONFIG_RD_GZIP' };

/** kernel/configs.c: a gzip stream between these marks. */
const IKCONFIG_START = Buffer.from('IKCFG_ST');
const IKCONFIG_END = Buffer.from('IKCFG_ED');
const MAX_CONFIG = 4 * 1024 * 1024;

/** The compressions that a configuration has, best first. */
export function compressionsOf(config: string): InitramfsCompression[] {
  const lines = new Set(config.split('\n'));
  return INITRAMFS_COMPRESSIONS.filter((compression) => lines.has(`${OPTIONS[compression]}=y`));
}

/** The configuration in the bytes of a decompressed kernel, or undefined where it has none (CONFIG_IKCONFIG). */
export function embeddedConfig(vmlinux: Uint8Array): string | undefined {
  const bytes = Buffer.from(vmlinux.buffer, vmlinux.byteOffset, vmlinux.byteLength);
  // The driver itself holds the marks' names in no such place: the stream's magic has to follow.
  for (let start = bytes.indexOf(IKCONFIG_START); start >= 0; start = bytes.indexOf(IKCONFIG_START, start + 1)) {
    const stream = start + IKCONFIG_START.length;
    const end = bytes.indexOf(IKCONFIG_END, stream);
    if (end > stream && bytes[stream] === 0x1f && bytes[stream + 1] === 0x8b) {
      return gunzipSync(bytes.subarray(stream, end), { maxOutputLength: MAX_CONFIG }).toString('latin1');
    }
  }
  return undefined;
}

/**
 * The configuration of a kernel: config-RELEASE beside the image, `config` in its module tree, or what `vmlinux` (the path of the
 * decompressed image) holds. undefined where none is there.
 */
export function readKernelConfig(
  { image, release, modules, vmlinux }: { readonly image?: string | undefined; readonly release: string; readonly modules?: string | undefined; readonly vmlinux?: string | undefined },
): string | undefined {
  const places = [...(image === undefined ? [`/boot/config-${release}`] : [join(dirname(image), `config-${release}`)]), ...(modules === undefined ? [] : [join(modules, 'config')])];
  for (const place of places) {
    try {
      return readFileSync(place, 'latin1');
    } catch (error) {
      // An image of modules has no file below it.
      if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw new UnsupportedError(`${place}: ${messageOf(error)}`, { cause: error });
    }
  }
  return vmlinux === undefined ? undefined : embeddedConfig(readFileSync(vmlinux));
}
