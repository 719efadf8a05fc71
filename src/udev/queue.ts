// The events that are being handled. Every event starts when it comes; the order among relatives belongs here too.

import type { Uevent } from './uevent.ts';

/** Also the bound of the memory that a flood of events can take: about 1 KiB each. */
export const QUEUE_MAX = 1 << 14;

/** One policy: what an event means to it. Never rejects for a device or module that fails. */
export type EventHandler = (event: Uevent) => Promise<void>;

export type QueueOptions = {
  readonly handle: EventHandler;
  /** A handler rejected, which is an error of ours. */
  readonly onError: (event: Uevent, error: unknown) => void;
  /** An event was refused because QUEUE_MAX are under way. */
  readonly onOverflow: (event: Uevent) => void;
  /** QUEUE_MAX when absent. */
  readonly limit?: number;
};

export interface EventQueue {
  readonly size: number;
  push(event: Uevent): void;
  /** Resolves when no event is being handled. */
  idle(): Promise<void>;
}

export function openQueue({ handle, onError, onOverflow, limit = QUEUE_MAX }: QueueOptions): EventQueue {
  let size = 0;
  let waiting: (() => void)[] = [];
  const run = async (event: Uevent): Promise<void> => {
    try {
      await handle(event);
    } catch (error) {
      onError(event, error);
    }
    size--;
    if (size > 0) return;
    const wake = waiting;
    waiting = [];
    for (const resolve of wake) resolve();
  };
  return {
    get size() {
      return size;
    },
    push(event) {
      if (size >= limit) {
        onOverflow(event);
        return;
      }
      size++;
      void run(event);
    },
    idle: () => (size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}
