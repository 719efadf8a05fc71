// Waiting for devices: that they are there, that udev has done them, or that they are gone.

import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';

import type { System } from '../system.ts';
import { isInitialised } from './database.ts';
import { deviceByNode, deviceBySyspath } from './device-lookup.ts';
import { deviceId } from './device.ts';
import { pingDaemon } from './settle.ts';

/** How often is looked. A look costs some stats a device. */
const POLL_MS = 50;

export type WaitFor = 'initialised' | 'added' | 'removed';

export type WaitOptions = {
  /** Milliseconds; 0 only looks. */
  readonly timeoutMs: number;
  /** Until udev has done all events that are queued, too. */
  readonly settle?: boolean;
  readonly signal?: AbortSignal;
};

/** Paths below /dev or /sys; below /dev also links of udev. False when the time is over. Rejects with the reason of `signal`. */
export async function waitForDevices(system: System, paths: readonly string[], state: WaitFor, options: WaitOptions): Promise<boolean> {
  const { timeoutMs, settle = false, signal } = options;
  const deadline = system.clock.now() + timeoutMs;
  const queue = join(system.roots.run, 'udev/queue');
  let pinged = !settle;
  for (;;) {
    if (paths.every((path) => isInState(system, path, state))) {
      // What the kernel has just said may not be queued yet.
      if (!pinged) await pingDaemon(system, Math.max(deadline - system.clock.now(), 1));
      pinged = true;
      if (!settle || !existsSync(queue)) return true;
    }
    const left = deadline - system.clock.now();
    if (left <= 0) return false;
    await system.clock.sleep(Math.min(POLL_MS, left), signal);
  }
}

function isInState(system: System, path: string, state: WaitFor): boolean {
  // A link that leads nowhere is not removed.
  if (state === 'removed') return lstatSync(path, { throwIfNoEntry: false }) === undefined;
  const device = path.startsWith(`${system.roots.dev}/`) ? deviceByNode(system, path) : deviceBySyspath(system, path);
  if (!device || state === 'added') return device !== undefined;
  const id = deviceId(device);
  return id !== undefined && isInitialised(system, id);
}
