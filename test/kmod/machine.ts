// A small machine for the tests of plans and loads: eight modules, a configuration, a kernel that has some of them.

import { openFakeNative, type FakeNative, type FakeScript } from '../../native-bindings/fake.ts';
import { type Kmod, openKmod } from '../../src/kmod/kmod.ts';
import { openSystem, type System } from '../../src/system.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';

export const RELEASE = '6.12.0-test';
const TREE = `lib/modules/${RELEASE}`;

/** Not an ELF file: the fake kernel takes anything. */
export const IMAGE = Buffer.from('\x7fELF of a module');

const MODULES = ['xfs', 'libcrc32c', 'crc32c_generic', 'crc32c_intel', 'e1000e', 'msghandler', 'devintf', 'noload'];

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  [`${TREE}/modules.dep`]: [
    'kernel/xfs.ko: kernel/libcrc32c.ko', 'kernel/libcrc32c.ko:', 'kernel/crc32c_generic.ko:', 'kernel/crc32c_intel.ko:',
    'kernel/e1000e.ko:', 'kernel/msghandler.ko:', 'kernel/devintf.ko: kernel/msghandler.ko', 'kernel/noload.ko:', '',
  ].join('\n'),
  [`${TREE}/modules.alias`]: [
    '# Aliases extracted from modules themselves.', 'alias fs-xfs xfs', 'alias crypto-crc32c crc32c_generic',
    'alias crypto-crc32c crc32c_intel', 'alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e', '',
  ].join('\n'),
  [`${TREE}/modules.softdep`]: 'softdep libcrc32c pre: crypto-crc32c\nsoftdep msghandler post: devintf\n',
  [`${TREE}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
  [`${TREE}/modules.builtin.modinfo`]: 'ext4.alias=fs-ext4\0ext4.license=GPL\0',
  'proc/cmdline': 'quiet e1000e.debug=3\n',
  'sys/module/ext4/uevent': '',
  'etc/modprobe.d/a.conf': 'blacklist e1000e\ninstall noload /bin/false\noptions xfs a=1\n',
  ...Object.fromEntries(MODULES.map((name) => [`${TREE}/kernel/${name}.ko`, IMAGE])),
};

export type Machine = { readonly root: string; readonly system: System; readonly kmod: Kmod; readonly native: FakeNative; readonly log: readonly string[] };

/** @param files more files, or other contents; @param script what the kernel answers */
export function machine(files: Readonly<Record<string, string | Uint8Array>> = {}, script: FakeScript = {}): Machine {
  const root = fixtureRoot({ ...FILES, ...files });
  const native = openFakeNative(script);
  const log = recordingLog();
  const system = openSystem({ root, release: RELEASE, native, log });
  return { root, system, kmod: openKmod(system), native, log: log.lines };
}

export const tree = (root: string, path: string) => `${root}/${TREE}/${path}`;
