// Writes erofs images: uncompressed, every file in one piece on a block of its own, the same bytes for the same files.

import { createHash } from 'node:crypto';

import { FormatError, LimitError } from '../errors.ts';
import { encodeName, MAX_ENTRY_NAME, memberPath, sortNames } from './entry-name.ts';
import { erofsDirectorySize, formatErofsDirectory } from './erofs-directory-write.ts';
import {
  EROFS_INODE_FLAT_INLINE, EROFS_INODE_FLAT_PLAIN, EROFS_INODE_SLOT, EROFS_SUPER_MAGIC, EROFS_SUPER_OFFSET, EROFS_SUPER_SIZE, erofsChecksum,
  FEATURE_COMPAT_MTIME, FEATURE_COMPAT_SB_CHKSUM,
} from './erofs-volume.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from './stat-mode.ts';

/** One entry of the image that is to be. Directories that are missing are made; of two entries with one path the later one wins. */
export type ErofsWriteEntry = {
  /** From the root, without `..`; '' is the root itself. */
  readonly path: string;
  /** Permission bits; 0o644 for a file and 0o755 for a directory when absent. */
  readonly mode?: number;
} & (
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink'; readonly target: string }
  /** `read` is called when the contents are due, piece after piece: it fills `target` with those at `offset`. */
  | { readonly kind: 'file'; readonly size: number; readonly read: (target: Uint8Array, offset: number) => void }
);

export type ErofsWriteOptions = {
  /** Of all entries, in seconds since 1970: SOURCE_DATE_EPOCH where that is set. 0 when absent. */
  readonly mtime?: number;
};

type Node = {
  readonly entry: ErofsWriteEntry;
  /** Of a directory, by name. */
  readonly children: Map<string, Node> | undefined;
  /** Of a directory: all its entries, sorted. */
  dirents: readonly Dirent[];
  /** Of a symlink. */
  readonly target: Buffer | undefined;
  size: number;
  /** Where the inode is in the image. */
  offset: number;
  inline: boolean;
  /** The first block of the data where they are not inline. */
  block: number;
};

type Dirent = { readonly name: Buffer; readonly to: Node };

const BLOCK = 4096;
const BLOCK_BITS = 12;
const INODE_SIZE = 32;
/** Data of directories and symlinks up to this size stand behind the inode; longer ones would leave much of a block empty. */
const MAX_INLINE = 2048;
/** What an inode of 32 bytes can tell. */
const MAX_FILE = 0xffff_ffff;
const MAX_BLOCKS = 0xffff_ffff;
const MAX_LINKS = 0xffff;
/** linux/limits.h: PATH_MAX. */
const MAX_SYMLINK_TARGET = 4095;
const MAX_ENTRIES = 1_000_000;
const NAME = 'erofs image';
/** erofs_fs.h: as FT_* of linux/fs_types.h. */
const FILE_TYPES = { file: 1, directory: 2, symlink: 7 };
const TYPE_BITS = { file: S_IFREG, directory: S_IFDIR, symlink: S_IFLNK };
const MODES = { file: 0o644, directory: 0o755, symlink: 0o777 };
/** Small files are gathered to pieces of this size, which is still in the processor's cache when it is written. */
const PIECE = 512 * 1024;

/**
 * The image of these entries, from its beginning to its end, in pieces whose bytes are used again for the one after the next. The data of each file begin
 * on a block of their own and are in one piece, so that they can be read in place. All belongs to root, all times are `mtime`; the UUID is a hash
 * of all that is not contents.
 *
 * ```
 * 1024 zeros | superblock | inodes, small directories and targets behind theirs | larger directories | data of files by path
 * ```
 * Throws FormatError for paths that cannot be, LimitError for what the format cannot hold, and what `read` throws.
 */
export function* erofsChunks(entries: Iterable<ErofsWriteEntry>, { mtime = 0 }: ErofsWriteOptions = {}): Generator<Uint8Array> {
  const root = treeOf(entries);
  const nodes: Node[] = [];
  listNodes(root, root, nodes);
  const end = placeInodes(nodes);
  const { files, blocks } = placeData(nodes, Math.ceil(end / BLOCK));
  const metadata = Buffer.alloc(files * BLOCK);
  // V8 has DataView's methods as machine code from the start; Buffer's are JavaScript.
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength);
  nodes.forEach((node, index) => {
    const data = node.entry.kind === 'directory' ? formatErofsDirectory(node.dirents.map(({ name, to }) => ({ name, nid: to.offset / EROFS_INODE_SLOT, type: FILE_TYPES[to.entry.kind] })), BLOCK) : node.target;
    data?.copy(metadata, node.inline ? node.offset + INODE_SIZE : node.block * BLOCK);
    formatInode(view, node, index + 1);
  });
  formatSuperblock(metadata, { root, inodes: nodes.length, blocks, mtime });
  yield metadata;
  yield* fileChunks(nodes);
}

