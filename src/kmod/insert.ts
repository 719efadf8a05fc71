// Gets one module file into the kernel: as it is, compressed, or decompressed by us into memory.

import { readFileSync, writeSync, closeSync } from 'node:fs';

import { codeOf } from '../errors.ts';
import { type Errno, errnoName, MODULE_INIT_COMPRESSED_FILE, type Native, type System } from '../system.ts';
import { type Compression, compressionOf, decompress } from './compression.ts';
import type { ModuleFile } from './module-source.ts';

/** Enough for any magic. */
const HEAD_SIZE = 16;

export type Insertion = {
  readonly errno: Errno;
  readonly syscall: 'finit_module' | 'init_module' | 'memfd_create';
  /** Who decompressed it. */
  readonly decompressed: 'kernel' | 'userspace' | undefined;
};

/** The format that the kernel decompresses itself (one only), or undefined. Source: Documentation/ABI/testing/sysfs-module. */
export function kernelCompression(system: System): Compression | undefined {
  try {
    const text = readFileSync(`${system.roots.sys}/module/compression`, 'latin1').trim();
    return text === 'gzip' || text === 'xz' || text === 'zstd' ? text : undefined;
  } catch (error) {
    // Kernels before 6.4, and those without MODULE_DECOMPRESS, have no such file.
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Inserts an open module file. `newKernelLines` returns what the kernel has logged since the insertion began, undefined where
 * that is not known. Throws FormatError, LimitError or UnsupportedError for a file that cannot be decompressed.
 */
export async function insertFile(
  file: ModuleFile, params: string,
  context: { readonly native: Native; readonly kernelFormat: Compression | undefined; readonly newKernelLines: () => string[] | undefined },
): Promise<Insertion> {
  const { native } = context;
  const compression = compressionOf(file.read(0, HEAD_SIZE));
  if (file.fd !== undefined && (compression === undefined || compression === context.kernelFormat)) {
    const flags = compression === undefined ? 0 : MODULE_INIT_COMPRESSED_FILE;
    const errno = await native.finitModule(file.fd, params, flags);
    if (!goesOnInUserspace(errno, compression, context.newKernelLines)) {
      return { errno, syscall: 'finit_module', decompressed: compression && 'kernel' };
    }
  }
  const content = file.read(0, file.size);
  if (compression === undefined) return insertBytes(content, params, file.path, native, undefined);
  const codecs = { xz: native.xz, zstd: native.zstd };
  return insertBytes(decompress(content, compression, { file: file.path, codecs }), params, file.path, native, 'userspace');
}

/** Whether the answer to handing over the file itself says nothing yet about the module inside. */
function goesOnInUserspace(errno: Errno, compression: Compression | undefined, newKernelLines: () => string[] | undefined): boolean {
  const code = errnoName(errno);
  if (code === 'ENOSYS') return true;
  if (compression === undefined) return false;
  // The kernel's decompressor knows fewer checks than xz has, takes only the first stream, and says EINVAL or ENOEXEC.
  if (code === 'EOPNOTSUPP' || code === 'ENOEXEC') return true;
  return code === 'EINVAL' && (newKernelLines()?.some((line) => /compress/i.test(line)) ?? true);
}

async function insertBytes(
  image: Uint8Array, params: string, path: string, native: Native, decompressed: Insertion['decompressed'],
): Promise<Insertion> {
  const memory = native.memfdCreate(path.slice(path.lastIndexOf('/') + 1));
  if ('errno' in memory) {
    if (errnoName(memory.errno) !== 'ENOSYS') return { errno: memory.errno, syscall: 'memfd_create', decompressed };
    return { errno: await native.initModule(image, params), syscall: 'init_module', decompressed };
  }
  try {
    for (let done = 0; done < image.length;) done += writeSync(memory.fd, image, done, image.length - done);
    const errno = await native.finitModule(memory.fd, params, 0);
    if (errnoName(errno) !== 'ENOSYS') return { errno, syscall: 'finit_module', decompressed };
  } finally {
    closeSync(memory.fd);
  }
  return { errno: await native.initModule(image, params), syscall: 'init_module', decompressed };
}
