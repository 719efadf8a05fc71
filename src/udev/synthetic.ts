// Asking the kernel for an event, and knowing when udev has done it: by the UUID that comes back in its message.

import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';
import { pingDaemon, settle } from './settle.ts';
import { openUdevMonitor } from './udev-monitor.ts';

/** What the kernel takes as an action (enum kobject_action, linux/kobject.h), in udevadm's order. */
export const ACTIONS: readonly string[] = ['add', 'remove', 'change', 'move', 'online', 'offline', 'bind', 'unbind'];

/** As often the socket of answers is emptied while requests are written: a daemon is faster than a long loop. */
const DRAIN_EVERY = 64;

/** Writes to the `uevent` file of a device. Throws Node's errors: ENOENT or ENODEV where it has gone, or has no such file. */
export function requestEvent(syspath: string, action: string, uuid?: string): void {
  // No O_CREAT: a device may have gone, and a tree that is no sysfs must not get files.
  const fd = openSync(join(syspath, 'uevent'), constants.O_WRONLY | constants.O_NOCTTY);
  try {
    writeSync(fd, uuid === undefined ? action : `${action} ${uuid}`);
  } finally {
    closeSync(fd);
  }
}

/** The codes of an error of `requestEvent` that says that there is no device to be told of. */
export function isGone(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENODEV';
}

export interface AnswerWatch {
  /** Before the request is written. */
  expect(uuid: string, syspath: string): void;
  /** The request failed: no answer will come. */
  forget(uuid: string): void;
  /** Those that have not come are not waited for any more. */
  forgetAll(): void;
  /**
   * Waits until every answer is there, or udev has nothing left to do. Returns what was asked for and never answered, in order. Rejects
   * when the socket fails, or with the reason of `signal`.
   */
  wait(signal?: AbortSignal): Promise<readonly string[]>;
  /** The kernel dropped messages for us: what is missing may have been done all the same. */
  readonly isLossy: boolean;
  close(): Promise<void>;
}

/** Listens to udev's messages; `onAnswer` gets each device as it is done. Throws SystemError when the socket cannot be had. */
export async function watchAnswers(system: System, onAnswer: (syspath: string, uuid: string) => void): Promise<AnswerWatch> {
  const pending = new Map<string, string>();
  let expected = 0;
  let isLossy = false;
  let failure: Error | undefined;
  const monitor = await openUdevMonitor(system, {
    onMessage: (properties) => {
      const uuid = properties.get('SYNTH_UUID') ?? '';
      const syspath = pending.get(uuid);
      if (syspath === undefined) return;
      pending.delete(uuid);
      onAnswer(syspath, uuid);
    },
    onLost: () => {
      isLossy = true;
    },
    onError: (error) => {
      failure = error;
    },
  });
  return {
    get isLossy() {
      return isLossy;
    },
    expect(uuid, syspath) {
      pending.set(uuid, syspath);
      if (++expected % DRAIN_EVERY === 0) monitor.receive();
    },
    forget: (uuid) => void pending.delete(uuid),
    forgetAll: () => pending.clear(),
    async wait(signal) {
      if (pending.size > 0) await pingDaemon(system, Infinity);
      const queue = join(system.roots.run, 'udev/queue');
      // The queue is empty after the last message was sent: what has not come then, never will.
      const isOver = (): boolean => failure !== undefined || pending.size === 0 || !existsSync(queue);
      await settle(system, { timeoutMs: Infinity, until: isOver, ...(signal ? { signal } : {}) });
      monitor.receive();
      if (failure) throw failure;
      return [...pending.values()];
    },
    close: () => monitor.close(),
  };
}
