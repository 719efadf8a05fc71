// inotify(7): one instance with many watches, its events on the event loop.

import { errnoByName } from './errno.ts';
import { closeFd } from './files.ts';
import type { Libc } from './libc.ts';
import type { Errno, Inotify, InotifyEvent, InotifyOptions, OpenFailure } from './native.ts';
import { openStepLoop } from './read-loop.ts';
import { watchReadable } from './readiness.ts';

/** sys/inotify.h. */
const IN_CLOEXEC = 0o2000000;
const IN_NONBLOCK = 0o4000;
const IN_Q_OVERFLOW = 0x4000;

/*
 * struct inotify_event
 *   0 wd (4)  4 mask (4)  8 cookie (4)  12 len (4)  16 name, len bytes with NULs behind it
 */
const EVENT_HEADER = 16;
/** Some thousand events of files that are watched themselves; the kernel never splits an event. */
const BUFFER_SIZE = 64 * 1024;
/** Reads between two turns of the event loop. */
const READS_PER_TURN = 4;

const EINVAL = errnoByName('EINVAL') ?? 22;

export function openInotify(libc: Libc, options: InotifyOptions): { readonly inotify: Inotify } | OpenFailure {
  const fd = libc.call(libc.function('inotify_init1', 'int', ['int']), IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return { errno: -fd, syscall: 'inotify_init1' };
  const readiness = watchReadable(libc, fd);
  if (typeof readiness === 'number') {
    closeFd(libc, fd);
    return { errno: -readiness, syscall: 'poll' };
  }
  const buffer = Buffer.alloc(BUFFER_SIZE);
  const read = libc.function('read', 'long', ['int', 'void *', 'ulong']);
  const step = (): Errno => {
    const length = libc.call(read, fd, buffer, buffer.length);
    if (length < 0) return -length;
    // The events are copied out first: a callback may read no more, but it may close.
    for (const event of inotifyEvents(buffer.subarray(0, length))) if (!loop.isClosed) deliver(event, options);
    return 0;
  };
  const loop = openStepLoop(libc, fd, readiness, { perTurn: READS_PER_TURN, step, onEnd: options.onError });
  return {
    inotify: {
      add: (path, mask) => {
        if (path.includes('\0')) return { errno: EINVAL };
        const watch = libc.call(libc.function('inotify_add_watch', 'int', ['int', 'str', 'uint']), fd, path, mask);
        return watch < 0 ? { errno: -watch } : { watch };
      },
      remove: (watch): Errno => {
        const result = libc.call(libc.function('inotify_rm_watch', 'int', ['int', 'int']), fd, watch);
        return result < 0 ? -result : 0;
      },
      close: loop.close,
    },
  };
}

/** The events of one read(2). */
export function inotifyEvents(bytes: Buffer): readonly InotifyEvent[] {
  const events: InotifyEvent[] = [];
  for (let offset = 0; offset + EVENT_HEADER <= bytes.length;) {
    const length = bytes.readUInt32LE(offset + 12);
    const name = bytes.subarray(offset + EVENT_HEADER, offset + EVENT_HEADER + length);
    const end = name.indexOf(0);
    events.push({ watch: bytes.readInt32LE(offset), mask: bytes.readUInt32LE(offset + 4), name: name.toString('utf8', 0, end < 0 ? name.length : end) });
    offset += EVENT_HEADER + length;
  }
  return events;
}

function deliver(event: InotifyEvent, { onEvent, onLost }: InotifyOptions): void {
  if ((event.mask & IN_Q_OVERFLOW) !== 0) onLost();
  else onEvent(event);
}
