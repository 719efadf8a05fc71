// Following symbolic links below a foreign root, where an absolute target means that root and not this machine's.

import { readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { codeOf, SystemError } from '../errors.ts';

/** As many links may be followed in one path (MAXSYMLINKS, linux/namei.h). */
const MAXSYMLINKS = 40;
const ELOOP = 40;

/**
 * The path with all links resolved as a process would see them whose / is `root`; '' is this machine's, where nothing is to be done,
 * as with a path that is not below `root`: our own rules are on this machine. What does not exist stays in the path as it is. Throws SystemError ELOOP.
 */
export function resolveBelow(root: string, path: string): string {
  if (root === '' || !path.startsWith(`${root}/`)) return path;
  const waiting = path.slice(root.length).split('/').reverse();
  let done = '';
  for (let links = 0; waiting.length > 0;) {
    const name = waiting.pop() ?? '';
    if (name === '' || name === '.') continue;
    if (name === '..') {
      done = done === '' ? '' : dirname(done) === '/' ? '' : dirname(done);
      continue;
    }
    const target = linkTarget(join(root, done, name));
    if (target === undefined) {
      done = `${done}/${name}`;
      continue;
    }
    if (++links > MAXSYMLINKS) throw new SystemError({ code: 'ELOOP', errno: ELOOP, syscall: 'open', text: 'Too many levels of symbolic links', path });
    if (target.startsWith('/')) done = '';
    waiting.push(...target.split('/').reverse());
  }
  return root + done;
}

/** Undefined where it is no link, or nothing. */
export function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (NO_LINK.includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

const NO_LINK = ['EINVAL', 'ENOENT', 'ENOTDIR', 'EACCES'];
