// Two ways of learning from the event loop that a descriptor can be read: libuv's own poll, and poll(2) on a thread.

import type { Koffi } from './koffi.ts';
import type { Libc } from './libc.ts';

/** Watches one descriptor. Keeps the event loop alive while it waits; never keeps process.exit() from returning. */
export interface Readiness {
  /** Calls `ready` once, when the descriptor is readable or in error. Then wait again. */
  wait(ready: () => void): void;
  /** Ends the watch; resolves when nothing uses the descriptor any more. */
  stop(): Promise<void>;
}

/** poll.h and sys/eventfd.h. */
const POLLIN = 1;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
/** struct pollfd: int fd, short events, short revents. */
const POLLFD_SIZE = 8;

/** libuv's poll where this koffi offers it, else a thread. A negative errno when neither can be had. */
export function watchReadable(libc: Libc, fd: number): Readiness | number {
  return hasLoopPoll(libc.koffi) ? watchWithLoop(libc, fd) : watchWithThread(libc, fd);
}

/** koffi declares `node.poll`, but does not document it yet; it may leave as it came. */
function hasLoopPoll(koffi: Koffi): boolean {
  return typeof koffi.node?.poll === 'function';
}

/** By uv_poll_t: no thread, so that modules whose init blocks every thread of the pool do not delay events. */
export function watchWithLoop(libc: Libc, fd: number): Readiness {
  let handle: ReturnType<Koffi['node']['poll']> | undefined;
  let stopped = false;
  return {
    wait: (ready) => {
      // koffi enters JavaScript without the scope in which Node runs ticks and promises, hence the immediate; it comes
      // in the same turn of the loop. The watch is for one time: libuv itself ends it on POLLERR, which ENOBUFS sets.
      const onPoll = (): void => {
        handle?.stop();
        setImmediate(() => {
          if (!stopped) ready();
        });
      };
      if (handle) handle.start({ readable: true }, onPoll);
      else handle = libc.koffi.node.poll(fd, { readable: true }, onPoll);
    },
    stop: async () => {
      stopped = true;
      handle?.close();
      handle = undefined;
    },
  };
}

/**
 * By poll(2) on a thread of the libuv pool, which it occupies while it waits. An eventfd beside the descriptor wakes it:
 * for stop(), and when the process exits, because Node joins its threads then and a sleeping poll would hold it for ever.
 */
export function watchWithThread(libc: Libc, fd: number): Readiness | number {
  const { koffi } = libc;
  const eventfd = libc.call(libc.function('eventfd', 'int', ['uint', 'int']), 0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (eventfd < 0) return eventfd;
  const poll = libc.function('poll', 'int', ['void *', 'ulong', 'int']);
  const write = libc.function('write', 'long', ['int', 'void *', 'ulong']);
  const close = libc.function('close', 'int', ['int']);

  // Memory outside JavaScript, because a thread uses it.
  const pollfds: unknown = koffi.alloc('uint8_t', 2 * POLLFD_SIZE);
  const view = new DataView(koffi.view(pollfds, 2 * POLLFD_SIZE));
  [fd, eventfd].forEach((each, index) => {
    view.setInt32(index * POLLFD_SIZE, each, true);
    view.setInt16(index * POLLFD_SIZE + 4, POLLIN, true);
  });

  const one = Buffer.from(BigUint64Array.of(1n).buffer);
  const wake = (): void => {
    libc.call(write, eventfd, one, one.length);
  };
  // First in line: a listener that throws ends the others.
  process.prependListener('exit', wake);

  let waiting = false;
  let stopping: Promise<void> | undefined;
  let onStopped: (() => void) | undefined;
  const release = (): void => {
    process.off('exit', wake);
    libc.call(close, eventfd);
    koffi.free(pollfds);
  };
  return {
    wait: (ready) => {
      waiting = true;
      poll.async(pollfds, 2, -1, () => {
        waiting = false;
        if (onStopped) onStopped();
        else ready();
      });
    },
    stop: () =>
      (stopping ??= new Promise<void>((resolve) => {
        onStopped = () => {
          release();
          resolve();
        };
        if (waiting) wake();
        else onStopped();
      })),
  };
}
