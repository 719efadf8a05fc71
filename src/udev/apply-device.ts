// One event of one device without a daemon: all that the daemon would do, done by this process.

import { closeSync, constants, openSync } from 'node:fs';

import { codeOf, messageOf } from '../errors.ts';
import { errnoName, LOCK_EX, LOCK_NB } from '../system.ts';
import type { System } from '../system.ts';
import { openBuiltins } from './builtin/table.ts';
import { recordOf } from './database.ts';
import type { Device } from './device.ts';
import { processEvent } from './event.ts';
import type { EventOutcome } from './event.ts';
import { eventOf } from './missed.ts';
import type { ModuleRequests } from './module-requests.ts';
import type { RuleSet } from './rules/rule.ts';
import { systemRulesHost } from './rules/system-host.ts';
import { readSeqnum } from './seqnum.ts';

const RETRY_MS = 20;

export type ApplyOptions = {
  readonly action: string;
  readonly rules: RuleSet;
  /** Who loads modules; without one the builtin kmod fails, and rules go on. */
  readonly requests?: ModuleRequests;
  /** False tells nobody. */
  readonly broadcast?: boolean;
  readonly signal?: AbortSignal;
};

/**
 * Applies the rules to a device: sets its node and links, writes the database, runs the programs of RUN, tells listeners. What others do for
 * the same device at the same time waits. Throws TypeError for what has no subsystem; rejects with the reason of `signal`.
 */
export async function applyDevice(system: System, device: Device, options: ApplyOptions): Promise<EventOutcome> {
  const { action, rules, requests, broadcast = true, signal } = options;
  const { devpath, subsystem } = device;
  if (subsystem === undefined) throw new TypeError(`${device.syspath} has no subsystem, and so no events`);
  const lock = await lockDevice(system, device, signal);
  try {
    const host = systemRulesHost(system, {
      builtin: openBuiltins(system, requests),
      record: (other) => recordOf(system, other),
      ...(signal ? { signal } : {}),
    });
    const event = eventOf(action, { devpath, subsystem }, device.properties, readSeqnum(system));
    return await processEvent({ system, rules, host, broadcast, ...(signal ? { signal } : {}) }, event);
  } finally {
    if (lock !== undefined) closeSync(lock);
  }
}

/**
 * Two who apply one device at a time would both start from the old record, and the links of the loser stay. The lock is on the directory
 * of the device in sysfs: it leaves nothing behind, and goes with the device. Undefined where there is none to be had.
 */
async function lockDevice(system: System, { syspath, sysname }: Device, signal: AbortSignal | undefined): Promise<number | undefined> {
  let fd: number;
  try {
    fd = openSync(syspath, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'device-unlocked', message: `${sysname}: ${messageOf(error)}` });
    return undefined;
  }
  try {
    const native = await system.native();
    for (;;) {
      const errno = native.flock(fd, LOCK_EX | LOCK_NB);
      if (errno === 0) return fd;
      if (errnoName(errno) !== 'EAGAIN') {
        system.log.debug({ code: 'device-unlocked', message: `${sysname}: flock: ${errnoName(errno)}` });
        return fd;
      }
      await system.clock.sleep(RETRY_MS, signal);
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
