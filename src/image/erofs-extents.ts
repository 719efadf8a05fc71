// Compressed files of erofs: the index of logical clusters, and the extents that it describes.

import { FormatError, UnsupportedError } from '../errors.ts';
import { EROFS_INODE_COMPRESSED_FULL, type ErofsInode, type ErofsVolume } from './erofs-volume.ts';

/** A piece of a file that is stored together. */
export type ErofsExtent = {
  /** Where it begins in the file. */
  readonly start: number;
  readonly end: number;
  /** plain: as it is; interlaced: as it is, turned within its block so that offsets in blocks agree; fragment: in the packed inode. */
  readonly storage: 'lz4' | 'plain' | 'interlaced' | 'fragment';
  /** Where it is in the image; in the packed inode for a fragment. */
  readonly offset: number;
  /** Bytes in the image, with padding. */
  readonly length: number;
};

/*
 * After the inode, aligned to 8, a header:
 *
 *   0 fragmentoff: 32, or idata_size: 16 at 2 | 4 advise: 16 | 6 algorithms: 4 bits each of HEAD1 and HEAD2 | 7 bits 0-2: cluster bits less block bits,
 *   bit 7: the whole file is a fragment, and the other 63 bits of the header are its offset
 *
 * Then the entries, one for each logical cluster (a block, mostly) of the file. A head (PLAIN, HEAD1, HEAD2) says at which offset inside its cluster
 * an extent begins, and the block in which it is stored; a NONHEAD that the extent goes on. With big physical clusters, the first
 * NONHEAD after a head says how many blocks are stored; without, it is one cluster.
 *
 *   full     8 bytes each, 8 bytes behind the header: advise: 16 (bits 0-1 type) | clusterofs: 16 | block: 32, or delta: 16 each to the last and next head
 *   compact  packs of 2 entries in 8 bytes or 16 in 32: type and clusterofs (or delta) in 16 or 14 bits each, then the block before: 32.
 *            The big packs are aligned to 32 bytes, small ones fill up before and behind.
 *
 * Source: linux/fs/erofs/zmap.c, erofs_fs.h.
 */
const HEADER_SIZE = 8;
const ADVISE_COMPACTED_2B = 0x1;
const ADVISE_BIG_PCLUSTER = [0x2, 0x4] as const;
const ADVISE_INLINE_PCLUSTER = 0x8;
const ADVISE_INTERLACED_PCLUSTER = 0x10;
const ADVISE_FRAGMENT_PCLUSTER = 0x20;
const KNOWN_ADVISE = 0x3f;
const PLAIN = 0;
const HEAD1 = 1;
const NONHEAD = 2;
const HEAD2 = 3;
/** In the delta of the first NONHEAD: the rest is the number of blocks stored. */
const D0_CBLKCNT = 1 << 11;
/** erofs_fs.h: Z_EROFS_PCLUSTER_MAX_SIZE. */
const MAX_PCLUSTER = 1024 * 1024;
/** A file of 2 GiB in blocks of 4096: more than is read at once. */
const MAX_CLUSTERS = 1 << 19;
/** erofs_fs.h: Z_EROFS_PCLUSTER_MAX_DSIZE, the most that one extent makes. */
const MAX_EXTENT = 12 * 1024 * 1024;
const ALGORITHMS = ['lz4', 'lzma', 'deflate', 'zstd'];

type Header = { readonly advise: number; readonly clusterBits: number; readonly low: number; readonly algorithms: number };

/** One logical cluster. */
type Cluster = {
  readonly type: number;
  /** Of a head: where in the cluster the extent begins. */
  readonly clusterOffset: number;
  /** Of a head: where it is stored. */
  readonly block: number;
  /** Of a NONHEAD: blocks stored, where it says so; otherwise 0. */
  readonly blocks: number;
};

type Clusters = { readonly clusters: readonly Cluster[]; /** Where the entries end: inline data follow. */ readonly end: number };