function treeOf(entries: Iterable<ErofsWriteEntry>): Node {
  let root = newNode({ path: '', kind: 'directory' });
  // Entries come by directory, as a rule.
  let [lastDirectory, lastParent] = ['', root];
  let count = 0;
  for (const entry of entries) {
    const path = memberPath(entry.path === '' ? '.' : entry.path, NAME, 0);
    if (path === '') {
      root = newNode(entry, root.children);
      [lastDirectory, lastParent] = ['', root];
      count++;
    } else {
      const slash = path.lastIndexOf('/');
      const [directory, name] = [slash < 0 ? '' : path.slice(0, slash), path.slice(slash + 1)];
      if (directory !== lastDirectory) {
        const names = directory.split('/');
        count += names.length;
        lastParent = directory === '' ? root : directoryAt(root, names, entry.path);
        lastDirectory = directory;
      }
      const parent = lastParent;
      const old = parent.children?.get(name);
      const node = newNode(entry, entry.kind === 'directory' ? old?.children : undefined);
      parent.children?.set(name, node);
      // It may be in the place of the directory that is remembered, or above it.
      if (old?.children) [lastDirectory, lastParent] = ['', root];
      count++;
    }
    if (count > MAX_ENTRIES) throw new LimitError({ file: NAME, limit: 'MAX_ENTRIES', maximum: MAX_ENTRIES });
  }
  return root;
}

function directoryAt(root: Node, names: readonly string[], path: string): Node {
  let parent = root;
  for (const name of names) {
    const child = parent.children?.get(name) ?? newNode({ path: name, kind: 'directory' });
    if (child.entry.kind !== 'directory') throw new FormatError({ file: NAME, offset: 0, expected: 'directories on the way', actual: JSON.stringify(path) });
    parent.children?.set(name, child);
    parent = child;
  }
  return parent;
}

function newNode(entry: ErofsWriteEntry, children?: Map<string, Node>): Node {
  const target = entry.kind === 'symlink' ? encodeName(entry.target) : undefined;
  if (target !== undefined && target.length > MAX_SYMLINK_TARGET) throw new LimitError({ file: entry.path, limit: 'MAX_SYMLINK_TARGET', maximum: MAX_SYMLINK_TARGET, actual: target.length });
  const size = entry.kind === 'file' ? entry.size : target?.length ?? 0;
  if (size > MAX_FILE) throw new LimitError({ file: entry.path, limit: 'MAX_FILE', maximum: MAX_FILE, actual: size });
  return { entry, children: entry.kind === 'directory' ? children ?? new Map() : undefined, dirents: [], target, size, offset: 0, inline: false, block: 0 };
}

/** Parents first, sorted. Directories get the size of their data, which names alone decide. */
function listNodes(node: Node, parent: Node, nodes: Node[]): void {
  nodes.push(node);
  if (node.children === undefined) return;
  const children: Node[] = [];
  const dirents: Dirent[] = [];
  for (const name of sortNames(['.', '..', ...node.children.keys()])) {
    const bytes = encodeName(name);
    if (bytes.length > MAX_ENTRY_NAME) throw new LimitError({ file: NAME, limit: 'MAX_ENTRY_NAME', maximum: MAX_ENTRY_NAME, actual: bytes.length });
    const child = node.children.get(name);
    if (child) children.push(child);
    dirents.push({ name: bytes, to: child ?? (name === '.' ? node : parent) });
  }
  node.dirents = dirents;
  node.size = erofsDirectorySize(dirents, BLOCK);
  for (const child of children) listNodes(child, node, nodes);
}

