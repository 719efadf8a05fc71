// The database of devices, /run/udev/data: one file a device, which libudev's programs read while we write.

import { chmodSync, closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';

import { codeOf, LimitError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { isHidden, removeFile, replaceFile } from './atomic-file.ts';
import { deviceId } from './device.ts';
import type { Device } from './device.ts';
import type { DeviceRecord } from './record.ts';
import { formatRecord, parseRecord, RECORD_FILE_MAX } from './record-file.ts';

/** `OPTIONS+="db_persist"`: `info --cleanup-db` leaves the file, so that it outlives the change from the initramfs. */
const S_ISVTX = 0o1000;
const RECORD_MODE = 0o644;

/** True for what can be the id of a device, and a file name: ids come from file names and other processes. */
export function isDeviceId(id: string): boolean {
  return /^(?:[bc]\d{1,10}:\d{1,10}|n\d{1,10}|\+[^/:]+:[^/]+)$/.test(id) && !id.includes('\0') && Buffer.byteLength(id) <= 255;
}

/** The directory of the database of this machine. */
export function databaseDirectory(system: System): string {
  return `${system.roots.run}/udev/data`;
}

/** Not by join(), which takes a path to pieces: a tenth of an event's time in a guest whose processor is emulated. */
function recordPath(system: System, id: string): string {
  return `${databaseDirectory(system)}/${id}`;
}

/** What is known of a device; an empty record where its file is empty; undefined where there is none, or none that can be read. */
export function readRecord(system: System, id: string): DeviceRecord | undefined {
  if (!isDeviceId(id)) return undefined;
  const path = recordPath(system, id);
  // Nearly all devices of a coldplug have none: not worth an error.
  if (!existsSync(path)) return undefined;
  try {
    return parseRecord(readBounded(path), path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') logFailure(system, 'record-unreadable', `cannot read ${path}`, error);
    return undefined;
  }
}

/** As readRecord; undefined also for a device that has no id. */
export function recordOf(system: System, device: Device): DeviceRecord | undefined {
  const id = deviceId(device);
  return id === undefined ? undefined : readRecord(system, id);
}

/** True when the device was processed: its file is there, be it empty. */
export function isInitialised(system: System, id: string): boolean {
  return isDeviceId(id) && statSync(recordPath(system, id), { throwIfNoEntry: false }) !== undefined;
}

/** When a device was first done, in microseconds of CLOCK_MONOTONIC: as it is known, or now. */
export function initialisedUsec(system: System, previous: DeviceRecord | undefined): number {
  return previous?.initialisedUsec || Math.round(system.clock.now() * 1000);
}

/**
 * Writes the record of a device. One that says nothing leaves an empty file where the device has a number or an interface's index, whose
 * being there says that it was done, and no file otherwise. False, and a log record, where it cannot be written; the old file stays then.
 */
export function writeRecord(system: System, id: string, record: DeviceRecord, { persist = false } = {}): boolean {
  if (!isDeviceId(id)) return refuse(system, id);
  const text = formatRecord(record);
  if (text === '' && id.startsWith('+')) return deleteRecord(system, id);
  const path = recordPath(system, id);
  try {
    replaceFile(path, text, persist ? RECORD_MODE | S_ISVTX : RECORD_MODE);
    return true;
  } catch (error) {
    logFailure(system, 'record-unwritable', `cannot write ${path}`, error);
    return false;
  }
}

/** Forgets a device. False, and a log record, where that fails. */
export function deleteRecord(system: System, id: string): boolean {
  if (!isDeviceId(id)) return refuse(system, id);
  const path = recordPath(system, id);
  try {
    removeFile(path);
    return true;
  } catch (error) {
    logFailure(system, 'record-unwritable', `cannot remove ${path}`, error);
    return false;
  }
}

/** The ids of all devices in the database, sorted. */
export function listRecords(system: System): readonly string[] {
  const directory = databaseDirectory(system);
  try {
    return readdirSync(directory).filter((name) => !isHidden(name) && isDeviceId(name)).sort();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') logFailure(system, 'database-unreadable', `cannot list ${directory}`, error);
    return [];
  }
}

/** True when the device's record is to outlive a clean-up. */
export function isPersistent(system: System, id: string): boolean {
  const stat = isDeviceId(id) ? statSync(recordPath(system, id), { throwIfNoEntry: false }) : undefined;
  return stat !== undefined && (stat.mode & S_ISVTX) !== 0;
}

/** Makes the device's record outlive a clean-up, or no longer. Nothing where there is no record. */
export function setPersistent(system: System, id: string, persist: boolean): void {
  if (!isDeviceId(id) || isPersistent(system, id) === persist) return;
  const path = recordPath(system, id);
  try {
    chmodSync(path, persist ? RECORD_MODE | S_ISVTX : RECORD_MODE);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') logFailure(system, 'record-unwritable', `cannot change the mode of ${path}`, error);
  }
}

/** Not more than a record may have, whatever somebody put there. */
function readBounded(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    if (size > RECORD_FILE_MAX) throw new LimitError({ file: path, limit: 'RECORD_FILE_MAX', maximum: RECORD_FILE_MAX, actual: size });
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function refuse(system: System, id: string): false {
  system.log.warn({ code: 'bad-device-id', message: `${JSON.stringify(id.slice(0, 300))} is no id of a device: not stored` });
  return false;
}

/** The database may be on a full or read-only disk: that costs a record, and never the daemon. */
function logFailure(system: System, code: string, what: string, error: unknown): void {
  if (codeOf(error) === undefined && !(error instanceof LimitError)) throw error;
  system.log.warn({ code, message: `${what}: ${messageOf(error)}` });
}