/** All extents of a compressed file, in order, which cover it. Throws FormatError, and UnsupportedError for algorithms that we do not read. */
export function readErofsExtents(volume: ErofsVolume, inode: ErofsInode): ErofsExtent[] {
  const { source } = volume;
  const start = Math.ceil(inode.end / 8) * 8;
  const view = viewOf(source.read(start, HEADER_SIZE));
  if (view.getUint8(7) >= 0x80) {
    const offset = view.getUint32(0, true) + (view.getUint32(4, true) & 0x7fffffff) * 2 ** 32;
    return inode.size === 0 ? [] : [{ start: 0, end: inode.size, storage: 'fragment', offset, length: inode.size }];
  }
  const header = { advise: view.getUint16(4, true), algorithms: view.getUint8(6), low: view.getUint32(0, true), clusterBits: volume.blockBits + (view.getUint8(7) & 7) };
  if ((header.advise & ~KNOWN_ADVISE) !== 0) throw new UnsupportedError(`${source.name}: the erofs map of advise 0x${header.advise.toString(16)} is not read`);
  const count = Math.ceil(inode.size / 2 ** header.clusterBits);
  if (count > MAX_CLUSTERS) throw damaged(volume, start, `at most ${MAX_CLUSTERS} clusters`, `${count}`);
  const clusters = inode.layout === EROFS_INODE_COMPRESSED_FULL
    ? readFull(volume, header, start + HEADER_SIZE + 8, count)
    : readCompact(volume, header, start + HEADER_SIZE, count);
  return extentsOf(volume, inode, header, clusters);
}

function readFull(volume: ErofsVolume, header: Header, start: number, count: number): Clusters {
  const view = viewOf(volume.source.read(start, count * 8));
  const clusters: Cluster[] = [];
  for (let index = 0; index < count; index++) {
    const at = index * 8;
    const type = view.getUint16(at, true) & 3;
    const delta = view.getUint16(at + 4, true);
    const clusterOffset = view.getUint16(at + 2, true);
    if (type !== NONHEAD && clusterOffset >= 2 ** header.clusterBits) throw damaged(volume, start + at + 2, 'an offset inside the cluster', `${clusterOffset}`);
    clusters.push(type === NONHEAD
      ? { type, clusterOffset: 0, block: 0, blocks: (delta & D0_CBLKCNT) === 0 ? 0 : delta & ~D0_CBLKCNT }
      : { type, clusterOffset, block: view.getUint32(at + 4, true), blocks: 0 });
  }
  return { clusters, end: start + count * 8 };
}

function readCompact(volume: ErofsVolume, header: Header, start: number, count: number): Clusters {
  // Two bytes an entry: only in the middle, where packs of 32 bytes are aligned to 32.
  const before = Math.min((32 - (start % 32)) / 4 % 8, count);
  const middle = (header.advise & ADVISE_COMPACTED_2B) === 0 ? 0 : Math.floor((count - before) / 16) * 16;
  const after = count - before - middle;
  const length = Math.ceil(before / 2) * 8 + middle * 2 + Math.ceil(after / 2) * 8;
  if (header.clusterBits > 14 || (middle > 0 && header.clusterBits > 12)) throw damaged(volume, start, 'clusters that compact entries can tell', `2^${header.clusterBits}`);
  const view = viewOf(volume.source.read(start, length));
  const clusters: Cluster[] = [];
  const counted = { volume, header, view, start, clusters };
  let at = 0;
  for (let left = before; left > 0; left -= 2, at += 8) readPack(counted, at, 2, Math.min(left, 2));
  for (let left = middle; left > 0; left -= 16, at += 32) readPack(counted, at, 16, 16);
  for (let left = after; left > 0; left -= 2, at += 8) readPack(counted, at, 2, Math.min(left, 2));
  return { clusters, end: start + at };
}

