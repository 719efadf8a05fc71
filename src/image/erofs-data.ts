// The contents of files in erofs, however they are laid out: flat, inline, in chunks or compressed.

import { FormatError, UnsupportedError } from '../errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import { readErofsExtents, type ErofsExtent } from './erofs-extents.ts';
import {
  EROFS_INODE_CHUNK_BASED, EROFS_INODE_FLAT_INLINE, EROFS_INODE_FLAT_PLAIN, type ErofsInode, type ErofsVolume,
} from './erofs-volume.ts';
import { fileRange, type FileRange } from './file-range.ts';
import { decodeLz4Block } from './lz4.ts';

/** Some bytes of a file: in the image, or in memory, or a hole where there is neither. */
type Piece = { readonly length: number; readonly offset?: number; readonly bytes?: Uint8Array };

/** Extents that are kept of the files read last. */
const KEPT_EXTENTS = 65_536;
/** Bytes that are kept of the extents decoded last: many fragments of files are in one extent of the packed inode. */
const KEPT_BYTES = 16 * 1024 * 1024;
const CHUNK_BITS_MASK = 0x1f;
const CHUNK_INDEXES = 0x20;
const CHUNK_HOLE = 0xffff_ffff;

/** Reads the data of inodes. Throws FormatError, LimitError, and UnsupportedError for compression that we do not read. */
export class ErofsData {
  readonly #volume: ErofsVolume;
  readonly #extents = new BoundedCache<readonly ErofsExtent[]>({ limit: KEPT_EXTENTS, weightOf: (extents) => extents.length + 1 });
  readonly #decoded = new BoundedCache<Uint8Array>({ limit: KEPT_BYTES, weightOf: (bytes) => bytes.length + 1 });

  constructor(volume: ErofsVolume) {
    this.#volume = volume;
  }

  /** Up to `length` bytes from `offset`, fewer only at the end. */
  read(inode: ErofsInode, offset = 0, length = Infinity): Uint8Array {
    const { source } = this.#volume;
    const range = fileRange(source.name, inode.size, offset, length);
    const pieces = this.#pieces(inode, range);
    const [first] = pieces;
    if (pieces.length === 1 && first?.offset !== undefined) return source.read(first.offset, first.length);
    if (pieces.length === 1 && first?.bytes !== undefined) return first.bytes;
    // Read before anything is allocated: of a size that lies, the image does not hold the bytes.
    const parts = pieces.map((piece) => (piece.offset === undefined ? piece : { length: piece.length, bytes: source.read(piece.offset, piece.length) }));
    const contents = new Uint8Array(range.length);
    let at = 0;
    for (const part of parts) {
      if (part.bytes !== undefined) contents.set(part.bytes, at);
      at += part.length;
    }
    return contents;
  }

  /** Where all bytes lie in one piece, uncompressed; undefined when they do not. */
  extent(inode: ErofsInode): FileRange | undefined {
    if (inode.size === 0 || (inode.layout !== EROFS_INODE_FLAT_PLAIN && inode.layout !== EROFS_INODE_FLAT_INLINE && inode.layout !== EROFS_INODE_CHUNK_BASED)) return undefined;
    const [first, ...more] = this.#pieces(inode, { offset: 0, length: inode.size });
    return first?.offset === undefined || more.length > 0 ? undefined : { offset: first.offset, length: first.length };
  }

  #pieces(inode: ErofsInode, range: FileRange): Piece[] {
    if (range.length === 0) return [];
    switch (inode.layout) {
      case EROFS_INODE_FLAT_PLAIN: return [{ offset: inode.union * this.#volume.blockSize + range.offset, length: range.length }];
      case EROFS_INODE_FLAT_INLINE: return this.#inlinePieces(inode, range);
      case EROFS_INODE_CHUNK_BASED: return this.#chunkPieces(inode, range);
      default: return this.#compressedPieces(inode, range, true);
    }
  }

  /** Whole blocks as in a plain file; what is left of the last one stands behind the inode, in the inode's own block. */
  #inlinePieces(inode: ErofsInode, { offset, length }: FileRange): Piece[] {
    const { blockSize, source } = this.#volume;
    const tail = Math.floor(Math.max(inode.size - 1, 0) / blockSize) * blockSize;
    const tailLength = inode.size - tail;
    if ((inode.end % blockSize) + tailLength > blockSize) {
      throw new FormatError({ file: source.name, offset: inode.end, expected: 'inline data inside a block', actual: `${tailLength} bytes` });
    }
    const end = offset + length;
    const blocks = Math.max(0, Math.min(end, tail) - offset);
    const from = Math.max(offset, tail);
    return [
      ...(blocks > 0 ? [{ offset: inode.union * blockSize + offset, length: blocks }] : []),
      ...(end > tail ? [{ offset: inode.end + from - tail, length: end - from }] : []),
    ];
  }

