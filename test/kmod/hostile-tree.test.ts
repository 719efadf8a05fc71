// Damaged text files of a module tree, by seed: answers or our errors, and in bounded time.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';

import { FormatError, LimitError, ParseError } from '../../src/errors.ts';
import { depmod } from '../../src/kmod/depmod.ts';
import { DepmodError } from '../../src/kmod/depmod-output.ts';
import { openKmod } from '../../src/kmod/kmod.ts';
import { parseBuiltinInfo } from '../../src/kmod/modinfo.ts';
import { random } from '../random.ts';
import { type Machine, machine, RELEASE } from './machine.ts';

const ROUNDS = 150;
/** Each writes all indexes. */
const DEPMOD_ROUNDS = 30;
const TREE = `lib/modules/${RELEASE}`;
const NAMES = ['xfs', 'devintf', 'ext4', 'fs-xfs', 'fs-ext4', 'crypto-crc32c', 'symbol:crc32c', 'pci:v00008086d000010D3sv1sd2bc3sc4i5', 'nosuch'];

const FILES: Readonly<Record<string, string>> = {
  'modules.dep': 'kernel/xfs.ko: kernel/libcrc32c.ko\nkernel/libcrc32c.ko:\nkernel/devintf.ko: kernel/msghandler.ko\nkernel/msghandler.ko:\n',
  'modules.alias': '# Aliases\nalias fs-xfs xfs\nalias crypto-crc32c crc32c_intel\nalias pci:v00008086d000010D[0-9]sv*sd*bc*sc*i* e1000e\n',
  'modules.symbols': '# Aliases\nalias symbol:crc32c libcrc32c\nalias symbol:x xfs\n',
  'modules.softdep': 'softdep xfs pre: crypto-crc32c post: devintf\nsoftdep msghandler post: devintf\n',
  'modules.weakdep': 'weakdep xfs devintf\n',
  'modules.builtin': 'kernel/fs/ext4/ext4.ko\nkernel/fs/ext2/ext2.ko\n',
  'modules.builtin.modinfo': 'ext4.alias=fs-ext4\0ext4.license=GPL\0ext2.alias=fs-ext2\0ext2.parm=a:b\0',
  'modules.order': 'kernel/xfs.ko\nkernel/libcrc32c.ko\nkernel/e1000e.ko\n',
};

/** What a damaged file puts where it should not be. */
const PIECES = ['\0', '/', '../', '\n', ' ', ':', '[', ']', '*', '-', '.', '#', '\\\n', '\xff', 'xfs', 'kernel/xfs.ko', '__proto__', 'a'.repeat(5000), '['.repeat(300), '*a'.repeat(200)];

function damaged(text: string, next: (below: number) => number): string {
  let changed = text;
  for (let i = next(4); i >= 0; i--) {
    const at = next(changed.length + 1);
    changed = changed.slice(0, at) + (PIECES[next(PIECES.length)] ?? '') + changed.slice(at + next(12));
  }
  return next(4) === 0 ? changed.slice(0, next(changed.length + 1)) : changed;
}

async function tolerates(text: string, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    const ours = [FormatError, LimitError, ParseError, DepmodError].some((known) => error instanceof known);
    if (!ours) throw new Error(JSON.stringify(text), { cause: error });
  }
}

/** All that is asked of the tree. */
function ask({ system }: Machine): void {
  const kmod = openKmod(system);
  for (const name of NAMES) {
    kmod.lookup(name);
    kmod.plan(name);
    kmod.plan(name, { action: 'remove' });
  }
}

describe.each(Object.keys(FILES))('%s', (file) => {
  it('is looked up and planned with, whatever is changed in it', async () => {
    const made = machine(Object.fromEntries(Object.entries(FILES).map(([name, text]) => [`${TREE}/${name}`, text])));
    const next = random(41);
    for (let round = 0; round < ROUNDS; round++) {
      const text = damaged(FILES[file] ?? '', next);
      writeFileSync(join(made.root, TREE, file), text, 'latin1');
      await tolerates(text, () => ask(made));
      if (file === 'modules.builtin.modinfo') await tolerates(text, () => parseBuiltinInfo(Buffer.from(text, 'latin1'), 'ext4', file));
    }
  }, 60_000);
});

describe('depmod', () => {
  it.each(['modules.order', 'modules.builtin', 'modules.builtin.modinfo'])('reads %s, whatever is changed in it', async (file) => {
    const { root, system } = machine();
    const next = random(43);
    for (let round = 0; round < DEPMOD_ROUNDS; round++) {
      const text = damaged(FILES[file] ?? '', next);
      writeFileSync(join(root, TREE, file), text, 'latin1');
      await tolerates(text, () => depmod(system, { directory: join(root, TREE), release: RELEASE, configPaths: [], noCache: true, jobs: 1 }));
    }
  }, 60_000);
});