/** Reads the first `wanted` entries of a pack at `at`. The block that it ends with is the one before its first head's. */
function readPack(
  options: { readonly volume: ErofsVolume; readonly header: Header; readonly view: DataView; readonly start: number; readonly clusters: Cluster[] },
  at: number, entries: 2 | 16, wanted: number,
): void {
  const { volume, header, view, start, clusters } = options;
  const bits = entries === 2 ? 16 : 14;
  const lowBits = Math.max(header.clusterBits, 12);
  const big = (header.advise & ADVISE_BIG_PCLUSTER[0]) !== 0;
  let block = view.getUint32(at + (entries * bits) / 8, true) + (big ? 0 : 1);
  for (let index = 0; index < wanted; index++) {
    const position = index * bits;
    const word = view.getUint32(at + (position >> 3), true) >>> (position & 7);
    const type = (word >>> lowBits) & 3;
    const low = word & (2 ** lowBits - 1);
    if (type === NONHEAD) {
      const blocks = (low & D0_CBLKCNT) === 0 ? 0 : low & ~D0_CBLKCNT;
      // Its head has counted one block, unless that is in the pack before.
      if (big) block += index === 0 ? blocks : Math.max(0, blocks - 1);
      clusters.push({ type, clusterOffset: 0, block: 0, blocks });
    } else {
      if (low >= 2 ** header.clusterBits) throw damaged(volume, start + at, 'an offset inside the cluster', `${low}`);
      clusters.push({ type, clusterOffset: low, block, blocks: 0 });
      block++;
    }
  }
}

function extentsOf(volume: ErofsVolume, inode: ErofsInode, header: Header, { clusters, end }: Clusters): ErofsExtent[] {
  const { clusterBits } = header;
  const heads = clusters.flatMap((cluster, index) => (cluster.type === NONHEAD ? [] : [{ cluster, index, start: index * 2 ** clusterBits + cluster.clusterOffset }]))
    // The last entry may only say where the file ends.
    .filter(({ start }) => start < inode.size);
  if (heads[0]?.start !== 0) throw damaged(volume, inode.end, 'a first extent at 0', `${heads[0]?.start ?? 'none'}`);
  return heads.map(({ cluster, index, start }, number) => {
    const next = heads[number + 1]?.start;
    const storage = storageOf(volume, header, cluster.type);
    const extent = { start, end: next ?? inode.size, storage };
    if (next === undefined && (header.advise & ADVISE_FRAGMENT_PCLUSTER) !== 0) {
      const high = inode.layout === EROFS_INODE_COMPRESSED_FULL ? cluster.block * 2 ** 32 : 0;
      return { ...extent, storage: 'fragment', offset: header.low + high, length: inode.size - start };
    }
    if (next === undefined && (header.advise & ADVISE_INLINE_PCLUSTER) !== 0) {
      const length = header.low >>> 16;
      if (length === 0 || (end % volume.blockSize) + length > volume.blockSize) throw damaged(volume, inode.end, 'inline data inside a block', `${length} bytes`);
      return { ...extent, offset: end, length };
    }
    const length = storedLength(volume, header, cluster.type, clusters[index + 1]);
    const most = storage === 'lz4' ? MAX_EXTENT : length;
    if (extent.end - start > most) throw damaged(volume, inode.end, `an extent of at most ${most} bytes`, `${extent.end - start}`);
    return { ...extent, offset: cluster.block * volume.blockSize, length };
  });
}

function storedLength(volume: ErofsVolume, header: Header, type: number, next: Cluster | undefined): number {
  const big = type !== PLAIN && (header.advise & ADVISE_BIG_PCLUSTER[type === HEAD2 ? 1 : 0]) !== 0;
  if (!big || next?.type !== NONHEAD) return 2 ** header.clusterBits;
  const length = next.blocks * volume.blockSize;
  if (length === 0 || length > MAX_PCLUSTER) throw damaged(volume, 0, `1 to ${MAX_PCLUSTER} bytes of a physical cluster`, `${length}`);
  return length;
}

function storageOf(volume: ErofsVolume, header: Header, type: number): 'lz4' | 'plain' | 'interlaced' {
  if (type === PLAIN) return (header.advise & ADVISE_INTERLACED_PCLUSTER) === 0 ? 'plain' : 'interlaced';
  const algorithm = type === HEAD1 ? header.algorithms & 15 : header.algorithms >> 4;
  if (algorithm === 0) return 'lz4';
  throw new UnsupportedError(`${volume.source.name}: erofs compressed with ${ALGORITHMS[algorithm] ?? `algorithm ${algorithm}`} is not read; write it with -zlz4, or uncompressed`);
}

function damaged(volume: ErofsVolume, offset: number, expected: string, actual: string): FormatError {
  return new FormatError({ file: volume.source.name, offset, expected, actual });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
