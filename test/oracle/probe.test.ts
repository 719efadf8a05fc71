// tskmod probe beside Debian's blkid on real file systems, volumes and partition tables, and beside kmod for the module.

import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { unpackedPackage } from '../../scripts/debian-package.mjs';
import { erofsUtils15, scratch } from './image-tools.ts';
import { debianTree, run, runOurs } from './oracle.ts';

const tree = await debianTree('6.12');
const reason = typeof tree === 'string' ? tree : undefined;

const UUID = '12345678-9abc-4def-8123-456789abcdef';
const COMPARED = ['TYPE', 'USAGE', 'VERSION', 'UUID', 'LABEL', 'PTTYPE', 'PTUUID'];

/** A shell's words that make the image at $1, of so many MiB; $2 is a directory with a file. */
const IMAGES: readonly (readonly [name: string, mib: number, command: () => string])[] = [
  ['ext2', 2, () => `mke2fs -q -F -t ext2 -L two -U ${UUID} $1`],
  ['ext3', 8, () => `mke2fs -q -F -t ext3 -L three $1`],
  ['ext4', 8, () => `mke2fs -q -F -t ext4 -L 'a label' -U ${UUID} $1`],
  ['xfs', 32, () => `mkfs.xfs -q --unsupported -L xlabel -m uuid=${UUID} $1`],
  ['btrfs', 128, () => `${unpackedPackage('btrfs-progs')}/sbin/mkfs.btrfs -q -L blabel -U ${UUID} $1`],
  ['vfat', 8, () => `${unpackedPackage('dosfstools')}/sbin/mkfs.vfat -n DOSLABEL -i 1234abcd $1`],
  ['squashfs', 0, () => 'rm -f $1; mksquashfs $2 $1 -quiet -no-progress'],
  ['erofs', 0, () => `${erofsUtils15().command('mkfs.erofs')} -U${UUID} $1 $2`],
  ['swap', 2, () => `mkswap -q -L slabel -U ${UUID} $1`],
  ['gpt', 8, () => `printf 'label: gpt\\nlabel-id: ${UUID}\\nsize=2MiB, name=first\\n' | sfdisk -q $1`],
  ['dos', 8, () => "printf 'label: dos\\nlabel-id: 0x1234abcd\\nsize=2MiB, type=83\\n' | sfdisk -q $1"],
  ['nothing', 1, () => 'true'],
];

describe.skipIf(reason !== undefined)(`probe, beside Debian's blkid and kmod${reason === undefined ? '' : ` (${reason})`}`, () => {
  if (typeof tree === 'string') return;
  const content = join(scratch, 'probe-content');
  mkdirSync(content, { recursive: true });
  writeFileSync(join(content, 'file'), 'content\n');

  const compare = (path: string): string | undefined => {
    const theirs = Object.fromEntries(run('blkid', ['-p', '-o', 'export', path]).stdout.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).replaceAll('\\ ', ' ')]));
    const ours = runOurs('tskmod', ['probe', '--json', '-S', tree.release, '--modules', tree.directory, path]);
    const { values, mount } = JSON.parse(ours.stdout) as { values: Record<string, string>; mount: { how: string; modules?: string[] } };
    // Ours are libblkid's safe forms, which have no blanks.
    const comparable = Object.fromEntries(COMPARED.filter((name) => name in values || name in theirs).map((name) => [name, values[name]?.replaceAll('_', ' ')]));
    const expected = Object.fromEntries(COMPARED.filter((name) => name in values || name in theirs).map((name) => [name, theirs[name]?.replaceAll('_', ' ')]));
    expect(comparable).toEqual(expected);
    const type = theirs['USAGE'] === 'filesystem' ? theirs['TYPE'] : undefined;
    const modules = type === undefined ? [] : run('/sbin/modprobe', ['-d', tree.root, '-S', tree.release, '-R', `fs-${type}`]).stdout.split('\n').filter(Boolean);
    expect({ modules: mount.modules ?? [], status: ours.status }).toEqual({ modules, status: Object.keys(theirs).some((name) => COMPARED.includes(name)) ? 0 : 2 });
    return theirs['TYPE'] ?? theirs['PTTYPE'];
  };

  it.each(IMAGES)('%s', (name, mib, command) => {
    const path = join(scratch, `probe-${name}.img`);
    writeFileSync(path, '');
    truncateSync(path, mib * 2 ** 20);
    const made = run('/bin/sh', ['-c', `set -e; ${command()}`, 'sh', path, content]);
    expect(made.status, made.stderr).toBe(0);
    expect(compare(path)).toBe(name === 'nothing' ? undefined : name);
  });

  it.each([1, 2])('a LUKS header of version %d', (version) => {
    const header = Buffer.alloc(2 ** 20);
    header.write('LUKS\xba\xbe', 'latin1');
    header.writeUInt16BE(version, 6);
    header.write(UUID, 168);
    const path = join(scratch, `probe-luks${version}.img`);
    writeFileSync(path, header);
    expect(compare(path)).toBe('crypto_LUKS');
  });

  it('a physical volume of LVM', () => {
    const label = Buffer.alloc(512);
    label.write('LABELONE');
    label.writeBigUInt64LE(1n, 8);
    label.writeUInt32LE(32, 20);
    label.write('LVM2 001abcdefghijklmnopqrstuvwxyz012345', 24);
    label.writeUInt32LE(lvmChecksum(label.subarray(20)), 16);
    // libblkid looks for no volumes on what might be a floppy disk.
    const image = Buffer.alloc(4 * 2 ** 20);
    label.copy(image, 512);
    const path = join(scratch, 'probe-lvm.img');
    writeFileSync(path, image);
    expect(compare(path)).toBe('LVM2_member');
  });
});

/** CRC-32 from another start, without the final inversion. */
function lvmChecksum(data: Uint8Array): number {
  let sum = 0xf597a6cf;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return sum >>> 0;
}
