// A tree made of the members of an archive, as unpacking them one after the other would make it.

import { FormatError, LimitError, SystemError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { compareNames } from './entry-name.ts';
import { fileRange, type FileRange } from './file-range.ts';
import { type ImageEntry, type ImageTree, MAXSYMLINKS } from './image-tree.ts';

/** Where the contents of a file are. */
export type ArchiveBody = {
  readonly source: ByteSource;
  readonly offset: number;
  readonly size: number;
  /** Called with all of it when all is read: throws where a sum in the archive is another. */
  readonly check?: (contents: Uint8Array) => void;
};

export type ArchiveAttributes = Pick<ImageEntry, 'kind' | 'mode' | 'uid' | 'gid' | 'mtime'>;

/** What hard links share. */
export type ArchiveNode = {
  attributes: ArchiveAttributes;
  body: ArchiveBody | undefined;
  /** Of a symlink. */
  target: string;
  readonly inode: number;
  /** Of a directory. */
  readonly children: Map<string, ArchiveNode>;
};

/** Members and the directories that they imply; more than any distribution's whole tree. */
const MAX_ARCHIVE_ENTRIES = 1_000_000;
const IMPLIED: ArchiveAttributes = { kind: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0 };

/** Takes the members in their order. Later ones replace earlier ones, and symlinks on the way to a member are followed. */
export class ArchiveTree implements ImageTree {
  readonly format: 'cpio' | 'tar';
  readonly #source: ByteSource;
  #count = 0;
  readonly #root: ArchiveNode;

  constructor(format: 'cpio' | 'tar', source: ByteSource) {
    this.format = format;
    this.#source = source;
    this.#root = this.#node(IMPLIED);
  }

  /** Puts a member at a path (no `..`, no empty components), and gives its node. Directories keep what is in them. Throws FormatError and LimitError. */
  add(path: string, attributes: ArchiveAttributes, contents: { readonly body?: ArchiveBody; readonly target?: string } = {}): ArchiveNode {
    const known = attributes.kind === 'directory' ? this.#find(path) : undefined;
    if (known?.attributes.kind === 'directory') {
      known.attributes = attributes;
      return known;
    }
    const node = this.#node(attributes);
    node.body = contents.body;
    node.target = contents.target ?? '';
    this.link(path, node);
    return node;
  }

  /** Puts a node at a path, beside those where it is already. */
  link(path: string, node: ArchiveNode): void {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (name === '') throw this.#error(path, 'a directory as the root');
    const parent = this.#parent(path.slice(0, Math.max(slash, 0)));
    const existing = parent.children.get(name);
    // What unpacks cannot remove a directory that is not empty, and leaves it.
    if (existing !== undefined && existing.children.size > 0) return;
    parent.children.set(name, node);
  }

  /** The node at exactly this path. */
  find(path: string): ArchiveNode | undefined {
    return this.#find(path);
  }

  entry(path: string): ImageEntry | undefined {
    const node = this.#find(path);
    if (node === undefined) return undefined;
    const { attributes, body, target, inode } = node;
    return { path, ...attributes, size: attributes.kind === 'symlink' ? Buffer.byteLength(target) : body?.size ?? 0, inode };
  }

  list(path: string): readonly string[] | undefined {
    const node = this.#find(path);
    return node?.attributes.kind === 'directory' ? [...node.children.keys()].sort(compareNames) : undefined;
  }

  readlink(entry: ImageEntry): string {
    const node = this.#find(entry.path);
    if (node?.attributes.kind === 'symlink') return node.target;
    throw new SystemError({ code: 'EINVAL', errno: 22, syscall: 'readlink', text: 'Invalid argument', path: entry.path });
  }

  read(entry: ImageEntry, offset = 0, length = Infinity): Uint8Array {
    const node = this.#find(entry.path);
    if (node?.attributes.kind !== 'file') throw new SystemError({ code: 'EISDIR', errno: 21, syscall: 'read', text: 'Is a directory', path: entry.path });
    const { body } = node;
    if (body === undefined) return new Uint8Array();
    const range = fileRange(body.source.name, body.size, offset, length);
    const contents = body.source.read(body.offset + range.offset, range.length);
    if (range.length === body.size) body.check?.(contents);
    return contents;
  }

  extent(entry: ImageEntry): FileRange | undefined {
    const body = entry.kind === 'file' ? this.#find(entry.path)?.body : undefined;
    return body === undefined || body.source !== this.#source || body.size === 0 ? undefined : { offset: body.offset, length: body.size };
  }

  #node(attributes: ArchiveAttributes): ArchiveNode {
    if (this.#count >= MAX_ARCHIVE_ENTRIES) throw new LimitError({ file: this.#source.name, limit: 'MAX_ARCHIVE_ENTRIES', maximum: MAX_ARCHIVE_ENTRIES });
    return { attributes, body: undefined, target: '', inode: ++this.#count, children: new Map() };
  }

  #find(path: string): ArchiveNode | undefined {
    let node: ArchiveNode | undefined = this.#root;
    for (const name of path === '' ? [] : path.split('/')) node = node?.children.get(name);
    return node;
  }

  /** The directory at a path, made where it is missing. */
  #parent(path: string): ArchiveNode {
    const direct = this.#find(path);
    if (direct?.attributes.kind === 'directory') return direct;
    const pending = path.split('/').reverse();
    const above = [this.#root];
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (above.length > 1) above.pop();
        continue;
      }
      const parent = above.at(-1) ?? this.#root;
      let node = parent.children.get(name);
      if (node === undefined) {
        node = this.#node(IMPLIED);
        parent.children.set(name, node);
      }
      if (node.attributes.kind === 'symlink') {
        if (++links > MAXSYMLINKS) throw this.#error(path, `at most ${MAXSYMLINKS} symlinks on the way`);
        if (node.target.startsWith('/')) above.length = 1;
        pending.push(...node.target.split('/').reverse());
      } else if (node.attributes.kind === 'directory') {
        above.push(node);
      } else {
        throw this.#error(path, 'directories on the way');
      }
    }
    return above.at(-1) ?? this.#root;
  }

  #error(path: string, expected: string): FormatError {
    return new FormatError({ file: this.#source.name, offset: 0, expected, actual: JSON.stringify(path) });
  }
}
