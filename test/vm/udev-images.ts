// Small disk images with partition tables, file systems and superblocks of the common kinds, made with Debian's own tools.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { unpackedPackage } from '../../scripts/debian-package.mjs';

const MIB = 1 << 20;
const SECTOR = 512;

/** Images with nothing on them: for volumes and arrays that a guest makes. */
export const EMPTY_IMAGES = ['pv0', 'pv1', 'md0', 'md1', 'spare'] as const;

/** Writes gpt.img, mbr.img, ext4.img, btrfs.img, cd.img and EMPTY_IMAGES into `directory`. */
export function makeImages(directory: string): void {
  const sfdisk = join(unpackedPackage('fdisk'), 'sbin/sfdisk');
  const vfat = join(unpackedPackage('dosfstools'), 'sbin/mkfs.vfat');
  const btrfs = join(unpackedPackage('btrfs-progs'), 'sbin/mkfs.btrfs');
  const empty = (name: string, mib: number): string => {
    const path = join(directory, `${name}.img`);
    writeFileSync(path, '');
    truncateSync(path, mib * MIB);
    return path;
  };
  /** The tools write to the beginning of a file: what a partition holds is made beside the disk and copied in. */
  const partition = (disk: string, start: number, mib: number, program: string, args: readonly string[]): void => {
    const path = empty('partition', mib);
    run(program, [...args, path]);
    put(disk, start * SECTOR, readFileSync(path));
    rmSync(path);
  };

  const gpt = empty('gpt', 48);
  run(sfdisk, ['-q', gpt], 'label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\nstart=2048,size=16384,type=U,name="EFI System"\n'
    + 'start=18432,size=32768,type=L,name="a/b ü"\nstart=51200,size=16384,type=S\n');
  partition(gpt, 2048, 8, vfat, ['-n', 'ESP', '-i', '1234abcd']);
  partition(gpt, 18432, 16, 'mkfs.ext4', ['-q', '-F', '-L', 'root fs/x', '-U', '22222222-2222-3333-4444-555555555555']);
  partition(gpt, 51200, 8, 'mkswap', ['-q', '-L', 'swap', '-U', '33333333-2222-3333-4444-555555555555']);

  const mbr = empty('mbr', 48);
  run(sfdisk, ['-q', mbr], 'label: dos\nlabel-id: 0xcafe1234\nstart=2048,size=16384,type=83,bootable\nstart=18432,size=65536,type=5\nstart=20480,size=8192,type=83\nstart=32768,size=8192,type=82\n');
  partition(mbr, 2048, 8, 'mkfs.ext4', ['-q', '-F', '-U', '44444444-2222-3333-4444-555555555555']);
  put(mbr, 20480 * SECTOR, luksHeader('55555555-2222-3333-4444-555555555555'));

  run('mkfs.ext4', ['-q', '-F', '-L', 'whole', '-U', '66666666-2222-3333-4444-555555555555', empty('ext4', 16)]);
  run(btrfs, ['-q', '-L', 'tree', '-U', '77777777-2222-3333-4444-555555555555', empty('btrfs', 128)]);
  for (const name of EMPTY_IMAGES) empty(name, 64);
  put(empty('cd', 1), 16 * 2048, isoDescriptors('A DISC'));
}

/** The fields that tell a LUKS1 header: cryptsetup's on-disk format, table 2.1. */
function luksHeader(uuid: string): Buffer {
  const header = Buffer.alloc(592);
  header.write('LUKS\xba\xbe\0\x01', 'latin1');
  header.write('aes', 8);
  header.write('xts-plain64', 40);
  header.write('sha256', 72);
  header.write(uuid, 168);
  return header;
}

/** A primary volume descriptor and the end of the set: ECMA-119, 8.4. */
function isoDescriptors(label: string): Buffer {
  const sectors = Buffer.alloc(2 * 2048);
  sectors.write('\x01CD001\x01', 'latin1');
  sectors.write(label.padEnd(32), 40);
  sectors.write('2020010203040506\0', 813, 'latin1');
  sectors.write('\xffCD001\x01', 2048, 'latin1');
  return sectors;
}

function put(path: string, position: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  try {
    writeSync(file, bytes, 0, bytes.length, position);
  } finally {
    closeSync(file);
  }
}

function run(program: string, args: readonly string[], input = ''): void {
  const { status, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}
