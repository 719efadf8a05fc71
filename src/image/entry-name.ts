// Names in images, which are bytes: as strings that say each of them in one way, checked.

import { FormatError } from '../errors.ts';

/** linux/limits.h: NAME_MAX. */
export const MAX_ENTRY_NAME = 255;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Bytes as a string: UTF-8 where all of them are, otherwise ASCII with each byte 0xNN above it as the lone surrogate U+DCNN, which no
 * UTF-8 gives. So two names never become one, and encodeName gives the bytes back.
 */
export function decodeBytes(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    // The one thing that it throws for: the bytes are not UTF-8.
    return Array.from(bytes, (byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join('');
  }
}

/** The bytes that decodeBytes made a string of. */
export function encodeName(name: string): Buffer {
  const bytes = Buffer.from(name);
  // ASCII, as nearly always.
  if (bytes.length === name.length) return bytes;
  return /[\udc80-\udcff]/.test(name) && /^[\0-\x7f\udc80-\udcff]*$/.test(name)
    ? Buffer.from(Array.from(name, (character) => character.charCodeAt(0) & 0xff))
    : bytes;
}

/** The name of a directory's entry. Throws FormatError for one that cannot be in a path: `.` and `..` are the caller's to skip. */
export function decodeName(bytes: Uint8Array, file: string, offset: number): string {
  const name = decodeBytes(bytes);
  if (bytes.length > 0 && bytes.length <= MAX_ENTRY_NAME && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  throw new FormatError({ file, offset, expected: 'a name of a file', actual: JSON.stringify(name.slice(0, MAX_ENTRY_NAME)) });
}

/** The order of names by their bytes, as strcmp(3) has it. */
export function compareNames(a: string, b: string): number {
  // Strings compare by UTF-16: the same, unless both hold something beyond ASCII.
  if (a === b) return 0;
  for (let index = 0; ; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    if (Number.isNaN(left)) return -1;
    if (Number.isNaN(right)) return 1;
    return left < 0x80 || right < 0x80 ? left - right : Buffer.compare(encodeName(a), encodeName(b));
  }
}

/** Sorted as compareNames has it. */
export function sortNames(names: readonly string[]): string[] {
  const all = names.join('');
  // V8 compares strings much faster than functions of ours do, and ASCII as bytes.
  return Buffer.byteLength(all) === all.length ? names.toSorted() : names.toSorted(compareNames);
}

/** linux/limits.h: PATH_MAX. */
const MAX_PATH = 4096;

/**
 * The path of a member of an archive, from the root, without `.`, empty components and slashes at both ends: '' is the root itself. Throws FormatError
 * for what would lead out of it, and for what no file system takes.
 */
export function memberPath(path: string, file: string, offset: number): string {
  // Nothing to leave out and nothing to refuse: so nearly always, and an image has thousands.
  const isPlain = path.length <= MAX_PATH && !/^[./]|\/$|^$/.test(path) && !path.includes('//') && !path.includes('/.') && !path.includes('\0');
  if (isPlain) return path;
  const components = path.split('/').filter((component) => component !== '' && component !== '.');
  if (path !== '' && path.length <= MAX_PATH && !path.includes('\0') && !components.includes('..')) return components.join('/');
  throw new FormatError({ file, offset, expected: 'a path without ".."', actual: JSON.stringify(path.slice(0, MAX_PATH)) });
}
