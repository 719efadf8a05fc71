// One attribute of a device below /sys, read as udev reads it.

import { closeSync, constants, lstatSync, openSync, readlinkSync, readSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';

import { codeOf } from '../errors.ts';
import { trimNewlines } from './sanitise.ts';

/** An attribute is one page, and a page has up to 64 KiB. What is longer is no attribute of a device. */
export const ATTRIBUTE_MAX = 65536;
/** A name that is longer cannot exist. */
const NAME_MAX = 4096;

/** One read at a time, so one buffer for all. */
const buffer = Buffer.allocUnsafeSlow(ATTRIBUTE_MAX + 1);

/** Links whose target's name is the value. */
const LINKS = new Set(['driver', 'subsystem', 'module']);

/** Whether a name cannot lead out of the directory that it is appended to, links aside. */
export function isSafeName(name: string): boolean {
  if (name === '' || name.length > NAME_MAX || name.includes('\0')) return false;
  // Nearly all are one component.
  if (!name.includes('/')) return name !== '.' && name !== '..';
  return name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/**
 * The text up to a NUL without its trailing newlines, the base name of the target for some links; undefined for other links, directories,
 * and what is missing, refuses to be read (EIO, EACCES, ENODEV, …) or would block. `sys` is where the tree ends: a name with slashes may pass
 * through links, but not out of it.
 */
export function readAttribute(sys: string, syspath: string, name: string): string | undefined {
  if (!isSafeName(name)) return undefined;
  const path = `${syspath}/${name}`;
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found) return undefined;
    if (name.includes('/') && !isInside(sys, dirname(path))) return undefined;
    if (found.isSymbolicLink()) return LINKS.has(basename(name)) ? basename(readlinkSync(path)) : undefined;
    // Most of what cannot be read says so in its mode (root could open it all the same, and get an error from the driver).
    if (!found.isFile() || (found.mode & 0o444) === 0) return undefined;
    return readText(path);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

/** The whole file, which must not be longer than ATTRIBUTE_MAX; throws as the file system does. */
export function readText(path: string): string | undefined {
  // O_NONBLOCK: a FIFO in a foreign tree must not stop us.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | constants.O_NOFOLLOW);
  try {
    const length = readSync(fd, buffer, 0, buffer.length, null);
    if (length > ATTRIBUTE_MAX) return undefined;
    const nul = buffer.subarray(0, length).indexOf(0);
    return trimNewlines(buffer.toString('utf8', 0, nul < 0 ? length : nul));
  } finally {
    closeSync(fd);
  }
}

function isInside(sys: string, directory: string): boolean {
  return `${realpathSync.native(directory)}/`.startsWith(`${realpathSync.native(sys)}/`);
}
