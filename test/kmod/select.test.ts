// The selection of modules and firmware: closure, reasons, costs, what is missing, and what would go with a file.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { goesWith, type Selection } from '../../src/kmod/select.ts';
import { readMachine, readSelection, type SelectOptions } from '../../src/kmod/select-reader.ts';
import { openTree } from '../../src/kmod/tree-source.ts';
import { buildModule } from './elf-builder.ts';
import { IMAGE, machine, RELEASE } from './machine.ts';

const TREE = `lib/modules/${RELEASE}`;
const SIZE = IMAGE.length;
const E1000E = buildModule({ modinfo: ['firmware=a/one.bin', 'firmware=two*.bin', 'firmware=gone.bin', 'firmware=../../etc/passwd'] });
const XZ_LIKE = Buffer.from('not looked into');

function select(options: SelectOptions, files: Readonly<Record<string, string | Uint8Array>> = {}): Promise<Selection> {
  const { system } = machine(files);
  return readSelection(system, openTree(system), options);
}

const names = ({ files }: Selection) => files.map(({ name }) => name);

describe('readSelection', () => {
  it('closes names and aliases over dependencies and softdeps, with reasons and bytes', async () => {
    expect(await select({ names: ['xfs', 'fs-xfs', 'ext4', 'nosuch'] })).toEqual({
      files: [
        { kind: 'module', name: 'crc32c_generic', path: 'kernel/crc32c_generic.ko', bytes: SIZE, reasons: [{ kind: 'softdep', from: 'libcrc32c' }] },
        { kind: 'module', name: 'crc32c_intel', path: 'kernel/crc32c_intel.ko', bytes: SIZE, reasons: [{ kind: 'softdep', from: 'libcrc32c' }] },
        { kind: 'module', name: 'libcrc32c', path: 'kernel/libcrc32c.ko', bytes: SIZE, reasons: [{ kind: 'dep', from: 'xfs' }] },
        {
          kind: 'module', name: 'xfs', path: 'kernel/xfs.ko', bytes: SIZE,
          reasons: [{ kind: 'name', from: 'xfs' }, { kind: 'alias', from: 'fs-xfs', pattern: 'fs_xfs' }],
        },
      ],
      builtin: ['ext4'],
      missing: [{ kind: 'name', name: 'nosuch', reasons: [] }],
    });
  });

  it('takes globs over paths, with and without the ending, and says which name nothing', async () => {
    const selection = await select({ globs: ['kernel/*intel', 'kernel/e1*.ko', 'drivers/**'] });
    expect(selection.files.map(({ name, reasons }) => [name, reasons])).toEqual([
      ['crc32c_intel', [{ kind: 'glob', from: 'kernel/*intel' }]], ['e1000e', [{ kind: 'glob', from: 'kernel/e1*.ko' }]],
    ]);
    expect(selection.missing).toEqual([{ kind: 'glob', name: 'drivers/**', reasons: [] }]);
  });

  it('takes what the devices of a machine need, and weakdeps on request only', async () => {
    const modalias = 'pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00';
    const files = {
      'sys/devices/pci0000:00/0000:00:02.0/uevent': `DRIVER=e1000e\nMODALIAS=${modalias}\n`,
      'sys/devices/platform/nobody/uevent': 'MODALIAS=platform:nobody\n',
      [`${TREE}/modules.weakdep`]: 'weakdep e1000e xfs nosuch\n',
    };
    const { root, system } = machine(files);
    const machines = [readMachine(root)];
    expect(machines).toEqual([{
      root, devices: [{ devpath: '/devices/pci0000:00/0000:00:02.0', modalias }, { devpath: '/devices/platform/nobody', modalias: 'platform:nobody' }],
    }]);
    const selection = await readSelection(system, openTree(system), { machines });
    expect([selection.files, selection.missing]).toEqual([[{
      kind: 'module', name: 'e1000e', path: 'kernel/e1000e.ko', bytes: SIZE,
      reasons: [{ kind: 'device', from: modalias, pattern: 'pci:v00008086d000010D3sv*sd*bc*sc*i*', devpath: '/devices/pci0000:00/0000:00:02.0', root }],
    }], []]);
    const weak = await readSelection(system, openTree(system), { machines, weakdeps: true });
    expect(names(weak)).toEqual(['crc32c_generic', 'crc32c_intel', 'e1000e', 'libcrc32c', 'xfs']);
    expect(() => readMachine(join(root, 'nowhere'))).toThrow('ENOENT');
  });

  it('finds firmware in the order of the kernel, compressed ones and wildcards too, and none outside', async () => {
    const selection = await select({ names: ['e1000e'], firmware: true }, {
      [`${TREE}/kernel/e1000e.ko`]: E1000E,
      'etc/passwd': '',
      'lib/firmware/a/one.bin': '1',
      'lib/firmware/a/one.bin.zst': 'compressed',
      'lib/firmware/updates/a/one.bin': '22',
      'lib/firmware/two-a.bin.xz': XZ_LIKE,
      'lib/firmware/two-b.bin': '333',
      'lib/firmware/two-c.txt': '',
    });
    const firmware = selection.files.filter(({ kind }) => kind === 'firmware');
    expect(firmware.map(({ name, path, from, bytes, reasons }) => [name, path, from?.replace(/^.*?\/lib\//, 'lib/'), bytes, reasons])).toEqual([
      ['a/one.bin', 'a/one.bin', 'lib/firmware/updates/a/one.bin', 2, [{ kind: 'firmware', from: 'e1000e' }]],
      ['two*.bin', 'two-a.bin.xz', 'lib/firmware/two-a.bin.xz', XZ_LIKE.length, [{ kind: 'firmware', from: 'e1000e' }]],
      ['two*.bin', 'two-b.bin', 'lib/firmware/two-b.bin', 3, [{ kind: 'firmware', from: 'e1000e' }]],
    ]);
    expect(selection.missing).toEqual([{ kind: 'firmware', name: 'gone.bin', reasons: [{ kind: 'firmware', from: 'e1000e' }] }]);
  });

  it('reports a module whose file is not there', async () => {
    const selection = await select({ names: ['a'] }, { [`${TREE}/modules.dep`]: 'kernel/a.ko: kernel/b.ko kernel/xfs.ko\nkernel/b.ko:\nkernel/xfs.ko:\n', [`${TREE}/kernel/a.ko`]: IMAGE });
    expect(names(selection)).toEqual(['a', 'xfs']);
    expect(selection.missing).toEqual([{ kind: 'module', name: 'b', reasons: [{ kind: 'dep', from: 'a' }] }]);
  });
});

describe('goesWith', () => {
  it('is what cannot be loaded without a file, and what is there for that alone', async () => {
    const selection = await select({ names: ['xfs', 'e1000e', 'crc32c_intel'], firmware: false });
    const gone = (name: string) => goesWith(selection, `kernel/${name}.ko`);
    expect(gone('xfs')).toEqual({ paths: ['kernel/crc32c_generic.ko', 'kernel/libcrc32c.ko', 'kernel/xfs.ko'], bytes: 3 * SIZE });
    expect(gone('libcrc32c')).toEqual(gone('xfs'));
    expect(gone('crc32c_generic')).toEqual({ paths: ['kernel/crc32c_generic.ko'], bytes: SIZE });
    expect(gone('e1000e')).toEqual({ paths: ['kernel/e1000e.ko'], bytes: SIZE });
    expect(gone('none')).toEqual({ paths: [], bytes: 0 });
  });

  it('takes firmware along unless another module names it', async () => {
    const files = {
      [`${TREE}/kernel/e1000e.ko`]: E1000E,
      [`${TREE}/kernel/noload.ko`]: buildModule({ modinfo: ['firmware=two-b.bin'] }),
      'lib/firmware/a/one.bin': '1', 'lib/firmware/two-b.bin': '333',
    };
    const selection = await select({ names: ['e1000e', 'noload'], firmware: true }, files);
    expect(goesWith(selection, 'kernel/e1000e.ko')).toEqual({ paths: ['kernel/e1000e.ko', 'a/one.bin'], bytes: E1000E.length + 1 });
  });
});
