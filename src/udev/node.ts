// Device nodes: owner, group, permissions and labels of those that the kernel made, and the nodes themselves where it makes none.

import { chmodSync, chownSync, closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, utimesSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { dirname, join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import { errnoByName, errnoName, S_IFBLK, S_IFCHR, systemError } from '../system.ts';
import type { Native, System } from '../system.ts';
import { makeDirectory, removeFile } from './atomic-file.ts';
import type { Device, DeviceNumber } from './device.ts';
import { normalDevName } from './link-name.ts';
import type { EventResult } from './rules/event-result.ts';

/** asm-generic/fcntl.h, the same on x86-64 and riscv64; arm64 differs in O_DIRECTORY and O_NOFOLLOW only, which Node knows. */
const O_PATH = 0o10000000;

/** What the kernel gives a node in devtmpfs that no driver and no rule speaks of (drivers/base/devtmpfs.c). */
const DEFAULT_MODE = 0o600;
/** A node that is there without its device, so that opening it loads the driver; it outlives the driver. */
export const STATIC_NODE_BIT = 0o1000;

export type NodeDevice = Pick<Device, 'devnum' | 'devname' | 'properties'>;
/** Undefined is nobody's wish: the kernel's own then, or what the node has. */
export type NodeWishes = Partial<Pick<EventResult, 'owner' | 'group' | 'mode' | 'seclabels'>>;

/**
 * Sets up the node of a device. A node of another number is not touched. Where /dev is no devtmpfs, a missing node is made; on one it
 * means that the device is gone. False, and a log record, when there is no node to use in the end.
 */
export async function updateNode(system: System, device: NodeDevice, wishes: NodeWishes, { applyLabels = true } = {}): Promise<boolean> {
  const { devnum } = device;
  const path = nodePath(system, device);
  if (!devnum || path === undefined) return false;
  const native = await system.native();
  try {
    const access = wishedAccess(device, wishes);
    if (!lstatSync(path, { throwIfNoEntry: false }) && !makeNode(system, native, path, devnum, access.mode ?? DEFAULT_MODE)) return false;
    return withNode(system, path, devnum, (stat, alias) => {
      applyAccess(alias, stat, access);
      if (applyLabels) for (const [name, label] of wishes.seclabels ?? []) applyLabel(system, native, path, alias, name, label);
      // Seen by who watches the node: a change event, such as that of a medium.
      utimesSync(alias, new Date(), new Date());
    });
  } catch (error) {
    logNodeFailure(system, path, error);
    return false;
  }
}

/** The rules' word, or the driver's. */
export function wishedAccess(device: Pick<NodeDevice, 'properties'>, wishes: NodeWishes): { readonly mode: number | undefined; readonly owner: number | undefined; readonly group: number | undefined } {
  const kernel = kernelWishes(device);
  return { mode: wishedMode(device, wishes), owner: wishes.owner ?? kernel.owner, group: wishes.group ?? kernel.group };
}

/** The rules' word, the driver's, or what a group needs to be of use; undefined: whatever the node has. */
export function wishedMode(device: Pick<NodeDevice, 'properties'>, wishes: Pick<NodeWishes, 'mode' | 'group'>): number | undefined {
  const kernel = kernelWishes(device);
  return wishes.mode ?? kernel.mode ?? ((wishes.group ?? kernel.group ?? 0) > 0 ? 0o660 : undefined);
}

/**
 * Removes the node of a device that is gone, where we made it: on devtmpfs the kernel has done so. Left alone is what has another
 * number, is a static node, or belongs to a new device that got the number meanwhile.
 */
export function removeNode(system: System, device: NodeDevice): void {
  const { devnum } = device;
  const path = nodePath(system, device);
  if (!devnum || path === undefined) return;
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat || !isNodeOf(stat, devnum) || (stat.mode & STATIC_NODE_BIT) !== 0 || isDevtmpfs(system)) return;
    const live = join(system.roots.sys, 'dev', devnum.type, `${devnum.major}:${devnum.minor}`);
    if (!lstatSync(live, { throwIfNoEntry: false })) removeFile(path);
  } catch (error) {
    logNodeFailure(system, path, error);
  }
}

/** True when the kernel makes and removes the nodes below /dev. */
export function isDevtmpfs(system: System): boolean {
  let text: string;
  try {
    text = readFileSync(join(system.roots.proc, 'self/mountinfo'), 'utf8');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
  // proc(5): mount point is the fifth field, the type the first after the dash. The last mount on a directory is the one that is seen.
  const mounts = text.split('\n').map((line) => ({ point: line.split(' ', 5)[4], type: line.split(' - ', 2)[1]?.split(' ', 1)[0] }));
  return mounts.findLast(({ point }) => point === system.roots.dev)?.type === 'devtmpfs';
}

/** What a node is the node of; undefined for what is none. */
export function deviceNumberOf(stat: Stats): DeviceNumber | undefined {
  const type = stat.isBlockDevice() ? 'block' : stat.isCharacterDevice() ? 'char' : undefined;
  if (!type) return undefined;
  // sys/sysmacros.h: how stat(2) shows a number.
  const value = BigInt(stat.rdev);
  return {
    type,
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n)),
    minor: Number((value & 0xffn) | ((value >> 12n) & 0xffffff00n)),
  };
}

