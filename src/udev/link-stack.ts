// Who claims a link below /dev: /run/udev/links/<link>, a directory with a link `priority:node` for each device that wants it.

import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import { LOCK_EX, LOCK_NB, errnoByName, systemError } from '../system.ts';
import type { System } from '../system.ts';
import { isHidden, makeDirectory, removeFile, replaceLink } from './atomic-file.ts';
import { isDeviceId } from './database.ts';
import { escapeLinkName, normalDevName } from './link-name.ts';

/** Some hundred disks may share a link (by-id of one enclosure); a directory with more is not ours. */
const CLAIMS_MAX = 1 << 14;
/** How often others may take the directory away before we give up. */
const ATTEMPTS = 64;

export type LinkClaim = {
  readonly id: string;
  /** The node, below /dev. */
  readonly node: string;
  readonly priority: number;
};

/** The claims on one link. Valid only while its lock is held: within `work` of withLinkStack. */
export interface LinkStack {
  /** Adds the claim, or changes it. */
  put(claim: LinkClaim): void;
  /** False when there was none. */
  remove(id: string): boolean;
  /** The claim of the highest priority; among equals the latest. */
  best(): LinkClaim | undefined;
}

/**
 * Runs `work`, which must not wait, while nobody else looks at the claims on this link, be it another process. Throws SystemError or
 * Node's errors where /run cannot be written.
 */
export async function withLinkStack<T>(system: System, link: string, work: (stack: LinkStack) => T): Promise<T> {
  const directory = join(system.roots.run, 'udev/links', escapeLinkName(link));
  const lock = join(directory, '.lock');
  const native = await system.native();
  for (let left = ATTEMPTS; left > 0; left--) {
    const fd = openLock(directory, lock);
    if (fd === undefined) continue;
    try {
      let errno = native.flock(fd, LOCK_EX | LOCK_NB);
      // Held for less than a millisecond; on a thread all the same, so that not even a stopped process stops us.
      if (errno === errnoByName('EAGAIN')) errno = await native.flockWait(fd, LOCK_EX);
      if (errno !== 0) throw systemError('flock', errno, lock);
      // Whoever had it before may have removed it with the last claim: then it keeps nobody out.
      if (lstatSync(lock, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) continue;
      const { stack, mayBeEmpty } = openStack(system, directory);
      const result = work(stack);
      if (mayBeEmpty()) removeEmpty(directory, lock);
      return result;
    } finally {
      closeSync(fd);
    }
  }
  throw systemError('flock', errnoByName('EAGAIN') ?? 0, lock);
}

/** undefined where another process has removed the directory meanwhile. */
function openLock(directory: string, lock: string): number | undefined {
  const open = (): number | undefined => {
    try {
      return openSync(lock, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      return undefined;
    }
  };
  const fd = open();
  if (fd !== undefined) return fd;
  makeDirectory(directory);
  return open();
}

/** Every name that a link ever had would stay in /run for ever, and each disk brings some of its own. The lock is held. */
function removeEmpty(directory: string, lock: string): void {
  if (readdirSync(directory).some((name) => join(directory, name) !== lock)) return;
  removeFile(lock);
  try {
    rmdirSync(directory);
  } catch (error) {
    // Somebody has made a new lock by now.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) throw error;
  }
}

function openStack(system: System, directory: string): { readonly stack: LinkStack; mayBeEmpty(): boolean } {
  let hasPut = false;
  const stack: LinkStack = {
    put: ({ id, node, priority }) => {
      const path = join(directory, id);
      hasPut = true;
      const target = `${priority}:${join(system.roots.dev, node)}`;
      // A claim that stands keeps its time, by which equals are ordered.
      if (readTarget(path) !== target) replaceLink(path, target);
    },
    remove: (id) => removeFile(join(directory, id)),
    best: () => {
      let best: (LinkClaim & { readonly time: number }) | undefined;
      for (const id of readdirSync(directory).slice(0, CLAIMS_MAX)) {
        if (isHidden(id) || !isDeviceId(id)) continue;
        const claim = readClaim(system, directory, id);
        if (claim && (!best || claim.priority > best.priority || (claim.priority === best.priority && claim.time > best.time))) best = claim;
      }
      return best;
    },
  };
  return { stack, mayBeEmpty: () => !hasPut };
}

function readClaim(system: System, directory: string, id: string): (LinkClaim & { readonly time: number }) | undefined {
  const path = join(directory, id);
  const [, priority, file] = /^(-?\d{1,10}):(.*)$/s.exec(readTarget(path) ?? '') ?? [];
  const dev = `${system.roots.dev}/`;
  if (priority === undefined || file?.startsWith(dev) !== true) return undefined;
  const node = normalDevName(file.slice(dev.length));
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return node === undefined || !stat ? undefined : { id, node, priority: Number(priority), time: stat.mtimeMs };
}

/** undefined where there is no link. */
function readTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EINVAL') throw error;
    return undefined;
  }
}
