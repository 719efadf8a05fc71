// Opens an image of any format as the tree that is in it.

import { FormatError, UnsupportedError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { type Decompressor, expandSegment } from './compressed-segment.ts';
import { openCpio } from './cpio-tree.ts';
import { openErofs } from './erofs.ts';
import { openExt4 } from './ext4.ts';
import { imageFormatOf } from './image-format.ts';
import type { ImageTree } from './image-tree.ts';
import { openSquashfs } from './squashfs.ts';
import { openTar } from './tar.ts';

export type OpenImageOptions = {
  /** For compressed archives, and for squashfs with xz and zstd: without it they are refused. */
  readonly decompressor?: Decompressor | undefined;
};

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
