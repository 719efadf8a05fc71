// The one seam to the machine: where its trees are, which kernel runs, its clock, its log, its native calls.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describeErrno } from '../native-bindings/errno.ts';
import type { Errno, Native } from '../native-bindings/native.ts';
import { SystemError } from './errors.ts';

export type {
  BlkidResult, Errno, Inotify, InotifyEvent, Native, NativeBlkid, NativeCodec, PeerCredentials, SeqpacketConnection, SeqpacketHandlers, UeventDatagram, UeventSocket,
  UeventSocketOptions, Utsname,
} from '../native-bindings/native.ts';
export {
  IN_CLOSE_WRITE,
  IN_DELETE,
  IN_IGNORED,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  MODULE_INIT_COMPRESSED_FILE,
  MODULE_INIT_IGNORE_MODVERSIONS,
  MODULE_INIT_IGNORE_VERMAGIC,
  O_NONBLOCK,
  O_TRUNC,
  S_IFBLK,
  S_IFCHR,
  UEVENT_GROUP_KERNEL,
  UEVENT_GROUP_UDEV,
} from '../native-bindings/native.ts';
export { describeErrno, errnoByName, errnoName, errnoText } from '../native-bindings/errno.ts';

/** Where the trees of a machine are. All are absolute directories; the prefixes are '' on this machine. */
export type Roots = {
  /** Prefix of lib/modules and usr/lib/modules (`modprobe -d`). */
  readonly modules: string;
  /** Prefix of etc/modprobe.d, run/modprobe.d and the other configuration directories. */
  readonly config: string;
  readonly sys: string;
  readonly proc: string;
  readonly dev: string;
  readonly run: string;
};

export type LogLevel = 'error' | 'warn' | 'notice' | 'info' | 'debug';

/** One diagnostic. `code` is stable and short (`bad-line`, `stale-index`); `message` is for people and names the file itself. */
export type LogRecord = {
  readonly code: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
};

export type Log = Readonly<Record<LogLevel, (record: LogRecord) => void>>;

export interface Clock {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Resolves after `ms`; rejects with the reason of `signal` when that aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Everything that the rest of tsmodprobe knows of the machine below it. */
export interface System {
  readonly roots: Roots;
  /** The kernel release whose modules are meant, as uname -r prints it. */
  readonly release: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The environment that programs which we start inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The native calls. The FFI is loaded on the first call, so that pure commands start without it. */
  native(): Promise<Native>;
}

export type SystemOptions = {
  /** A directory that looks like /: every root is below it. */
  readonly root?: string;
  readonly roots?: Partial<Roots>;
  /** By default what `sys/kernel/osrelease` below `roots.proc` says, or `uname -r` where that is absent. */
  readonly release?: string;
  readonly log?: Log;
  readonly clock?: Clock;
  readonly native?: Native;
  /** The environment of programs that are started; that of this process when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
};

/** What a machine calls its own trees. */
export const OWN_ROOTS = { sys: '/sys', proc: '/proc', dev: '/dev', run: '/run' };

/** The machine that this process runs on, or the one that looks like it below `root`. Opens nothing yet. */
export function openSystem(options: SystemOptions = {}): System {
  const root = options.root === undefined || options.root === '/' ? '' : options.root;
  const roots = {
    modules: root,
    config: root,
    ...(root === '' ? OWN_ROOTS : { sys: join(root, '/sys'), proc: join(root, '/proc'), dev: join(root, '/dev'), run: join(root, '/run') }),
    ...options.roots,
  };
  let native: Promise<Native> | undefined = options.native && Promise.resolve(options.native);
  return {
    roots,
    release: options.release ?? runningRelease(roots.proc),
    clock: options.clock ?? monotonicClock,
    log: options.log ?? stderrLog,
    env: options.env ?? process.env,
    native: () => (native ??= import('../native-bindings/libc.ts').then((libc) => libc.openLibc())),
  };
}

/** The environment of this process, for what runs programs of this machine beside it. */
export function hostEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** Where many small files that live no longer than this process go, best first: in memory, where thousands take no second; $TMPDIR alone where it is set. */
export function scratchDirectories(): readonly string[] {
  const { tmpdir } = process.getBuiltinModule('node:os');
  return process.env['TMPDIR'] === undefined && existsSync('/dev/shm') ? ['/dev/shm', tmpdir()] : [tmpdir()];
}

/** A SystemError for the errno that a native call returned. */
export function systemError(syscall: string, errno: Errno, path?: string): SystemError {
  const { code, text } = describeErrno(errno);
  return new SystemError({ code, errno, syscall, text, path });
}

/** Of the machine whose /proc this is, where it says so. Loading node:os takes ten times as long. */
function runningRelease(proc: string): string {
  const path = `${proc}/sys/kernel/osrelease`;
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : process.getBuiltinModule('node:os').release();
}

const monotonicClock: Clock = {
  // The global `performance` costs its loading, some milliseconds of a short program.
  now: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
  // node:timers/promises does the same, and loads streams for it.
  sleep: (ms, signal) => new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  }),
};

/** What a library without a log of its own does: warnings and errors go to stderr, the rest nowhere. */
const stderrLog: Log = {
  error: (record) => console.error(record.message),
  warn: (record) => console.warn(record.message),
  notice: () => undefined,
  info: () => undefined,
  debug: () => undefined,
};
