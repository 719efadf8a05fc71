// Which format an image has, by what is at known places in it.

import { FormatError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { EROFS_SUPER_MAGIC, EROFS_SUPER_OFFSET } from './erofs-volume.ts';
import type { ImageFormat } from './image-tree.ts';
import { parseTarHeader, TAR_BLOCK } from './tar-header.ts';

/** In the superblock, which is at 1024: ext4-superblock.ts, that other formats need not load. */
const EXT4_MAGIC = { at: 1024 + 56, value: 0xef53 };
const SQUASHFS_MAGIC = 0x73717368;
/** Beyond the last magic. */
const HEAD = 2048;

/** The format of an image that is not compressed; undefined where it is none of ours. */
export function imageFormatOf(source: ByteSource): ImageFormat | undefined {
  const bytes = source.read(0, Math.min(HEAD, source.size));
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (/^07070[12]/.test(head.toString('latin1', 0, 6))) return 'cpio';
  if (head.length >= 4 && head.readUInt32LE(0) === SQUASHFS_MAGIC) return 'squashfs';
  if (head.length >= EROFS_SUPER_OFFSET + 4 && head.readUInt32LE(EROFS_SUPER_OFFSET) === EROFS_SUPER_MAGIC) return 'erofs';
  if (head.length >= EXT4_MAGIC.at + 2 && head.readUInt16LE(EXT4_MAGIC.at) === EXT4_MAGIC.value) return 'ext4';
  return isTar(head, source.name) ? 'tar' : undefined;
}

/** The oldest format has no magic, but a checksum. */
function isTar(head: Buffer, file: string): boolean {
  if (head.length < TAR_BLOCK) return false;
  if (head.toString('latin1', 257, 262) === 'ustar') return true;
  try {
    return parseTarHeader(head.subarray(0, TAR_BLOCK), file, 0) !== undefined;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}
