// Watches on block devices: when a program that wrote to one closes it, the device is looked at again.

import { constants, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import { errnoName, IN_CLOSE_WRITE, IN_IGNORED, LOCK_EX, LOCK_NB, systemError } from '../system.ts';
import type { Inotify, InotifyEvent, Native, System } from '../system.ts';
import { makeDirectory, removeFile, replaceLink } from './atomic-file.ts';
import { isDeviceId } from './database.ts';
import type { Device } from './device.ts';
import { deviceId } from './device.ts';
import { normalDevName } from './link-name.ts';

/** Partitions of one disk; the kernel itself allows 256 (DISK_MAX_PARTS). */
const PARTITIONS_MAX = 1024;

export type WatchedDevice = Pick<Device, 'devnum' | 'devname' | 'devtype' | 'ifindex' | 'subsystem' | 'sysname' | 'syspath' | 'devpath'>;

export interface DeviceWatch {
  /** An event of the device starts: what its handlers write to it is nobody's change. */
  begin(device: WatchedDevice): void;
  /** The event has ended, and the device is to be watched. */
  end(device: WatchedDevice): void;
  /** Ends all watches; /run/udev/watch keeps what a next daemon shall watch. */
  close(): Promise<void>;
}

export type DeviceWatchOptions = {
  /** A device by its id, where it still is: to set up again what the last daemon watched. */
  readonly deviceOf: (id: string) => WatchedDevice | undefined;
};

type Watched = { readonly id: string; readonly device: WatchedDevice };

/** Sets up again what /run/udev/watch says. Throws SystemError where there is no inotify. */
export async function openDeviceWatch(system: System, { deviceOf }: DeviceWatchOptions): Promise<DeviceWatch> {
  const native = await system.native();
  const watched = new Map<number, Watched>();
  const byId = new Map<string, number>();
  const synthesise = oneAtATime((device: WatchedDevice) => changed(system, native, device));

  const onEvent = ({ watch, mask }: InotifyEvent): void => {
    const entry = watched.get(watch);
    if (!entry) return;
    // The node is gone, and the kernel's watch with it.
    if ((mask & IN_IGNORED) !== 0) forget(entry.id, watch);
    else if ((mask & IN_CLOSE_WRITE) !== 0) synthesise(entry.id, entry.device);
  };
  const opened = native.openInotify({
    onEvent,
    onLost: () => {
      system.log.warn({ code: 'watch-lost', message: 'changes of watched devices were lost: looking at all of them again' });
      for (const { id, device } of watched.values()) synthesise(id, device);
    },
    onError: (errno) => {
      system.log.error({ code: 'watch-failed', message: `watching devices failed: ${errnoName(errno)}` });
    },
  });
  if ('errno' in opened) throw systemError(opened.syscall, opened.errno);
  const { inotify } = opened;

  const forget = (id: string, watch: number): void => {
    watched.delete(watch);
    byId.delete(id);
    attempt(system, () => {
      removeFile(watchPath(system, String(watch)));
      removeFile(watchPath(system, id));
    });
  };
  const end = (device: WatchedDevice): void => {
    const id = deviceId(device);
    if (id === undefined || byId.has(id)) return;
    const watch = addWatch(system, inotify, device);
    if (watch === undefined) return;
    // Two devices with one node: the kernel has one watch a file.
    const other = watched.get(watch);
    if (other) forget(other.id, watch);
    watched.set(watch, { id, device });
    byId.set(id, watch);
    attempt(system, () => saveWatch(system, id, watch));
  };

  for (const id of takeOldWatches(system)) {
    const device = deviceOf(id);
    if (device) end(device);
  }
  return {
    begin: (device) => {
      const id = deviceId(device);
      const watch = id === undefined ? undefined : byId.get(id);
      if (id === undefined || watch === undefined) return;
      forget(id, watch);
      // EINVAL: the kernel removed it with the node, and has yet to say so.
      inotify.remove(watch);
    },
    end,
    close: () => inotify.close(),
  };
}

function addWatch(system: System, inotify: Inotify, { devname, devnum }: WatchedDevice): number | undefined {
  const name = devname === undefined ? undefined : normalDevName(devname);
  if (name === undefined || devnum?.type !== 'block') return undefined;
  const path = join(system.roots.dev, name);
  const added = inotify.add(path, IN_CLOSE_WRITE);
  if ('watch' in added) return added.watch;
  const isGone = errnoName(added.errno) === 'ENOENT';
  // ENOSPC is fs.inotify.max_user_watches.
  system.log[isGone ? 'debug' : 'warn']({ code: 'watch-failed', message: `cannot watch ${path}: ${errnoName(added.errno)}` });
  return undefined;
}

function watchPath(system: System, name: string): string {
  return join(system.roots.run, 'udev/watch', name);
}

/** Two links, `watch/N` to the id and `watch/ID` to the number, as other udevs have them. */
function saveWatch(system: System, id: string, watch: number): void {
  makeDirectory(join(system.roots.run, 'udev/watch'));
  replaceLink(watchPath(system, String(watch)), id);
  replaceLink(watchPath(system, id), String(watch));
}

/** The ids that the last daemon watched. Its numbers mean nothing to this one, and all links go. */
function takeOldWatches(system: System): readonly string[] {
  const ids = new Set<string>();
  const directory = watchPath(system, '');
  attempt(system, () => {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (isDeviceId(name)) ids.add(name);
      else if (/^\d+$/.test(name) && isDeviceId(targetOf(path))) ids.add(targetOf(path));
      removeFile(path);
    }
  });
  return [...ids].sort();
}