/**
 * Runs `work` with a path that is this very node, whatever happens to its name meanwhile. False, and a log record, when the node is of
 * another number.
 */
export function withNode(system: System, path: string, devnum: DeviceNumber, work: (stat: Stats, alias: string) => void): boolean {
  // Opened as a place only: opening a device may rewind a tape, or wait for a line.
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!isNodeOf(stat, devnum)) {
      system.log.warn({
        code: 'node-foreign', message: `${path} is not the ${devnum.type} device ${devnum.major}:${devnum.minor}: left alone`,
      });
      return false;
    }
    work(stat, join(system.roots.proc, 'self/fd', String(fd)));
    return true;
  } finally {
    closeSync(fd);
  }
}

/** Sets what is asked for and differs. Owner before mode, as a change of owner may take permission bits away. */
export function applyAccess(
  alias: string, stat: Stats,
  { mode, owner = stat.uid, group = stat.gid }: { readonly mode?: number | undefined; readonly owner?: number | undefined; readonly group?: number | undefined },
): void {
  const isForeign = stat.uid !== owner || stat.gid !== group;
  const wanted = mode === undefined ? stat.mode & 0o7777 : (mode & 0o777) | (stat.mode & STATIC_NODE_BIT);
  // Closed before it changes hands: the new owner gets no more than the new mode, and the old one no more than both.
  if (isForeign && (stat.mode & ~wanted & 0o777) !== 0) chmodSync(alias, stat.mode & wanted & 0o7777);
  if (isForeign) chownSync(alias, owner, group);
  if (isForeign || (stat.mode & 0o7777) !== wanted) chmodSync(alias, wanted);
}

/** A device may vanish at any moment, and a /dev may be full or read-only. */
export function logNodeFailure(system: System, path: string, error: unknown): void {
  if (codeOf(error) === undefined) throw error;
  const isGone = ['ENOENT', 'ENXIO', 'ENODEV'].includes(codeOf(error) ?? '');
  system.log[isGone ? 'debug' : 'warn']({ code: 'node-failed', message: `${path}: ${messageOf(error)}` });
}

function isNodeOf(stat: Stats, { type, major, minor }: DeviceNumber): boolean {
  const number = deviceNumberOf(stat);
  return number?.type === type && number.major === major && number.minor === minor;
}

function nodePath(system: System, { devname }: Pick<Device, 'devname'>): string | undefined {
  const name = devname === undefined ? undefined : normalDevName(devname);
  return name === undefined ? undefined : join(system.roots.dev, name);
}

/** The kernel tells what a driver's devnode callback said, in decimal and octal (drivers/base/core.c). */
function kernelWishes({ properties }: Pick<NodeDevice, 'properties'>): { readonly mode?: number; readonly owner?: number; readonly group?: number } {
  const number = (key: string, shape: RegExp, base: number): number | undefined => {
    const text = properties.get(key);
    return text === undefined || !shape.test(text) ? undefined : Number.parseInt(text, base);
  };
  const mode = number('DEVMODE', /^0?[0-7]{1,4}$/, 8);
  const owner = number('DEVUID', /^\d{1,10}$/, 10);
  const group = number('DEVGID', /^\d{1,10}$/, 10);
  return { ...(mode === undefined ? {} : { mode }), ...(owner === undefined ? {} : { owner }), ...(group === undefined ? {} : { group }) };
}

/** False where the node is not ours to make. */
function makeNode(system: System, native: Native, path: string, devnum: DeviceNumber, mode: number): boolean {
  if (isDevtmpfs(system)) {
    system.log.debug({ code: 'node-gone', message: `${path} is gone, and its device with it` });
    return false;
  }
  makeDirectory(dirname(path));
  const errno = native.mknod(path, (devnum.type === 'block' ? S_IFBLK : S_IFCHR) | (mode & 0o777), devnum.major, devnum.minor);
  // Another process beside us may have made it.
  if (errno !== 0 && errno !== errnoByName('EEXIST')) throw systemError('mknod', errno, path);
  return true;
}

/** The kernel keeps labels of a module that does not run, but its tools would not understand them. */
function applyLabel(system: System, native: Native, path: string, alias: string, name: string, label: string): void {
  const security = name === 'selinux' ? { attribute: 'security.selinux', state: 'fs/selinux', end: '\0' }
    : name === 'smack' ? { attribute: 'security.SMACK64', state: 'fs/smackfs', end: '' } : undefined;
  if (!security) {
    system.log.warn({ code: 'seclabel-unknown', message: `${path}: SECLABEL{${name}} is neither selinux nor smack: ignored` });
    return;
  }
  if (!lstatSync(join(system.roots.sys, security.state), { throwIfNoEntry: false })) {
    system.log.debug({ code: 'seclabel-off', message: `${path}: ${name} does not run: its label is not set` });
    return;
  }
  const errno = native.setxattr(alias, security.attribute, Buffer.from(label + security.end));
  if (errno !== 0) system.log.warn({ code: 'seclabel-failed', message: `${path}: cannot set the ${name} label ${JSON.stringify(label)}: ${errnoName(errno)}` });
}
