// Gives back the memory of a burst of events: V8 keeps its heap, and malloc what was freed, until somebody asks.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';

/**
 * How long nothing must have happened before each collection. V8 gives back its young generation only where little was allocated in five
 * seconds, so that a second one gets half as much again. These are the timers of a quiet spell, and none afterwards: an idle daemon never wakes.
 */
const QUIET_MS = [2000, 6000];
/** Less than this above what there was after the last time is not worth a collection. */
const GROWTH_MIN = 8 * 1024 * 1024;

export interface IdleMemory {
  /** The first event has come, or the last has finished. */
  onBusy(busy: boolean): void;
  close(): void;
}

/** `rss` and `collect` are this process's when absent. */
export function openIdleMemory(
  system: System, { rss = () => process.memoryUsage.rss(), collect = collectGarbage }: { readonly rss?: () => number; readonly collect?: () => void } = {},
): IdleMemory {
  const ending = new AbortController();
  let isBusy = false;
  let quietSince = 0;
  let waiting = false;
  let trimmedTo = 0;

  const collectAll = async (): Promise<void> => {
    const native = await system.native();
    collect();
    native.trimHeap();
    system.log.debug({ code: 'memory', message: `${Math.round(rss() / 1024)} kB after a collection` });
  };
  /** False when something has happened. */
  const quiet = async (ms: number): Promise<boolean> => {
    for (let left = ms; left > 0; left = isBusy ? 0 : quietSince + ms - system.clock.now()) await system.clock.sleep(left, ending.signal);
    return !isBusy;
  };
  const wait = async (): Promise<void> => {
    waiting = true;
    try {
      for (const ms of QUIET_MS) {
        if (!await quiet(ms) || rss() < trimmedTo + GROWTH_MIN) return;
        await collectAll();
        quietSince = system.clock.now();
      }
      trimmedTo = rss();
    } finally {
      waiting = false;
    }
  };
  return {
    onBusy(busy) {
      isBusy = busy;
      if (busy) return;
      quietSince = system.clock.now();
      if (waiting || ending.signal.aborted) return;
      wait().catch((error: unknown) => {
        if (!ending.signal.aborted) system.log.error({ code: 'memory', message: messageOf(error) });
      });
    },
    close: () => ending.abort(),
  };
}

let gc: (() => void) | undefined;

/** V8 shows its collector to contexts that are made while the flag is set. */
function collectGarbage(): void {
  if (!gc) {
    setFlagsFromString('--expose-gc');
    gc = runInNewContext('gc') as () => void;
    setFlagsFromString('--no-expose-gc');
  }
  gc();
}
