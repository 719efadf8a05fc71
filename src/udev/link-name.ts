// Names of links below /dev: which are allowed, and how they are escaped to be one file name in /run/udev/links.

import { sipHash24 } from './sip-hash.ts';

/** NAME_MAX and PATH_MAX of Linux (limits.h), the latter with its NUL. */
const NAME_MAX = 255;
const PATH_MAX = 4096;

/** The key is a constant of udev: names must be the same as those that another udev left in /run. */
const HASH_KEY = Buffer.from('b96af1ce4031441a9e19ec8baef3e32f', 'hex');
/** 64 bits in digits of 6. */
const HASH_DIGITS = 11;
const BASE64_URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/**
 * The name of a node or link below /dev without needless slashes, or undefined where it would lead out of /dev or cannot be a path: names
 * come from uevents, rules and database files.
 */
export function normalDevName(name: string): string | undefined {
  if (name.includes('\0') || Buffer.byteLength(name) >= PATH_MAX) return undefined;
  const components = name.split('/').filter((component) => component !== '' && component !== '.');
  if (components.length === 0 || components.includes('..')) return undefined;
  return components.join('/');
}

/** One file name for a link below /dev: `/` and `\` as `\x2f` and `\x5c`; what is too long is cut and ends in a hash of all of it. */
export function escapeLinkName(link: string): string {
  const escaped = Buffer.from(link.replace(/[/\\]/g, (character) => (character === '/' ? '\\x2f' : '\\x5c')));
  if (escaped.length <= NAME_MAX) return escaped.toString();
  let end = NAME_MAX - HASH_DIGITS;
  // Neither an escape nor a character is cut in two.
  while (end > 0 && ((escaped[end] ?? 0) & 0xc0) === 0x80) end--;
  const head = escaped.toString('utf8', 0, end).replace(/\\x?[25]?$/, '');
  return head + hashDigits(sipHash24(Buffer.from(`${link}\0`), HASH_KEY));
}

function hashDigits(hash: bigint): string {
  let digits = '';
  for (let index = HASH_DIGITS - 1; index >= 0; index--) digits += BASE64_URL[Number((hash >> BigInt(6 * index)) & 63n)] ?? '';
  return digits;
}
