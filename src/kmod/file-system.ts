// Which file system is on a disk or image, and whether the kernel knows its type already.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

import { codeOf } from '../errors.ts';
import type { BlkidResult, System } from '../system.ts';

/** What libblkid finds from `offset` bytes on. Undefined where there is no libblkid. Throws Node's error for a file that cannot be opened. */
export async function probeFile(system: System, path: string, offset = 0): Promise<BlkidResult['values'] | undefined> {
  const { blkid } = await system.native();
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return (await blkid?.probe(fd, { offset, isCharacterDevice: fstatSync(fd).isCharacterDevice() }))?.values;
  } finally {
    closeSync(fd);
  }
}

/** What is registered already, only of the kernel that runs. */
export function isRegistered({ roots: { proc }, release }: System, type: string): boolean {
  try {
    if (readFileSync(`${proc}/sys/kernel/osrelease`, 'utf8').trim() !== release) return false;
    return readFileSync(`${proc}/filesystems`, 'utf8').split('\n').some((line) => line.split('\t')[1] === type);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
