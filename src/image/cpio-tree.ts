// A cpio archive, as the kernel takes it as an initramfs, as a tree of files that is read in place.

import { FormatError } from '../errors.ts';
import { type ArchiveNode, ArchiveTree } from './archive-tree.ts';
import type { ByteSource } from './byte-source.ts';
import { type Decompressor, expandSegment, type Segment } from './compressed-segment.ts';
import { checkCpioSum, type CpioMember, CpioReader } from './cpio-reader.ts';
import { decodeBytes, memberPath } from './entry-name.ts';
import type { ImageTree } from './image-tree.ts';
import { kindOfMode } from './stat-mode.ts';

/** linux/limits.h: PATH_MAX. */
const MAX_SYMLINK_TARGET = 4096;
const ZERO = 0x30;

/**
 * The members of all archives in `source`, in their order, each archive plain or compressed, zeros between them. Only headers of
 * plain archives are read; compressed ones are unpacked in memory. `first` is what a compressed archive at the beginning holds, where it is already unpacked.
 *
 * Throws FormatError, LimitError, and UnsupportedError for compression that is not read. Format: Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function openCpio(source: ByteSource, options: { readonly decompressor?: Decompressor | undefined; readonly first?: Segment | undefined } = {}): ImageTree {
  const { decompressor, first } = options;
  const tree = new ArchiveTree('cpio', source);
  if (first !== undefined) addPlain(tree, first.source, new CpioReader(first.source));
  let reader = new CpioReader(source, first?.end ?? 0);
  while (reader.skipZeros()) {
    if (isPlain(source, reader.offset)) {
      addArchive(tree, source, reader);
      continue;
    }
    const segment = expandSegment(source, reader.offset, decompressor);
    if (segment === undefined) throw new FormatError({ file: source.name, offset: reader.offset, expected: 'a cpio archive, compressed or not', actual: 'something else' });
    addPlain(tree, segment.source, new CpioReader(segment.source));
    reader = new CpioReader(source, segment.end);
  }
  return tree;
}

function isPlain(source: ByteSource, offset: number): boolean {
  return source.read(offset, 1)[0] === ZERO;
}

/** What was compressed holds archives that are not. */
function addPlain(tree: ArchiveTree, source: ByteSource, reader: CpioReader): void {
  while (reader.skipZeros()) addArchive(tree, source, reader);
}

function addArchive(tree: ArchiveTree, source: ByteSource, reader: CpioReader): void {
  /** By device and inode number: members that are links of one file. Each archive has its own numbers. */
  const links = new Map<string, ArchiveNode>();
  for (let member = reader.member(); member !== undefined; member = reader.member()) addMember(tree, source, member, links);
}

function addMember(tree: ArchiveTree, source: ByteSource, member: CpioMember, links: Map<string, ArchiveNode>): void {
  const { mode, uid, gid, mtime, dataAt, size, headerAt, nlink, ino, dev } = member;
  const kind = kindOfMode(mode);
  const path = memberPath(member.path, source.name, headerAt);
  const attributes = { kind, mode: mode & 0o7777, uid, gid, mtime };
  if (kind === 'symlink') {
    if (size === 0 || size > MAX_SYMLINK_TARGET) throw new FormatError({ file: source.name, offset: headerAt, expected: `a symlink of 1 to ${MAX_SYMLINK_TARGET} bytes`, actual: `${size}` });
    tree.add(path, attributes, { target: decodeBytes(source.read(dataAt, size)) });
    return;
  }
  if (kind !== 'file') {
    tree.add(path, attributes);
    return;
  }
  const body = { source, offset: dataAt, size, check: (contents: Uint8Array) => checkCpioSum(member, contents, source.name) };
  const key = nlink > 1 ? `${dev.major}:${dev.minor}:${ino}` : undefined;
  const node = key === undefined ? undefined : links.get(key);
  if (node === undefined) {
    const made = tree.add(path, attributes, { body });
    if (key !== undefined) links.set(key, made);
    return;
  }
  // Contents come with the last link, or with each; without any the file keeps what it has.
  if (size > 0) node.body = body;
  node.attributes = attributes;
  tree.link(path, node);
}
