import { describe, expect, it } from 'vitest';

import { FormatError, SystemError } from '../../src/errors.ts';
import { type ImageEntry, type ImageTree, resolve, walk } from '../../src/image/image-tree.ts';

/** A tree of names: a string is a symlink's target, a number the inode of a file, an object a directory. */
type Nodes = { readonly [name: string]: Nodes | string | number };

function treeOf(root: Nodes): ImageTree {
  const inodes = new Map<object, number>();
  const node = (path: string): Nodes | string | number | undefined => path.split('/').filter(Boolean)
    .reduce<Nodes | string | number | undefined>((at, name) => (typeof at === 'object' && Object.hasOwn(at, name) ? at[name] : undefined), root);
  const entry = (path: string): ImageEntry | undefined => {
    const found = node(path);
    if (found === undefined) return undefined;
    if (typeof found === 'object' && !inodes.has(found)) inodes.set(found, 1000 + inodes.size);
    const kind = typeof found === 'object' ? 'directory' as const : typeof found === 'string' ? 'symlink' as const : 'file' as const;
    const inode = typeof found === 'object' ? inodes.get(found) ?? 0 : typeof found === 'number' ? found : 1;
    return { path, kind, size: 0, mode: 0, uid: 0, gid: 0, mtime: 0, inode };
  };
  return {
    format: 'tar',
    entry,
    list: (path) => {
      const found = node(path);
      return typeof found === 'object' ? Object.keys(found) : undefined;
    },
    readlink: ({ path }) => String(node(path)),
    read: () => new Uint8Array(),
    extent: () => undefined,
  };
}

const TREE = treeOf({
  lib: 'usr/lib',
  loop: 'loop2', loop2: '/loop',
  usr: { lib: { a: 7, up: '../../../../usr/./lib/a', absolute: '/usr//lib', self: '.' }, file: { deep: 9 } },
});

describe('resolve', () => {
  it.each([
    ['', ''], ['/', ''], ['usr', 'usr'], ['lib', 'usr/lib'], ['/lib/a', 'usr/lib/a'], ['lib/up', 'usr/lib/a'], ['lib/absolute/a', 'usr/lib/a'],
    ['lib/self/self/a', 'usr/lib/a'], ['../../lib/../lib/a/', 'usr/lib/a'], ['usr/lib/..', 'usr'], ['lib/../file/deep', 'usr/file/deep'],
  ])('takes %j to %j', (path, expected) => {
    expect(resolve(TREE, path)?.path).toBe(expected);
  });

  it.each(['nothing', 'lib/nothing', 'lib/a/b', 'nothing/../usr'])('finds nothing at %j', (path) => {
    expect(resolve(TREE, path)).toBeUndefined();
  });

  it('gives up on links that lead in a circle', () => {
    expect(() => resolve(TREE, 'loop')).toThrow(SystemError);
    expect(() => resolve(TREE, 'loop')).toThrow(/ELOOP/);
  });
});

describe('walk', () => {
  it('gives parents first, without following symlinks', () => {
    expect(Array.from(walk(TREE, 'usr'), ({ path }) => path)).toEqual(['usr', 'usr/lib', 'usr/lib/a', 'usr/lib/up', 'usr/lib/absolute', 'usr/lib/self', 'usr/file', 'usr/file/deep']);
    expect([...walk(TREE, 'nothing')]).toEqual([]);
  });

  it('refuses a directory that is below itself, or in two places', () => {
    const twice: Nodes = { a: 1 };
    expect(() => [...walk(treeOf({ one: twice, two: twice }))]).toThrow(FormatError);
    const loop: { below?: Nodes } = {};
    loop.below = loop as Nodes;
    expect(() => [...walk(treeOf(loop as Nodes))]).toThrow(/inode 1000 again, at "below"/);
  });
});
