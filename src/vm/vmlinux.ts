// The ELF kernel inside a bzImage: QEMU starts it through its PVH entry point, a second sooner than it decompresses itself.

import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { FormatError, LimitError } from '../errors.ts';
import { cached } from './cache.ts';
import { filterToFile, findTool } from './host-tool.ts';

/** The compressed kernel inside a bzImage. */
export type Payload = {
  readonly format: 'xz' | 'zstd' | 'gzip' | 'other';
  /** The compressed stream, without the size that the kernel's build appends. A view of the image. */
  readonly data: Uint8Array;
  /** Bytes of the decompressed kernel with its relocations. */
  readonly size: number;
};

/** A distribution's kernel has 50 to 80 MiB. */
const MAX_VMLINUX_SIZE = 512 * 1024 * 1024;

// Documentation/arch/x86/boot.rst: the setup header of protocol 2.08.
const SETUP_SECTS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PROTOCOL_VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const PROTOCOL_WITH_PAYLOAD = 0x208;

/** xen/interface/elfnote.h: the 32-bit entry point of a PVH guest. */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const PT_NOTE = 4;
const ELF_MAGIC = Buffer.from('\x7fELF', 'latin1');

const MAGICS: readonly (readonly [Payload['format'], readonly number[]])[] = [
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['gzip', [0x1f, 0x8b]],
];

/** Finds the payload of a bzImage by its setup header; `file` names it in errors. */
export function parseBzImage(image: Uint8Array, file: string): Payload {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  if (bytes.length < PAYLOAD_LENGTH + 4 || bytes.toString('latin1', HEADER_MAGIC, HEADER_MAGIC + 4) !== 'HdrS') {
    throw new FormatError({ file, offset: HEADER_MAGIC, expected: 'the magic HdrS of a bzImage', actual: 'something else' });
  }
  const version = bytes.readUInt16LE(PROTOCOL_VERSION);
  if (version < PROTOCOL_WITH_PAYLOAD) {
    throw new FormatError({ file, offset: PROTOCOL_VERSION, expected: 'boot protocol 2.08 or later', actual: `0x${version.toString(16)}` });
  }
  // A count of 0 means 4, for the oldest boot loaders; the boot sector comes before the setup sectors.
  const start = ((bytes[SETUP_SECTS] || 4) + 1) * 512 + bytes.readUInt32LE(PAYLOAD_OFFSET);
  const length = bytes.readUInt32LE(PAYLOAD_LENGTH);
  if (length < 8 || start + length > bytes.length) {
    throw new FormatError({ file, offset: PAYLOAD_OFFSET, expected: `a payload inside ${bytes.length} bytes`, actual: `${start} + ${length}` });
  }
  const size = bytes.readUInt32LE(start + length - 4);
  if (size > MAX_VMLINUX_SIZE) throw new LimitError({ file, limit: 'MAX_VMLINUX_SIZE', maximum: MAX_VMLINUX_SIZE, actual: size });
  const payload = bytes.subarray(start, start + length);
  const format = MAGICS.find(([, magic]) => payload.subarray(0, magic.length).equals(Buffer.from(magic)))?.[0] ?? 'other';
  // For gzip the size is the ISIZE field of the stream itself (arch/x86/boot/compressed/mkpiggy.c).
  return { format, size, data: format === 'gzip' ? payload : payload.subarray(0, -4) };
}

/** Whether an ELF image says where a PVH guest enters it. Throws a FormatError where the program headers are not inside it. */
export function hasPvhEntry(elf: Uint8Array, file: string): boolean {
  const bytes = Buffer.from(elf.buffer, elf.byteOffset, elf.byteLength);
  const is64 = bytes[4] === 2;
  if (bytes.length < 64 || !bytes.subarray(0, 4).equals(ELF_MAGIC) || !is64) return false;
  const table = Number(bytes.readBigUInt64LE(0x20));
  const entrySize = bytes.readUInt16LE(0x36);
  const count = bytes.readUInt16LE(0x38);
  if (entrySize < 56 || table + entrySize * count > bytes.length) {
    throw new FormatError({ file, offset: 0x20, expected: 'program headers inside the file', actual: `${count} at ${table}` });
  }
  for (let header = table; header < table + entrySize * count; header += entrySize) {
    if (bytes.readUInt32LE(header) !== PT_NOTE) continue;
    const offset = Number(bytes.readBigUInt64LE(header + 8));
    const size = Number(bytes.readBigUInt64LE(header + 32));
    if (offset + size > bytes.length) {
      throw new FormatError({ file, offset: header, expected: 'notes inside the file', actual: `${size} bytes at ${offset}` });
    }
    if (hasXenNote(bytes.subarray(offset, offset + size))) return true;
  }
  return false;
}

/** As extractKernel, for QEMU to start: undefined also where it has no PVH entry point, and must be booted as it is. */
export async function extractVmlinux(image: string, cacheDirectory: string): Promise<string | undefined> {
  const kernel = await extractKernel(image, cacheDirectory);
  if (kernel === undefined || kernel === image) return kernel;
  // Looked for once: it is somewhere in 60 MB.
  const entry = `${kernel}.pvh`;
  await cached(entry, async (temporary) => writeFile(temporary, hasPvhEntry(await readFile(kernel), image) ? 'yes' : ''));
  return (await stat(entry)).size > 0 ? kernel : undefined;
}

/** The path of the ELF kernel of `image`, decompressed into the cache; `image` itself when it is one already; undefined where no tool here undoes its compression. */
export async function extractKernel(image: string, cacheDirectory: string): Promise<string | undefined> {
  const { size, mtimeMs } = await stat(image);
  const key = createHash('sha256').update(`${image}\0${size}\0${mtimeMs}`).digest('hex').slice(0, 16);
  const path = join(cacheDirectory, 'vmlinux', `${basename(image).replace('vmlinuz-', '')}-${key}`);
  const bytes = await readFile(image);
  if (bytes.subarray(0, 4).equals(ELF_MAGIC)) return image;
  const payload = parseBzImage(bytes, image);
  const tool = payload.format === 'xz' || payload.format === 'zstd' ? findTool(payload.format) : undefined;
  if (payload.format === 'other' || (payload.format !== 'gzip' && tool === undefined)) return undefined;
  await cached(path, async (temporary) => {
    if (tool === undefined) await writeFile(temporary, await promisify(gunzip)(payload.data, { maxOutputLength: payload.size }));
    // The kernel is compressed with the largest window that there is.
    else await filterToFile(tool, payload.format === 'zstd' ? ['-dc', '--long=31'] : ['-dc'], payload.data, temporary);
    const { size: actual } = await stat(temporary);
    if (actual !== payload.size) throw new FormatError({ file: image, offset: 0, expected: `${payload.size} bytes in it`, actual: `${actual}` });
  });
  return path;
}

/** Notes: name size, description size, type, then both, padded to 4 bytes each. */
function hasXenNote(notes: Buffer): boolean {
  for (let at = 0; at + 12 <= notes.length;) {
    const nameSize = notes.readUInt32LE(at);
    const type = notes.readUInt32LE(at + 8);
    const name = notes.toString('latin1', at + 12, Math.min(at + 12 + nameSize, notes.length));
    if (type === XEN_ELFNOTE_PHYS32_ENTRY && name === 'Xen\0') return true;
    at += 12 + padded(nameSize) + padded(notes.readUInt32LE(at + 4));
  }
  return false;
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
