// Blocks of a squashfs image, unpacked: those of metadata and tables, and those of files' contents.

import { FormatError, messageOf, UnsupportedError } from '../errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import { bufferView } from './buffer-view.ts';
import type { ByteSource } from './byte-source.ts';
import type { Decompressor } from './compressed-segment.ts';
import { decodeLz4Block } from './lz4.ts';
import { readSquashfsSuperblock } from './squashfs-superblock.ts';
import type { SquashfsCompression, SquashfsSuperblock } from './squashfs-superblock.ts';

/** A place in a table of metadata: a position in the image where a block begins, and the offset in what it unpacks to. */
export type MetadataPlace = { readonly block: number; readonly offset: number };

/** Bytes of metadata, and what comes after them. */
export type MetadataPiece = { readonly bytes: Buffer; readonly next: MetadataPlace };

/** How a block is stored, as the block list of a file and the fragment table say it. */
export type StoredBlock = { readonly position: number; readonly length: number; readonly isCompressed: boolean };

/** Blocks of metadata unpack to this, the last one of a table to less. */
const METADATA_SIZE = 8192;
const METADATA_UNCOMPRESSED = 0x8000;
const METADATA_HEADER_SIZE = 2;
const DATA_UNCOMPRESSED = 1 << 24;
/** What is kept unpacked: metadata of some thousand inodes, and the blocks that many small files share. */
const KEPT_METADATA = 2 * 1024 * 1024;
const KEPT_DATA = 8 * 1024 * 1024;

type MetadataBlock = { readonly bytes: Buffer; readonly next: number };

export class SquashfsVolume {
  readonly source: ByteSource;
  readonly superblock: SquashfsSuperblock;
  readonly #decompressor: Decompressor | undefined;
  readonly #metadata = new BoundedCache<MetadataBlock>({ limit: KEPT_METADATA, weightOf: ({ bytes }) => bytes.length });
  readonly #data = new BoundedCache<Uint8Array>({ limit: KEPT_DATA, weightOf: (bytes) => bytes.length });

  constructor(source: ByteSource, decompressor: Decompressor | undefined) {
    this.source = source;
    this.superblock = readSquashfsSuperblock(source);
    this.#decompressor = decompressor;
  }

  /** `length` bytes of metadata, on through as many blocks as they take. */
  metadata(place: MetadataPlace, length: number): MetadataPiece {
    const pieces: Buffer[] = [];
    let { block, offset } = place;
    let left = length;
    for (;;) {
      const { bytes, next } = this.#metadataBlock(block);
      if (offset > bytes.length) throw this.error(block, `metadata of at least ${offset} bytes`, `${bytes.length}`);
      const piece = bytes.subarray(offset, offset + left);
      pieces.push(piece);
      left -= piece.length;
      offset += piece.length;
      if (left === 0) break;
      if (bytes.length !== METADATA_SIZE) throw this.error(block, `${left} more bytes of metadata`, 'the end of a table');
      block = next;
      offset = 0;
    }
    const [only] = pieces;
    return { bytes: pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, length), next: { block, offset } };
  }

  /** Entry `index` of a table that has its blocks' positions at `table`. Entries do not cross blocks. */
  tableEntry(table: number, index: number, size: number): Buffer {
    const perBlock = METADATA_SIZE / size;
    const pointer = this.#inside(table + Math.floor(index / perBlock) * 8, 8, table);
    const block = Number(bufferView(this.source.read(pointer, 8)).readBigUInt64LE(0));
    return this.metadata({ block, offset: (index % perBlock) * size }, size).bytes;
  }

  /** How `word` of a block list or a fragment says that the block at `position` is stored; one without bytes reads as zeros. */
  storedBlock(position: number, word: number, from: number): StoredBlock {
    const length = word & (DATA_UNCOMPRESSED - 1);
    if (word >= DATA_UNCOMPRESSED * 2 || length > this.superblock.blockSize) {
      throw this.error(from, `a block of up to ${this.superblock.blockSize} bytes`, `0x${word.toString(16)}`);
    }
    return { position: length === 0 ? position : this.#inside(position, length, from), length, isCompressed: (word & DATA_UNCOMPRESSED) === 0 };
  }

  /** How many bytes a stored block holds. Compressed ones are unpacked for that, and kept for the next file or the next part. */
  dataSize(block: StoredBlock): number {
    return block.isCompressed ? this.#unpacked(block).length : block.length;
  }

  /** Bytes of what a stored block holds; all have to be there. */
  data(block: StoredBlock, from: number, to: number): Uint8Array {
    return block.isCompressed ? this.#unpacked(block).subarray(from, to) : this.source.read(block.position + from, to - from);
  }

  error(offset: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.source.name, offset, expected, actual });
  }

  /** `header 2: length, and 0x8000 for one that is not compressed | bytes` */
  #metadataBlock(position: number): MetadataBlock {
    return this.#metadata.get(position, () => {
      const header = bufferView(this.source.read(this.#inside(position, METADATA_HEADER_SIZE, position), METADATA_HEADER_SIZE)).readUInt16LE(0);
      const length = header & (METADATA_UNCOMPRESSED - 1);
      if (length === 0 || length > METADATA_SIZE) throw this.error(position, `metadata of 1 to ${METADATA_SIZE} bytes`, `${length}`);
      const start = this.#inside(position + METADATA_HEADER_SIZE, length, position);
      const isCompressed = (header & METADATA_UNCOMPRESSED) === 0;
      // A copy: a kept piece of a larger buffer would keep all of that.
      const bytes = isCompressed ? this.#unpack(start, length, METADATA_SIZE) : Buffer.from(this.source.read(start, length));
      return { bytes: bufferView(bytes), next: start + length };
    });
  }

  #unpacked({ position, length }: StoredBlock): Uint8Array {
    return this.#data.get(position, () => this.#unpack(position, length, this.superblock.blockSize));
  }

  #unpack(position: number, length: number, limit: number): Uint8Array {
    const { compression } = this.superblock;
    const bytes = this.source.read(position, length);
    switch (compression) {
      case 'gzip':
        return this.#inflate(bytes, position, limit);
      case 'lz4': {
        const output = new Uint8Array(limit);
        return output.subarray(0, decodeLz4Block(bytes, output, { file: this.source.name, offset: position }));
      }
      case 'xz':
      case 'zstd': {
        const decompressor = this.#decompressor;
        if (!decompressor) throw new UnsupportedError(`${this.source.name}: compressed with ${compression}, and no decompressor was given`);
        return decompressor.decompress(bytes, compression, { file: `${this.source.name} (at ${position})`, limit });
      }
      default:
        throw unsupported(this.source.name, compression);
    }
  }

  /** What squashfs calls gzip is zlib's own format, RFC 1950. */
  #inflate(bytes: Uint8Array, position: number, limit: number): Uint8Array {
    try {
      return process.getBuiltinModule('node:zlib').inflateSync(bytes, { maxOutputLength: limit });
    } catch (error) {
      throw this.error(position, `zlib data of up to ${limit} bytes`, messageOf(error));
    }
  }

  /** A position, where all bytes are in the file system. */
  #inside(position: number, length: number, from: number): number {
    const { bytesUsed } = this.superblock;
    if (position >= 0 && position + length <= bytesUsed) return position;
    throw this.error(from, `a position inside ${bytesUsed} bytes`, `${length} bytes at ${position}`);
  }
}

function unsupported(file: string, compression: SquashfsCompression): UnsupportedError {
  return new UnsupportedError(`${file}: squashfs compressed with ${compression} is not read; make it with mksquashfs -comp gzip, lz4, xz or zstd`);
}
