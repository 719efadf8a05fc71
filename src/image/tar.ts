// A tar archive (ustar, GNU, pax) as a tree of files that is read in place.

import { FormatError, UnsupportedError } from '../errors.ts';
import { ArchiveTree } from './archive-tree.ts';
import type { ByteSource } from './byte-source.ts';
import { decodeBytes, memberPath } from './entry-name.ts';
import type { ImageEntry, ImageTree } from './image-tree.ts';
import { GNU_SPARSE, parsePax, type PaxRecords } from './tar-pax.ts';
import { parseTarHeader, TAR_BLOCK, type TarHeader } from './tar-header.ts';

/** What GNU and pax headers may say of one member: some paths, and numbers. */
const MAX_EXTENSION = 1024 * 1024;
const KINDS: Readonly<Record<string, ImageEntry['kind']>> = { 2: 'symlink', 3: 'other', 4: 'other', 5: 'directory', 6: 'other', D: 'directory' };

/** What headers before a member say of it. */
type Pending = { path?: string; link?: string; pax?: PaxRecords };

/**
 * The members of an archive in their order. Only headers are read. Throws FormatError (also where the blocks of zeros at the end are
 * missing: the archive was cut), and UnsupportedError for sparse files and archives of several volumes. Format: pax(1), and tar(5) of libarchive.
 */
export function openTar(source: ByteSource): ImageTree {
  const tree = new ArchiveTree('tar', source);
  let global: PaxRecords = new Map();
  let pending: Pending = {};
  for (let offset = 0; ; ) {
    const header = parseTarHeader(source.read(offset, TAR_BLOCK), source.name, offset);
    if (header === undefined) return tree;
    const data = offset + TAR_BLOCK;
    const extension = extensionOf(source, header, data);
    if (extension !== undefined) {
      if (header.type === 'L') pending.path = untilNul(extension);
      else if (header.type === 'K') pending.link = untilNul(extension);
      else if (header.type === 'x') pending.pax = parsePax(extension, source.name, data);
      else if (header.type === 'g') global = new Map([...global, ...parsePax(extension, source.name, data)]);
      offset = after(data, header.size);
      continue;
    }
    const size = addMember(tree, source, { header, pending, records: new Map([...global, ...(pending.pax ?? [])]), offset });
    offset = after(data, size);
    if (offset > source.size) throw new FormatError({ file: source.name, offset: data, expected: `${size} bytes`, actual: `the end of the archive at ${source.size}` });
    pending = {};
  }
}

/** The contents of a header that only speaks of the next members; undefined for a member. */
function extensionOf(source: ByteSource, { type, size }: TarHeader, data: number): Uint8Array | undefined {
  // V is the label of a volume.
  if (!['L', 'K', 'x', 'X', 'g', 'V'].includes(type)) return undefined;
  if (size > MAX_EXTENSION) throw new FormatError({ file: source.name, offset: data, expected: `a header of at most ${MAX_EXTENSION} bytes`, actual: `${size}` });
  return source.read(data, size);
}

/** Gives the number of bytes that follow the header. */
function addMember(
  tree: ArchiveTree, source: ByteSource,
  member: { readonly header: TarHeader; readonly pending: Pending; readonly records: PaxRecords; readonly offset: number },
): number {
  const { header, pending, records, offset } = member;
  const { type } = header;
  const rawPath = records.get('path') || pending.path || header.path;
  if (type === 'S' || records.has(GNU_SPARSE)) {
    throw new UnsupportedError(`${source.name}: the sparse file ${JSON.stringify(rawPath)} is not read; write the archive without --sparse`);
  }
  if (type === 'M') throw new UnsupportedError(`${source.name}: a part of a file of several volumes is not read; put the volumes together first`);
  const number = (key: string, otherwise: number) => {
    const text = records.get(key) ?? '';
    if (text === '') return otherwise;
    const value = Math.floor(Number(text));
    if (Number.isSafeInteger(value) && (value >= 0 || key === 'mtime')) return value;
    throw new FormatError({ file: source.name, offset, expected: `a number as ${key}`, actual: JSON.stringify(text.slice(0, 40)) });
  };
  // In the oldest format a directory is a file with a slash at the end.
  const kind = KINDS[type] ?? (type !== '1' && type !== '7' && rawPath.endsWith('/') ? 'directory' : 'file');
  const attributes = { kind, mode: header.mode & 0o7777, uid: number('uid', header.uid), gid: number('gid', header.gid), mtime: number('mtime', header.mtime) };
  const path = memberPath(rawPath, source.name, offset);
  const target = records.get('linkpath') || pending.link || header.link;
  const size = type === '1' || kind === 'symlink' || kind === 'other' || type === '5' ? 0 : number('size', header.size);
  if (type === '1') {
    const node = tree.find(memberPath(target, source.name, offset));
    if (node === undefined || node.attributes.kind === 'directory') throw new FormatError({ file: source.name, offset, expected: 'a link to a member before it', actual: JSON.stringify(target) });
    tree.link(path, node);
    return number('size', header.size);
  }
  if (kind === 'symlink' && target === '') throw new FormatError({ file: source.name, offset, expected: 'a symlink with a target', actual: 'none' });
  tree.add(path, attributes, kind === 'file' ? { body: { source, offset: offset + TAR_BLOCK, size } } : { target });
  return size;
}

function after(data: number, size: number): number {
  return data + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
}

function untilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decodeBytes(end < 0 ? bytes : bytes.subarray(0, end));
}
