import { describe, expect, it } from 'vitest';

import { selectModules } from '../../src/vm/select.ts';
import { fixtureRoot } from '../fixture-root.ts';

const FILES = {
  'modules.softdep': 'softdep libcrc32c pre: crc32c_generic\n',
  'modules.dep': `kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko.xz
kernel/fs/mbcache.ko.xz:
kernel/lib/libcrc32c.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
`,
};

describe('selectModules', () => {
  it('takes what the globs name, and all that it needs', async () => {
    const tree = fixtureRoot(FILES);
    expect(await selectModules(tree, '6.12', ['kernel/fs/xfs/*'])).toEqual([
      'kernel/crypto/crc32c_generic.ko.xz', 'kernel/fs/xfs/xfs.ko.xz', 'kernel/lib/libcrc32c.ko.xz',
    ]);
    expect(await selectModules(tree, '6.12', ['**/ext4', '**/mbcache.ko.xz'])).toEqual(['kernel/fs/ext4/ext4.ko.xz', 'kernel/fs/mbcache.ko.xz']);
    expect(await selectModules(tree, '6.12', ['kernel/**'])).toHaveLength(5);
  });

  it('refuses a glob that names nothing', async () => {
    const tree = fixtureRoot(FILES);
    await expect(selectModules(tree, '6.12', ['kernel/sound/*'])).rejects.toThrow(`--include kernel/sound/*: names no module of ${tree}`);
  });
});