/** Gives the end of the inodes. Inline data end in the block in which the inode is. */
function placeInodes(nodes: readonly Node[]): number {
  let offset = EROFS_SUPER_OFFSET + EROFS_SUPER_SIZE;
  for (const node of nodes) {
    node.inline = node.entry.kind !== 'file' && node.size > 0 && node.size <= MAX_INLINE;
    const length = INODE_SIZE + (node.inline ? node.size : 0);
    if ((offset % BLOCK) + length > BLOCK) offset = Math.ceil(offset / BLOCK) * BLOCK;
    node.offset = offset;
    offset += Math.ceil(length / EROFS_INODE_SLOT) * EROFS_INODE_SLOT;
  }
  return offset;
}

/** Data of directories first, so that all that is not of files is together. */
function placeData(nodes: readonly Node[], start: number): { readonly files: number; readonly blocks: number } {
  let block = start;
  const place = (node: Node) => {
    node.block = block;
    block += Math.ceil(node.size / BLOCK);
  };
  for (const node of nodes) if (node.entry.kind !== 'file' && !node.inline) place(node);
  const files = block;
  for (const node of nodes) if (node.entry.kind === 'file' && node.size > 0) place(node);
  if (block > MAX_BLOCKS) throw new LimitError({ file: NAME, limit: 'MAX_BLOCKS', maximum: MAX_BLOCKS, actual: block });
  return { files, blocks: block };
}

function formatInode(metadata: DataView, node: Node, ino: number): void {
  const { entry, dirents, offset, size, inline, block } = node;
  metadata.setUint16(offset, (inline ? EROFS_INODE_FLAT_INLINE : EROFS_INODE_FLAT_PLAIN) << 1, true);
  metadata.setUint16(offset + 4, TYPE_BITS[entry.kind] | ((entry.mode ?? MODES[entry.kind]) & 0o7777), true);
  metadata.setUint16(offset + 6, entry.kind === 'directory' ? Math.min(dirents.filter(({ to }) => to.entry.kind === 'directory').length, MAX_LINKS) : 1, true);
  metadata.setUint32(offset + 8, size, true);
  metadata.setUint32(offset + 16, inline ? 0 : block, true);
  metadata.setUint32(offset + 20, ino, true);
}

function formatSuperblock(metadata: Buffer, facts: { readonly root: Node; readonly inodes: number; readonly blocks: number; readonly mtime: number }): void {
  const superblock = metadata.subarray(EROFS_SUPER_OFFSET);
  superblock.writeUInt32LE(EROFS_SUPER_MAGIC, 0);
  superblock.writeUInt32LE(FEATURE_COMPAT_SB_CHKSUM | FEATURE_COMPAT_MTIME, 8);
  superblock.writeUInt8(BLOCK_BITS, 12);
  superblock.writeUInt16LE(facts.root.offset / EROFS_INODE_SLOT, 14);
  superblock.writeBigUInt64LE(BigInt(facts.inodes), 16);
  superblock.writeBigInt64LE(BigInt(facts.mtime), 24);
  superblock.writeUInt32LE(facts.blocks, 36);
  const uuid = createHash('sha256').update(metadata).digest().subarray(0, 16);
  // RFC 9562: version 8, which says nothing of where it comes from.
  uuid.writeUInt8(((uuid[6] ?? 0) & 0x0f) | 0x80, 6);
  uuid.writeUInt8(((uuid[8] ?? 0) & 0x3f) | 0x80, 8);
  uuid.copy(superblock, 48);
  superblock.writeUInt32LE(erofsChecksum(superblock.subarray(0, BLOCK - EROFS_SUPER_OFFSET)), 4);
}

/** Two pieces in turn: one may still be written while the other is filled. */
function* fileChunks(nodes: readonly Node[]): Generator<Uint8Array> {
  let [piece, other] = [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)];
  let used = 0;
  for (const { entry, size } of nodes) {
    if (entry.kind !== 'file') continue;
    for (let offset = 0; offset < size; ) {
      // A file of a piece or less is read at once.
      if (used > 0 && (used === PIECE || (size <= PIECE && used + size > PIECE))) {
        yield piece.subarray(0, used);
        [piece, other] = [other, piece];
        used = 0;
      }
      const length = Math.min(size - offset, PIECE - used);
      entry.read(piece.subarray(used, used + length), offset);
      offset += length;
      const end = Math.ceil((used + length) / BLOCK) * BLOCK;
      piece.fill(0, used + length, end);
      used = end;
    }
  }
  if (used > 0) yield piece.subarray(0, used);
}
