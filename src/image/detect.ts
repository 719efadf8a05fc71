// Which format an image has, by what is at known places in it, and the tree inside.

import { FormatError, UnsupportedError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { type Decompressor, expandSegment } from './compressed-segment.ts';
import { openCpio } from './cpio-tree.ts';
import { EROFS_SUPER_MAGIC, EROFS_SUPER_OFFSET } from './erofs-volume.ts';
import { openErofs } from './erofs.ts';
import { openExt4 } from './ext4.ts';
import { EXT4_SUPERBLOCK_OFFSET } from './ext4-superblock.ts';
import type { ImageFormat, ImageTree } from './image-tree.ts';
import { openSquashfs } from './squashfs.ts';
import { parseTarHeader, TAR_BLOCK } from './tar-header.ts';
import { openTar } from './tar.ts';

export type OpenImageOptions = {
  /** For compressed archives, and for squashfs with xz and zstd: without it they are refused. */
  readonly decompressor?: Decompressor | undefined;
};

const EXT4_MAGIC = { at: EXT4_SUPERBLOCK_OFFSET + 56, value: 0xef53 };
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

/**
 * The tree in an image: ext4, squashfs, erofs, cpio (archives one after the other, each perhaps compressed) or tar (perhaps compressed), told by
 * their magic. Throws FormatError for what is none of these or damaged, LimitError, and UnsupportedError for what is known and not read.
 */
export function openImage(source: ByteSource, options: OpenImageOptions = {}): ImageTree {
  const { decompressor } = options;
  const format = imageFormatOf(source);
  switch (format) {
    case 'erofs': return openErofs(source);
    case 'cpio': return openCpio(source, { decompressor });
    case 'tar': return openTar(source);
    case 'ext4': return openExt4(source);
    case 'squashfs': return openSquashfs(source, { decompressor });
    case undefined: return openCompressed(source, decompressor);
  }
}

function openCompressed(source: ByteSource, decompressor: Decompressor | undefined): ImageTree {
  const first = expandSegment(source, 0, decompressor);
  const format = first === undefined ? undefined : imageFormatOf(first.source);
  if (first !== undefined && format === 'tar') return openTar(first.source);
  if (first !== undefined && format === 'cpio') return openCpio(source, { decompressor, first });
  if (format !== undefined) throw new UnsupportedError(`${source.name}: a compressed ${format} image is not read; decompress it first`);
  throw new FormatError({ file: source.name, offset: 0, expected: 'an image: ext4, squashfs, erofs, cpio or tar', actual: first === undefined ? 'something else' : 'something else, compressed' });
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
