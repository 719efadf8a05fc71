// A Native that records every call and answers from a script: no kernel, no privilege, no FFI.

import { fstatSync, mkdtempSync, openSync, readSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { codeOf } from '../src/errors.ts';
import { errnoByName } from './errno.ts';
import { fakeDevices } from './fake-device-calls.ts';
import type { FakeDeviceCall, FakeInotify, FakeSeqpacketServer } from './fake-device-calls.ts';
import type { Errno, Native, NativeBlkid, NativeCodec, UeventDatagram, UeventSocketOptions, Utsname } from './native.ts';
import { UEVENT_GROUP_KERNEL } from './native.ts';

/** One call, as plain data. `module` is the module's name: of the file behind the descriptor, or of the memfd. */
export type FakeCall =
  | { readonly call: 'finitModule' | 'finitModuleSync'; readonly module: string; readonly params: string; readonly flags: number }
  | { readonly call: 'initModule'; readonly size: number; readonly params: string }
  | { readonly call: 'deleteModule'; readonly module: string; readonly flags: number }
  | { readonly call: 'memfdCreate'; readonly module: string }
  | { readonly call: 'seekEnd'; readonly file: string }
  | { readonly call: 'openUeventSocket'; readonly groups: number; readonly receiveBuffer: number | undefined }
  | { readonly call: 'closeUeventSocket' }
  | { readonly call: 'sendUnixDatagram'; readonly path: string; readonly text: string }
  | { readonly call: 'sendUevent'; readonly text: string; readonly groups: number }
  | FakeDeviceCall
  | { readonly call: 'ioctl'; readonly file: string; readonly request: number; readonly data: string }
  | { readonly call: 'ethtoolDriver'; readonly ifname: string };

/** The answer to the calls that it matches: the first answer of the script that does. Calls without one succeed. */
export type FakeAnswer = {
  readonly call: FakeCall['call'];
  /** Matches this module only, with `_` for `-`. */
  readonly module?: string;
  /** Matches these parameters only. */
  readonly params?: string;
  readonly errno: Errno;
  /** How many calls it answers; all when absent. */
  readonly times?: number;
  /** A threaded call answers only when this has resolved. */
  readonly until?: Promise<unknown>;
  /** What openUeventSocket blames; `bind` when absent. */
  readonly syscall?: string;
};

export type FakeScript = {
  readonly answers?: readonly FakeAnswer[];
  readonly utsname?: Partial<Utsname>;
  readonly xz?: NativeCodec;
  readonly zstd?: NativeCodec;
  readonly blkid?: NativeBlkid;
  /** What a successful ioctl returns, and writes into its buffer; 0 and nothing when absent. */
  readonly ioctl?: (request: number, data: Uint8Array) => number;
  /** By interface. */
  readonly drivers?: Readonly<Record<string, string>>;
};

/** A module that the kernel would now have. */
export type FakeLoad = {
  readonly module: string;
  readonly params: string;
  readonly flags: number;
  /** The bytes that the kernel would have read. */
  readonly image: Uint8Array;
};

/** The test's end of a uevent socket. Callbacks run before these return. */
export interface FakeUeventSocket {
  readonly closed: boolean;
  /** A datagram, from the kernel unless told otherwise. Does nothing once closed. */
  inject(data: Uint8Array | string, sender?: Partial<Omit<UeventDatagram, 'data'>>): void;
  /** The kernel dropped messages. */
  lose(): void;
  /** The socket fails for good. */
  fail(errno: Errno): void;
}

export interface FakeNative extends Native {
  /** Every call so far, in order. */
  readonly calls: readonly FakeCall[];
  /** Every module that was loaded with success, in order. */
  readonly loads: readonly FakeLoad[];
  /** Every uevent socket that was opened, in order. */
  readonly sockets: readonly FakeUeventSocket[];
  /** Every inotify instance and every seqpacket server that was opened, in order. */
  readonly inotifies: readonly FakeInotify[];
  readonly servers: readonly FakeSeqpacketServer[];
}

const UTSNAME: Utsname = { sysname: 'Linux', nodename: 'fake', release: '6.12.0-fake', version: '#1', machine: 'x86_64' };

const EBADF = errnoByName('EBADF') ?? 9;
const EOPNOTSUPP = errnoByName('EOPNOTSUPP') ?? 95;

type PendingLoad = { readonly answer: FakeAnswer | undefined; readonly load: FakeLoad | undefined };

/** Opens a fake; the zero script is a kernel that accepts everything. */
export function openFakeNative(script: FakeScript = {}): FakeNative {
  const calls: FakeCall[] = [];
  const loads: FakeLoad[] = [];
  const sockets: FakeUeventSocket[] = [];
  const memfds = new Map<number, { readonly name: string; readonly inode: number }>();
  const answer = scripted(script.answers ?? []);

  const record = (call: FakeCall): FakeAnswer | undefined => {
    calls.push(call);
    return answer(call);
  };

  const devices = fakeDevices((call) => record(call)?.errno ?? 0);

  const finit = (call: 'finitModule' | 'finitModuleSync', fd: number, params: string, flags: number): PendingLoad => {
    const stat = statOf(fd);
    if (!stat) {
      record({ call, module: '', params, flags });
      return { answer: { call, errno: EBADF }, load: undefined };
    }
    const memfd = memfds.get(fd);
    // A closed memfd's number may be another file by now.
    const module = moduleNameOf(memfd?.inode === stat.ino ? memfd.name : fileOf(fd));
    return { answer: record({ call, module, params, flags }), load: { module, params, flags, image: readAll(fd, stat.size) } };
  };

  const settle = ({ answer: found, load }: PendingLoad): Errno => {
    const errno = found?.errno ?? 0;
    if (errno === 0 && load) loads.push(load);
    return errno;
  };

  return {
    calls,
    loads,
    sockets,
    inotifies: devices.inotifies,
    servers: devices.servers,
    ...devices.native,
    xz: script.xz,
    zstd: script.zstd,
    blkid: script.blkid,
    uname: () => ({ ...UTSNAME, ...script.utsname }),
    finitModule: async (fd, params, flags) => {
      const pending = finit('finitModule', fd, params, flags);
      await pending.answer?.until;
      return settle(pending);
    },
    finitModuleSync: (fd, params, flags) => settle(finit('finitModuleSync', fd, params, flags)),
    initModule: async (image, params) => {
      const load = { module: '', params, flags: 0, image: Uint8Array.from(image) };
      const pending = { answer: record({ call: 'initModule', size: image.length, params }), load };
      await pending.answer?.until;
      return settle(pending);
    },
    deleteModule: (name, flags) => record({ call: 'deleteModule', module: name, flags })?.errno ?? 0,
    memfdCreate: (name) => {
      const errno = record({ call: 'memfdCreate', module: moduleNameOf(name) })?.errno ?? 0;
      if (errno !== 0) return { errno };
      const fd = openUnlinked();
      memfds.set(fd, { name, inode: fstatSync(fd).ino });
      return { fd };
    },
    seekEnd: (fd) => record({ call: 'seekEnd', file: fileOf(fd) })?.errno ?? 0,
    openUeventSocket: (options) => {
      const { groups = UEVENT_GROUP_KERNEL, receiveBuffer } = options;
      const found = record({ call: 'openUeventSocket', groups, receiveBuffer });
      if (found && found.errno !== 0) return { errno: found.errno, syscall: found.syscall ?? 'bind' };
      const { socket, close } = fakeSocket(options);
      sockets.push(socket);
      return {
        socket: {
          receiveBuffer: 2 * (receiveBuffer ?? 0),
          receive: () => undefined,
          close: async () => {
            if (!socket.closed) record({ call: 'closeUeventSocket' });
            close();
          },
        },
      };
    },
    sendUnixDatagram: (path, data) => record({ call: 'sendUnixDatagram', path, text: textOf(data) })?.errno ?? 0,
    sendUevent: (data, groups) => record({ call: 'sendUevent', text: textOf(data), groups })?.errno ?? 0,
    ioctl: async (fd, request, data) => {
      const errno = record({ call: 'ioctl', file: fileOf(fd), request, data: Buffer.from(data).toString('hex') })?.errno ?? 0;
      return errno === 0 ? { result: script.ioctl?.(request, data) ?? 0 } : { errno };
    },
    ethtoolDriver: async (ifname) => {
      const errno = record({ call: 'ethtoolDriver', ifname })?.errno ?? 0;
      if (errno !== 0) return { errno };
      const driver = script.drivers?.[ifname];
      return driver === undefined ? { errno: EOPNOTSUPP } : { driver };
    },
  };
}

/** undefined where the descriptor is not open. */
function statOf(fd: number): { readonly ino: number; readonly size: number } | undefined {
  if (fd < 0) return undefined;
  try {
    return fstatSync(fd);
  } catch (error) {
    if (codeOf(error) !== 'EBADF') throw error;
    return undefined;
  }
}

function scripted(answers: readonly FakeAnswer[]): (call: FakeCall) => FakeAnswer | undefined {
  const left = answers.map((each) => each.times ?? Infinity);
  return (call) => {
    const index = answers.findIndex((each, position) => (left[position] ?? 0) > 0 && matches(each, call));
    if (index >= 0) left[index] = (left[index] ?? 0) - 1;
    return answers[index];
  };
}

function matches(answer: FakeAnswer, call: FakeCall): boolean {
  if (answer.call !== call.call) return false;
  if (answer.module !== undefined && !('module' in call && moduleNameOf(call.module) === answer.module)) return false;
  return answer.params === undefined || ('params' in call && call.params === answer.params);
}

function fakeSocket(options: UeventSocketOptions): { socket: FakeUeventSocket; close: () => void } {
  let closed = false;
  const socket: FakeUeventSocket = {
    get closed() {
      return closed;
    },
    inject: (data, sender = {}) => {
      if (closed) return;
      const bytes = Buffer.from(data);
      options.onDatagram({ pid: 0, groups: UEVENT_GROUP_KERNEL, uid: 0, truncated: false, ...sender, data: bytes });
      // The real buffer holds the next datagram then: who kept it shall notice.
      bytes.fill(0xff);
    },
    lose: () => {
      if (!closed) options.onLost();
    },
    fail: (errno) => {
      if (closed) return;
      closed = true;
      options.onError(errno);
    },
  };
  return { socket, close: () => void (closed = true) };
}

/** A file without a name: what writes to a memfd works on it, and closing it leaves nothing behind. */
function openUnlinked(): number {
  const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-memfd-'));
  try {
    return openSync(join(directory, 'memfd'), 'wx+', 0o600);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The path behind a descriptor, '' where there is no /proc. */
function fileOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return '';
  }
}

function moduleNameOf(file: string): string {
  return basename(file).replace(/\.ko(\.(gz|xz|zst))?$/, '').replaceAll('-', '_');
}

function readAll(fd: number, size: number): Uint8Array {
  const image = Buffer.alloc(size);
  let length = 0;
  for (;;) {
    const count = readSync(fd, image, length, image.length - length, length);
    if (count === 0) return image.subarray(0, length);
    length += count;
  }
}

function textOf(data: Uint8Array): string {
  return Buffer.from(data).toString('latin1');
}
