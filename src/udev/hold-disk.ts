// Holding disks against udev while a program works on them: an exclusive flock(2) of the node of each whole disk.

import { closeSync, constants, openSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import { errnoByName, errnoName, LOCK_EX, LOCK_NB, systemError } from '../system.ts';
import type { System } from '../system.ts';
import { deviceByNumber, deviceNumber } from './device-lookup.ts';

/** How often a lock that another has is asked for again. */
const RETRY_MS = 50;

export type DiskFault = 'ENOENT' | 'ENOTBLK' | 'ENODEV' | 'EACCES';

/**
 * The node of the whole disk that a block device is or is part of; with `backing`, of the disk that holds the file system of a path.
 * The fault where there is none.
 */
export function wholeDisk(system: System, path: string, { backing = false } = {}): { readonly node: string } | { readonly fault: DiskFault } {
  let stat;
  try {
    stat = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return { fault: 'EACCES' };
  }
  if (!stat) return { fault: 'ENOENT' };
  const number = stat.isBlockDevice() ? stat.rdev : backing ? stat.dev : undefined;
  if (number === undefined) return { fault: 'ENOTBLK' };
  const device = deviceByNumber(system, deviceNumber('block', number));
  const disk = device?.devtype === 'partition' ? device.parent : device;
  if (disk?.devname === undefined) return { fault: device === undefined && backing ? 'ENOTBLK' : 'ENODEV' };
  return { node: join(system.roots.dev, disk.devname) };
}

export type HoldOptions = {
  /** For all disks together, in milliseconds; 0 does not wait, Infinity for ever. */
  readonly timeoutMs: number;
  /** Another has the lock: once for each disk. `leftMs` is the time that is left. */
  readonly onWait: (node: string, leftMs: number) => void;
  readonly signal?: AbortSignal;
};

/**
 * Locks the disks in their order and returns their descriptors, which the caller closes; undefined when the time is over. Who locks several
 * must name them in one order always. Throws SystemError or Node's error where a node cannot be opened.
 */
export async function holdDisks(system: System, nodes: readonly string[], options: HoldOptions): Promise<readonly number[] | undefined> {
  const deadline = system.clock.now() + options.timeoutMs;
  const held: number[] = [];
  try {
    for (const node of nodes) {
      const fd = openSync(node, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
      held.push(fd);
      if (!await lock(system, fd, node, deadline, options)) return release(held);
    }
    return held;
  } catch (error) {
    release(held);
    throw error;
  }
}

async function lock(system: System, fd: number, node: string, deadline: number, { onWait, signal }: HoldOptions): Promise<boolean> {
  const native = await system.native();
  for (let isFirst = true; ; isFirst = false) {
    const errno = native.flock(fd, LOCK_EX | LOCK_NB);
    if (errno === 0) return true;
    if (errno !== errnoByName('EAGAIN')) throw systemError('flock', errno, `${node} (${errnoName(errno)})`);
    const left = deadline - system.clock.now();
    if (isFirst) onWait(node, Math.max(left, 0));
    if (left <= 0) return false;
    // Not on a thread that waits: none could take it back from there when the time is over.
    await system.clock.sleep(Math.min(RETRY_MS, left), signal);
  }
}

function release(descriptors: readonly number[]): undefined {
  for (const fd of descriptors) closeSync(fd);
}
