// The symbolic links below /dev that lead to device nodes, each to the device that has the best claim on it.

import { lstatSync, readlinkSync, rmdirSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { makeDirectory, removeFile, replaceLink } from './atomic-file.ts';
import type { Device } from './device.ts';
import { deviceId } from './device.ts';
import { normalDevName } from './link-name.ts';
import { withLinkStack } from './link-stack.ts';
import type { LinkClaim, LinkStack } from './link-stack.ts';

/** The directory may go away under us when another device gives back its last link there. */
const ATTEMPTS = 8;

/** A sequence number belongs to one disk for ever: nobody else can claim these links, and they come with each new medium. */
const BY_DISKSEQ = 'disk/by-diskseq/';

export type LinkOwner = Pick<Device, 'devnum' | 'devname' | 'ifindex' | 'subsystem' | 'sysname' | 'devpath'>;

export type LinkWishes = {
  /** Below /dev. */
  readonly links: readonly string[];
  readonly priority: number;
  /** The links that the last event of this device left; those that are no longer wanted go to the next claimant. */
  readonly previous: readonly string[];
};

/**
 * Gives a device its links, and the one by its number. What cannot be done is logged. Safe while other devices, and other processes,
 * do the same.
 */
export async function updateLinks(system: System, device: LinkOwner, { links, priority, previous }: LinkWishes): Promise<void> {
  const claim = claimOf(device, priority);
  if (!claim) return;
  const wanted = new Set(allowedLinks(system, links));
  for (const link of new Set(allowedLinks(system, previous))) if (!wanted.has(link)) await release(system, claim, link);
  for (const link of wanted) await take(system, claim, link);
  attempt(system, numberLink(device), () => point(system, numberLink(device), claim.node));
}

/** Gives all links of a device that is gone to the next claimants. */
export async function removeLinks(system: System, device: LinkOwner, links: readonly string[]): Promise<void> {
  const claim = claimOf(device, 0);
  if (!claim) return;
  for (const link of new Set(allowedLinks(system, links))) await release(system, claim, link);
  attempt(system, numberLink(device), () => dropOwn(system, numberLink(device), claim.node));
}

function claimOf(device: LinkOwner, priority: number): LinkClaim | undefined {
  const id = deviceId(device);
  const node = device.devname === undefined ? undefined : normalDevName(device.devname);
  return !device.devnum || id === undefined || node === undefined ? undefined : { id, node, priority };
}

function allowedLinks(system: System, links: readonly string[]): readonly string[] {
  return links.flatMap((link): readonly string[] => {
    const name = normalDevName(link);
    if (name === undefined) system.log.warn({ code: 'link-refused', message: `link ${JSON.stringify(link.slice(0, 300))} leads out of ${system.roots.dev}: not made` });
    return name === undefined ? [] : [name];
  });
}

/** `char/4:64`. */
function numberLink({ devnum }: LinkOwner): string {
  return `${devnum?.type === 'block' ? 'block' : 'char'}/${devnum?.major}:${devnum?.minor}`;
}

async function take(system: System, claim: LinkClaim, link: string): Promise<void> {
  const pointTo = (node: string): void => attempt(system, link, () => point(system, link, node));
  if (link.startsWith(BY_DISKSEQ)) return pointTo(claim.node);
  const isClaimed = await claims(system, link, (stack) => {
    const before = stack.best();
    stack.put(claim);
    // Among equals the one that asks now: also one that asks again, as udev does it.
    pointTo(before && before.id !== claim.id && before.priority > claim.priority ? before.node : claim.node);
  });
  // Where /run is full nobody knows of other claims. A link that nobody has yet is better than none.
  if (!isClaimed && !lstatSync(join(system.roots.dev, link), { throwIfNoEntry: false })) pointTo(claim.node);
}

async function release(system: System, claim: LinkClaim, link: string): Promise<void> {
  if (link.startsWith(BY_DISKSEQ)) return attempt(system, link, () => dropOwn(system, link, claim.node));
  await claims(system, link, (stack) => {
    stack.remove(claim.id);
    const next = stack.best();
    attempt(system, link, () => (next ? point(system, link, next.node) : drop(system, link)));
  });
}

/** False, and a log record, where the claims cannot be had. */
async function claims(system: System, link: string, work: (stack: LinkStack) => void): Promise<boolean> {
  try {
    await withLinkStack(system, link, work);
    return true;
  } catch (error) {
    logFailure(system, link, error);
    return false;
  }
}

/** Makes the link lead to a node; never in place of something that is no link. */
function point(system: System, link: string, node: string): void {
  const path = join(system.roots.dev, link);
  const target = relative(dirname(path), join(system.roots.dev, node));
  for (let left = ATTEMPTS; ; left--) {
    try {
      const entry = lstatSync(path, { throwIfNoEntry: false });
      if (entry && !entry.isSymbolicLink()) {
        system.log.warn({ code: 'link-conflict', message: `${path} is there and no link: the link to ${node} is not made` });
        return;
      }
      if (!entry) {
        makeDirectory(dirname(path));
        symlinkSync(target, path);
      } else if (readlinkSync(path) !== target) {
        replaceLink(path, target);
      }
      return;
    } catch (error) {
      // Both come from others that work beside us, who make the link or remove its empty directory.
      if (left <= 1 || !['ENOENT', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
    }
  }
}

/** Removes a link that nobody claims any more, and the directories that it leaves empty. */
function drop(system: System, link: string): void {
  const path = join(system.roots.dev, link);
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  removeFile(path);
  for (let directory = dirname(link); directory !== '.'; directory = dirname(directory)) {
    try {
      rmdirSync(join(system.roots.dev, directory));
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(codeOf(error) ?? '')) throw error;
      return;
    }
  }
}

/** Removes a link without other claimants, if it still leads to this node. */
function dropOwn(system: System, link: string, node: string): void {
  const path = join(system.roots.dev, link);
  const target = relative(dirname(path), join(system.roots.dev, node));
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true && readlinkSync(path) === target) drop(system, link);
}

function attempt(system: System, link: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    logFailure(system, link, error);
  }
}

function logFailure(system: System, link: string, error: unknown): void {
  if (codeOf(error) === undefined) throw error;
  system.log.warn({ code: 'link-failed', message: `${join(system.roots.dev, link)}: ${messageOf(error)}` });
}
