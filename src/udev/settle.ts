// Waiting until the daemon has nothing left to do, or until one thing is there, and knowing meanwhile what it waits for.

import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { sendControl } from './control-socket.ts';
import { readStatus } from './status-socket.ts';
import type { DaemonStatus, PendingReport } from './status-socket.ts';

/** How often the queue is looked at: it costs one stat. */
const POLL_MS = 20;
/** How often `onWait` is called. */
export const REPORT_MS = 1000;
/** A daemon that works needs a moment to answer, also where the caller wants to wait for nothing else. As long as udevadm's. */
const PING_MIN_MS = 5000;

export type SettleOptions = {
  /** Milliseconds; Infinity waits for ever, 0 only looks. */
  readonly timeoutMs: number;
  /** Ends the wait when it holds, whatever is pending. */
  readonly until?: () => boolean;
  /** Root asks the daemon first whether it has read all that the kernel sent, and waits PING_MIN_MS at least for its answer. */
  readonly ping?: boolean;
  /** Every REPORT_MS: what the daemon says of itself; undefined where it cannot be asked. */
  readonly onWait?: (status: DaemonStatus | undefined, elapsedMs: number) => void;
  readonly signal?: AbortSignal;
};

/** True when nothing is pending, or `until` holds; false when the time is over. Throws SystemError when a daemon that is there does not answer. */
export async function settle(system: System, options: SettleOptions): Promise<boolean> {
  const { timeoutMs, until, ping = false, onWait, signal } = options;
  const start = system.clock.now();
  if (until?.()) return true;
  if (ping) await pingDaemon(system, Math.max(timeoutMs, PING_MIN_MS));
  const queue = join(system.roots.run, 'udev/queue');
  let nextReport = start + REPORT_MS;
  for (;;) {
    if (until ? until() : !existsSync(queue)) return true;
    const now = system.clock.now();
    if (now - start >= timeoutMs) return false;
    if (onWait && now >= nextReport) {
      nextReport = now + REPORT_MS;
      onWait(await readStatus(system), now - start);
    }
    await system.clock.sleep(POLL_MS, signal);
  }
}

/** What `--for` names, as a test: an absolute path (a link, a node, or below /sys), or else a module that is to be live. */
export function goalTest(system: System, goal: string): () => boolean {
  return isAbsolute(goal) ? () => existsSync(goal) : () => moduleIsLive(system, goal);
}

/** True when the module's init has returned, or it is built in. */
export function moduleIsLive(system: System, module: string): boolean {
  const directory = join(system.roots.sys, 'module', module.replaceAll('-', '_'));
  try {
    return readFileSync(join(directory, 'initstate'), 'latin1').trimEnd() === 'live';
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    // What is built in has no initstate.
    return existsSync(directory);
  }
}

/** One line a pending event: what, since when, and because of which rule, module, program or other event. */
export function formatPending({ action, devpath, state, ms, activity, waitsFor }: PendingReport): string {
  const since = `${(ms / 1000).toFixed(1)} s`;
  if (state === 'waiting') return `${action} ${devpath}: waiting for ${since}${waitsFor === undefined ? '' : ` behind ${waitsFor}`}`;
  return `${action} ${devpath}: ${activityText(activity)} for ${since}`;
}

/** Asks the daemon to queue what the kernel sent by now. No daemon: nothing will ever be done, and nothing is pending. */
export async function pingDaemon(system: System, timeoutMs: number): Promise<void> {
  try {
    await sendControl(system, [{ type: 'ping' }], { timeoutMs: Math.min(timeoutMs, 2 ** 31 - 1) });
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOENT' && code !== 'ECONNREFUSED' && code !== 'EACCES' && code !== 'EPERM') throw error;
  }
}

/** What a running event does now. */
export function activityText(activity: PendingReport['activity']): string {
  if (!activity) return 'running';
  const { what, name, rule } = activity;
  const because = rule === undefined ? '' : ` (${rule})`;
  switch (what) {
    case 'rules': return `in its rules${because}`;
    case 'lock': return `waiting for the lock of ${name}`;
    case 'module': return `loading ${name}${because}`;
    case 'program': return `running '${name}'${because}`;
    case 'builtin': return `in builtin '${name}'${because}`;
  }
}
