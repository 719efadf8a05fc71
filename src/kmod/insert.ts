// Gets one module file into the kernel: as it is, compressed, or decompressed by us into memory.

import { readFileSync, writeSync, closeSync } from 'node:fs';

import { codeOf } from '../errors.ts';
import {
  type Errno, errnoName, MODULE_INIT_COMPRESSED_FILE, MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_IGNORE_VERMAGIC, type Native, type System,
} from '../system.ts';
import { type Compression, compressionOf, decompress } from './compression.ts';
import { forceImage } from './force.ts';
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

export type InsertContext = {
  readonly native: Native;
  readonly kernelFormat: Compression | undefined;
  /** What the kernel has logged since the insertion began, undefined where that is not known. */
  readonly newKernelLines: () => string[] | undefined;
  /** MODULE_INIT_IGNORE_*, to force what would not load; none when absent. */
  readonly flags?: number | undefined;
  /** Where the time goes is added up. */
  readonly meter?: InsertMeter;
};

/** Milliseconds of one insertion. */
export type InsertTimes = { readMs: number; decompressMs: number; initMs: number };
export type InsertMeter = { readonly times: InsertTimes; readonly now: () => number };

/** Begins to measure a part; the function that it gives ends that. */
function measure(meter: InsertMeter | undefined, part: keyof InsertTimes): () => void {
  if (!meter) return () => undefined;
  const began = meter.now();
  return () => {
    meter.times[part] += meter.now() - began;
  };
}

async function finit({ native, meter }: InsertContext, fd: number, params: string, flags: number): Promise<Errno> {
  const end = measure(meter, 'initMs');
  const errno = await native.finitModule(fd, params, flags);
  end();
  return errno;
}

async function init({ native, meter }: InsertContext, image: Uint8Array, params: string): Promise<Errno> {
  const end = measure(meter, 'initMs');
  const errno = await native.initModule(image, params);
  end();
  return errno;
}

/**
 * Inserts an open module file: as it is where the kernel takes that, out of memory where the file is a part of another. Throws FormatError, LimitError or UnsupportedError for a file that cannot be decompressed.
 */
export async function insertFile(file: ModuleFile, params: string, context: InsertContext): Promise<Insertion> {
  const { native, flags: forceFlags = 0 } = context;
  const compression = compressionOf(file.read(0, HEAD_SIZE));
  const isForKernel = compression === undefined || compression === context.kernelFormat;
  if (file.fd !== undefined && isForKernel) {
    const flags = compression === undefined ? 0 : MODULE_INIT_COMPRESSED_FILE;
    const errno = await finit(context, file.fd, params, forceFlags | flags);
    if (!goesOnInUserspace(errno, compression, context.newKernelLines)) {
      return { errno, syscall: 'finit_module', decompressed: compression && 'kernel' };
    }
  }
  const endRead = measure(context.meter, 'readMs');
  const content = file.read(0, file.size);
  endRead();
  if (compression === undefined) return insertBytes(content, params, file.path, context, undefined);
  if (file.fd === undefined && isForKernel) {
    const insertion = await insertCompressed(content, params, file.path, context);
    if (insertion && !goesOnInUserspace(insertion.errno, compression, context.newKernelLines)) return insertion;
  }
  const codecs = { xz: native.xz, zstd: native.zstd };
  const endDecompress = measure(context.meter, 'decompressMs');
  const image = decompress(content, compression, { file: file.path, codecs });
  endDecompress();
  return insertBytes(image, params, file.path, context, 'userspace');
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

/** undefined without memfd_create(2): init_module(2) takes nothing compressed. */
async function insertCompressed(content: Uint8Array, params: string, path: string, context: InsertContext): Promise<Insertion | undefined> {
  const { native, flags = 0 } = context;
  const memory = native.memfdCreate(path.slice(path.lastIndexOf('/') + 1));
  if ('errno' in memory) return undefined;
  try {
    writeAll(memory.fd, content);
    const errno = await finit(context, memory.fd, params, flags | MODULE_INIT_COMPRESSED_FILE);
    return { errno, syscall: 'finit_module', decompressed: 'kernel' };
  } finally {
    closeSync(memory.fd);
  }
}

async function insertBytes(
  image: Uint8Array, params: string, path: string, context: InsertContext, decompressed: Insertion['decompressed'],
): Promise<Insertion> {
  const { native, flags = 0 } = context;
  const memory = native.memfdCreate(path.slice(path.lastIndexOf('/') + 1));
  if ('errno' in memory) {
    if (errnoName(memory.errno) !== 'ENOSYS') return { errno: memory.errno, syscall: 'memfd_create', decompressed };
    return { errno: await init(context, forced(image, flags, path), params), syscall: 'init_module', decompressed };
  }
  try {
    writeAll(memory.fd, image);
    const errno = await finit(context, memory.fd, params, flags);
    if (errnoName(errno) !== 'ENOSYS') return { errno, syscall: 'finit_module', decompressed };
  } finally {
    closeSync(memory.fd);
  }
  return { errno: await init(context, forced(image, flags, path), params), syscall: 'init_module', decompressed };
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done);
}

/** init_module(2) takes no flags: what they would ignore is taken out of the image. */
function forced(image: Uint8Array, flags: number, path: string): Uint8Array {
  if (flags === 0) return image;
  const modversions = (flags & MODULE_INIT_IGNORE_MODVERSIONS) !== 0;
  const vermagic = (flags & MODULE_INIT_IGNORE_VERMAGIC) !== 0;
  return forceImage(image, { modversions, vermagic }, path);
}
