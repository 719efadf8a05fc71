// The lock by which a program keeps udev away from a disk that it is changing (flock on the node, as `udevadm lock` takes it).

import { closeSync, constants } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import { LOCK_NB, LOCK_SH } from '../system.ts';
import type { System } from '../system.ts';
import type { Device } from './device.ts';
import { openNode } from './open-node.ts';

/** How often a locked disk is looked at again, and for how long. */
const LOCK_RETRY_MS = 200;
const LOCK_TIMEOUT_MS = 180_000;

/** Disks of these names are made of others, and locked by nobody. */
const UNLOCKED_DISKS = /^(?:dm-|md|drbd)/;

/**
 * A shared lock of the whole disk, as a descriptor that the caller closes. A program that partitions or formats holds it exclusively: its
 * disk is left alone meanwhile, at most LOCK_TIMEOUT_MS. Undefined where there is no node to lock.
 */
export async function lockDisk(
  system: System, device: Device, { signal }: { readonly signal?: AbortSignal }, onWait: () => void,
): Promise<number | undefined> {
  const disk = device.devtype === 'partition' ? device.parent : device;
  if (!disk?.devname || UNLOCKED_DISKS.test(disk.sysname)) return undefined;
  const path = join(system.roots.dev, disk.devname);
  const native = await system.native();
  const deadline = system.clock.now() + LOCK_TIMEOUT_MS;
  for (;;) {
    const fd = await openDisk(system, path);
    if (fd === undefined || native.flock(fd, LOCK_SH | LOCK_NB) === 0) return fd;
    closeSync(fd);
    if (system.clock.now() >= deadline) {
      system.log.warn({ code: 'disk-locked', message: `${device.sysname}: ${path} has been locked for ${LOCK_TIMEOUT_MS / 1000} s: going on without the lock` });
      return undefined;
    }
    onWait();
    await system.clock.sleep(LOCK_RETRY_MS, signal);
  }
}

async function openDisk(system: System, path: string): Promise<number | undefined> {
  try {
    return await openNode(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    // No node, no medium, no such device any more: nobody can work on it.
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'disk-unlocked', message: messageOf(error) });
    return undefined;
  }
}
