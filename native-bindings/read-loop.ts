// Reading a descriptor whenever there is something, in turns that let the rest of the event loop in between.

import { errnoByName } from './errno.ts';
import { closeFd } from './files.ts';
import type { Libc } from './libc.ts';
import type { Errno } from './native.ts';
import type { Readiness } from './readiness.ts';

export interface ReadLoop {
  readonly isClosed: boolean;
  /** Ends the reading and closes the descriptor; resolves when nothing uses it any more. */
  close(): Promise<void>;
}

/** What `openStepLoop` reads by. */
export type ReadSteps = {
  /** Steps between two turns of the event loop, so that a flood starves nobody. */
  readonly perTurn: number;
  /** Reads once: 0 to go on, the errno of a call that failed, or 'end'. */
  readonly step: () => Errno | 'end';
  /** Nothing more comes: 0 at the end, or the errno. The descriptor is being closed. */
  readonly onEnd: (errno: Errno) => void;
};

const EINTR = errnoByName('EINTR');
const EAGAIN = errnoByName('EAGAIN');

/**
 * Calls `drain` whenever `fd` can be read; it gives true when nothing is left, false when there may be more. The loop owns the descriptor
 * and `readiness` from now on.
 */
export function openReadLoop(libc: Libc, fd: number, readiness: Readiness, drain: () => boolean): ReadLoop {
  let closing: Promise<void> | undefined;
  const turn = (): void => {
    let empty = false;
    try {
      if (!closing) empty = drain();
    } finally {
      // Also when a callback threw: the error is the program's, and the descriptor is read on.
      if (!closing) {
        if (empty) readiness.wait(turn);
        else setImmediate(turn);
      }
    }
  };
  readiness.wait(turn);
  return {
    get isClosed() {
      return closing !== undefined;
    },
    close: () => (closing ??= readiness.stop().then(() => closeFd(libc, fd))),
  };
}

/** As openReadLoop, one call at a time. An errno but EAGAIN and EINTR closes, as does 'end'. */
export function openStepLoop(libc: Libc, fd: number, readiness: Readiness, { perTurn, step, onEnd }: ReadSteps): ReadLoop {
  const loop = openReadLoop(libc, fd, readiness, () => {
    for (let left = perTurn; left > 0 && !loop.isClosed; left--) {
      const result = step();
      if (result === EAGAIN) return true;
      if (result === 0 || result === EINTR) continue;
      void loop.close();
      onEnd(result === 'end' ? 0 : result);
    }
    return false;
  });
  return loop;
}