/** What a link says; '' for what is none. */
function targetOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'EINVAL' && codeOf(error) !== 'ENOENT') throw error;
    return '';
  }
}

/**
 * A whole disk has its partition table read again, which makes the kernel say what became of it and its partitions. Where that fails, or
 * there are none, and for every other device, a `change` is made up.
 */
async function changed(system: System, native: Native, device: WatchedDevice): Promise<void> {
  if (device.subsystem !== 'block' || device.devtype !== 'disk' || device.sysname.startsWith('dm-')) {
    writeChange(system, device.syspath);
    return;
  }
  const isReread = await rereadPartitions(system, native, device);
  const partitions = partitionsOf(system, device);
  if (isReread && partitions.length > 0) return;
  for (const syspath of [device.syspath, ...partitions]) writeChange(system, syspath);
}

/** False where somebody holds the disk (`udevadm lock`, a partitioning program), a partition is in use, or the disk is gone. */
async function rereadPartitions(system: System, native: Native, { devname }: WatchedDevice): Promise<boolean> {
  const path = join(system.roots.dev, normalDevName(devname ?? '') ?? '');
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const errno = native.flock(handle.fd, LOCK_EX | LOCK_NB) || await native.rereadPartitionTable(handle.fd);
      if (errno !== 0) system.log.debug({ code: 'partitions', message: `${path}: partition table not read again: ${errnoName(errno)}` });
      return errno === 0;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'partitions', message: `${path}: partition table not read again: ${messageOf(error)}` });
    return false;
  }
}

function partitionsOf(system: System, { syspath, sysname }: WatchedDevice): readonly string[] {
  try {
    // Named after their disk; whether one is a partition its own attribute says.
    return readdirSync(syspath).filter((name) => name.startsWith(sysname.replaceAll('/', '!')) && readdirSync(join(syspath, name)).includes('partition'))
      .slice(0, PARTITIONS_MAX).map((name) => join(syspath, name)).sort();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'partitions', message: `${syspath}: ${messageOf(error)}` });
    return [];
  }
}

function writeChange(system: System, syspath: string): void {
  try {
    // r+: a device that is gone shall not become a file.
    writeFileSync(join(syspath, 'uevent'), 'change', { flag: 'r+' });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'change-failed', message: `${syspath}: ${messageOf(error)}` });
  }
}

/** One run at a time for each key; what is asked for meanwhile becomes one more run. */
function oneAtATime(run: (device: WatchedDevice) => Promise<void>): (key: string, device: WatchedDevice) => void {
  const again = new Map<string, boolean>();
  const start = async (key: string, device: WatchedDevice): Promise<void> => {
    try {
      do {
        again.set(key, false);
        await run(device);
      } while (again.get(key) === true);
    } finally {
      again.delete(key);
    }
  };
  return (key, device) => {
    if (again.has(key)) again.set(key, true);
    else void start(key, device);
  };
}

function attempt(system: System, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) !== 'ENOENT') system.log.warn({ code: 'watch-file', message: messageOf(error) });
  }
}