  #chunkPieces(inode: ErofsInode, { offset, length }: FileRange): Piece[] {
    const { blockSize, blockBits, source } = this.#volume;
    const format = inode.union & 0xffff;
    if ((format & ~(CHUNK_BITS_MASK | CHUNK_INDEXES)) !== 0) throw new UnsupportedError(`${source.name}: erofs chunks of format 0x${format.toString(16)} are not read`);
    const chunkSize = 2 ** (blockBits + (format & CHUNK_BITS_MASK));
    const entrySize = (format & CHUNK_INDEXES) === 0 ? 4 : 8;
    const first = Math.floor(offset / chunkSize);
    const end = offset + length;
    const count = Math.ceil(end / chunkSize) - first;
    const table = Math.ceil(inode.end / entrySize) * entrySize + first * entrySize;
    const bytes = Buffer.from(source.read(table, count * entrySize));
    const pieces: Piece[] = [];
    for (let index = 0; index < count; index++) {
      const start = (first + index) * chunkSize;
      const from = Math.max(start, offset);
      const to = Math.min(start + chunkSize, end);
      const block = bytes.readUInt32LE(index * entrySize + entrySize - 4);
      if (entrySize === 8 && bytes.readUInt16LE(index * 8 + 2) !== 0) {
        throw new UnsupportedError(`${source.name}: erofs with data on extra devices is not read; write it without --blobdev`);
      }
      append(pieces, block === CHUNK_HOLE ? { length: to - from } : { offset: block * blockSize + from - start, length: to - from });
    }
    return pieces;
  }

  #compressedPieces(inode: ErofsInode, { offset, length }: FileRange, fragments: boolean): Piece[] {
    const extents = this.#extents.get(inode.nid, () => readErofsExtents(this.#volume, inode));
    const end = offset + length;
    const pieces: Piece[] = [];
    for (let index = extentAt(extents, offset); index < extents.length; index++) {
      const extent = extents[index];
      if (extent === undefined || extent.start >= end) break;
      const from = Math.max(offset, extent.start) - extent.start;
      const to = Math.min(end, extent.end) - extent.start;
      pieces.push(...this.#extentPieces(extent, from, to, fragments));
    }
    return pieces;
  }

  /** The bytes `from` to `to` of an extent. */
  #extentPieces(extent: ErofsExtent, from: number, to: number, fragments: boolean): Piece[] {
    const { blockSize } = this.#volume;
    switch (extent.storage) {
      case 'fragment': return this.#fragmentPieces({ offset: extent.offset + from, length: to - from }, fragments);
      case 'lz4': return [{ bytes: this.#lz4(extent).subarray(from, to), length: to - from }];
      case 'plain': return [{ offset: extent.offset + from, length: to - from }];
      case 'interlaced': {
        // Up to the end of the block as it is; what does not fit stands at its beginning.
        const turn = extent.length === blockSize ? extent.start % blockSize : 0;
        const whole = Math.min(to, extent.length - turn);
        return [
          ...(from < whole ? [{ offset: extent.offset + turn + from, length: whole - from }] : []),
          ...(to > whole ? [{ offset: extent.offset + Math.max(from - whole, 0), length: to - Math.max(from, whole) }] : []),
        ];
      }
    }
  }

  #lz4(extent: ErofsExtent): Uint8Array {
    const length = extent.end - extent.start;
    const bytes = this.#decoded.get(extent.offset, () => this.#decode(extent, length));
    // Files that share an extent may use less of it, or more.
    return bytes.length >= length ? bytes : this.#decode(extent, length);
  }

  #decode(extent: ErofsExtent, length: number): Uint8Array {
    const { source, zeroPadding } = this.#volume;
    const input = source.read(extent.offset, extent.length);
    // The first byte of a block is never zero.
    const start = zeroPadding ? Math.max(0, input.findIndex((byte) => byte !== 0)) : 0;
    const output = new Uint8Array(length);
    const made = decodeLz4Block(input.subarray(start), output, { file: source.name, offset: extent.offset + start, partial: true });
    if (made === length) return output;
    throw new FormatError({ file: source.name, offset: extent.offset, expected: `${length} bytes from a block of lz4`, actual: `${made}` });
  }

  #fragmentPieces({ offset, length }: FileRange, fragments: boolean): Piece[] {
    const { packedNid, source } = this.#volume;
    const packed = packedNid === undefined ? undefined : this.#volume.inode(packedNid);
    if (packed === undefined || !fragments) {
      throw new FormatError({ file: source.name, offset: 0, expected: 'a packed inode for fragments', actual: packed === undefined ? 'none' : 'one that is a fragment' });
    }
    if (offset + length > packed.size) throw new FormatError({ file: source.name, offset: packed.end, expected: `${offset + length} bytes in the packed inode`, actual: `${packed.size}` });
    const isCompressed = packed.layout !== EROFS_INODE_FLAT_PLAIN && packed.layout !== EROFS_INODE_FLAT_INLINE && packed.layout !== EROFS_INODE_CHUNK_BASED;
    return isCompressed ? this.#compressedPieces(packed, { offset, length }, false) : this.#pieces(packed, { offset, length });
  }
}

/** Joins what lies together in the image. */
function append(pieces: Piece[], piece: Piece): void {
  const last = pieces.at(-1);
  if (last?.offset !== undefined && last.offset + last.length === piece.offset) pieces[pieces.length - 1] = { offset: last.offset, length: last.length + piece.length };
  else pieces.push(piece);
}

/** The extent that holds `offset`, by bisection: they cover the file. */
function extentAt(extents: readonly ErofsExtent[], offset: number): number {
  let low = 0;
  let high = extents.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((extents[middle]?.start ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
