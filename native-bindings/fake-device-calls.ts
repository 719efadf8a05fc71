// The part of the fake Native that devices need: nodes, locks, inotify and seqpacket sockets, in memory.

import { errnoByName } from './errno.ts';
import type {
  Errno, InotifyEvent, InotifyOptions, Native, PeerCredentials, SeqpacketConnection, SeqpacketHandlers, SeqpacketServerOptions,
} from './native.ts';
import { IN_IGNORED } from './native.ts';

export type FakeDeviceCall =
  | { readonly call: 'mknod'; readonly path: string; readonly mode: number; readonly major: number; readonly minor: number }
  | { readonly call: 'flock' | 'flockWait'; readonly operation: number }
  | { readonly call: 'setxattr'; readonly path: string; readonly name: string; readonly text: string }
  | { readonly call: 'rereadPartitionTable' }
  | { readonly call: 'openInotify' }
  | { readonly call: 'inotifyAdd'; readonly path: string; readonly mask: number }
  | { readonly call: 'inotifyRemove'; readonly watch: number }
  | { readonly call: 'openSeqpacketServer'; readonly path: string; readonly mode: number }
  | { readonly call: 'connectSeqpacket'; readonly path: string }
  | { readonly call: 'renameInterface' | 'addInterfaceName'; readonly ifindex: number; readonly name: string }
  | { readonly call: 'setInterfaceAddress'; readonly ifindex: number; readonly address: string }
  | { readonly call: 'setCloseOnExec'; readonly fd: number }
  | { readonly call: 'limitCapabilities'; readonly keep: string }
  | { readonly call: 'trimHeap' };

/** The test's end of an inotify instance. */
export interface FakeInotify {
  readonly closed: boolean;
  /** The paths that are watched, by watch. */
  readonly watches: ReadonlyMap<number, string>;
  /** Something happens to a watched path; nothing where it is not watched. Callbacks run before this returns. */
  inject(path: string, mask: number): void;
  lose(): void;
}

export interface FakeSeqpacketServer {
  readonly path: string;
  readonly closed: boolean;
  /** A client, by default of root. */
  connect(handlers: SeqpacketHandlers, peer?: Partial<PeerCredentials>): SeqpacketConnection;
}

type DeviceNative = Pick<Native,
  | 'mknod' | 'flock' | 'flockWait' | 'setxattr' | 'rereadPartitionTable' | 'openInotify' | 'openSeqpacketServer' | 'connectSeqpacket'
  | 'renameInterface' | 'setInterfaceAddress' | 'addInterfaceName' | 'setCloseOnExec' | 'limitCapabilities' | 'trimHeap'>;

export type FakeDevices = {
  readonly native: DeviceNative;
  readonly inotifies: readonly FakeInotify[];
  readonly servers: readonly FakeSeqpacketServer[];
};

const ENOENT = errnoByName('ENOENT') ?? 2;
const EINVAL = errnoByName('EINVAL') ?? 22;
const EPIPE = errnoByName('EPIPE') ?? 32;
const ROOT: PeerCredentials = { pid: 1, uid: 0, gid: 0 };

/** `record` notes a call and gives the errno that the script has for it. */
export function fakeDevices(record: (call: FakeDeviceCall) => Errno): FakeDevices {
  const inotifies: FakeInotify[] = [];
  const servers: FakeSeqpacketServer[] = [];
  return {
    inotifies,
    servers,
    native: {
      mknod: (path, mode, major, minor) => record({ call: 'mknod', path, mode, major, minor }),
      flock: (_fd, operation) => record({ call: 'flock', operation }),
      flockWait: async (_fd, operation) => record({ call: 'flockWait', operation }),
      setxattr: (path, name, value) => record({ call: 'setxattr', path, name, text: Buffer.from(value).toString('latin1') }),
      rereadPartitionTable: async () => record({ call: 'rereadPartitionTable' }),
      openInotify: (options) => {
        const errno = record({ call: 'openInotify' });
        if (errno !== 0) return { errno, syscall: 'inotify_init1' };
        const { fake, inotify } = fakeInotify(options, record);
        inotifies.push(fake);
        return { inotify };
      },
      openSeqpacketServer: (options) => {
        const errno = record({ call: 'openSeqpacketServer', path: options.path, mode: options.mode });
        if (errno !== 0) return { errno, syscall: 'bind' };
        const { fake, close } = fakeServer(options);
        servers.push(fake);
        return { server: { close } };
      },
      connectSeqpacket: (path, handlers) => {
        const errno = record({ call: 'connectSeqpacket', path });
        const server = servers.find((each) => each.path === path && !each.closed);
        if (errno !== 0 || !server) return { errno: errno === 0 ? ENOENT : errno, syscall: 'connect' };
        return { connection: server.connect(handlers) };
      },
      renameInterface: (ifindex, name) => record({ call: 'renameInterface', ifindex, name }),
      setInterfaceAddress: (ifindex, address) => record({ call: 'setInterfaceAddress', ifindex, address: Buffer.from(address).toString('hex') }),
      addInterfaceName: (ifindex, name) => record({ call: 'addInterfaceName', ifindex, name }),
      setCloseOnExec: (fd) => record({ call: 'setCloseOnExec', fd }),
      limitCapabilities: (keep) => record({ call: 'limitCapabilities', keep: keep.toString(16) }),
      trimHeap: () => void record({ call: 'trimHeap' }),
    },
  };
}

function fakeInotify({ onEvent, onLost }: InotifyOptions, record: (call: FakeDeviceCall) => Errno) {
  const watches = new Map<number, string>();
  let closed = false;
  let last = 0;
  const say = (event: InotifyEvent): void => {
    if (!closed) onEvent(event);
  };
  const fake: FakeInotify = {
    get closed() {
      return closed;
    },
    watches,
    inject: (path, mask) => {
      for (const [watch, watched] of watches) if (watched === path) say({ watch, mask, name: '' });
    },
    lose: () => {
      if (!closed) onLost();
    },
  };
  const inotify = {
    add: (path: string, mask: number) => {
      const errno = record({ call: 'inotifyAdd', path, mask });
      if (errno !== 0) return { errno };
      // As in the kernel a path has one watch, and numbers are never used again.
      const known = [...watches].find(([, watched]) => watched === path)?.[0];
      const watch = known ?? ++last;
      watches.set(watch, path);
      return { watch };
    },
    remove: (watch: number): Errno => {
      const errno = record({ call: 'inotifyRemove', watch });
      if (errno !== 0) return errno;
      if (!watches.delete(watch)) return EINVAL;
      say({ watch, mask: IN_IGNORED, name: '' });
      return 0;
    },
    close: async () => void (closed = true),
  };
  return { fake, inotify };
}

function fakeServer(options: SeqpacketServerOptions) {
  let closed = false;
  const fake: FakeSeqpacketServer = {
    path: options.path,
    get closed() {
      return closed;
    },
    connect: (handlers, peer = {}) => {
      const pair = connectionPair({ ...ROOT, ...peer });
      pair.client.handlers = handlers;
      pair.server.handlers = options.onConnection(pair.server.connection);
      if (!pair.server.handlers) void pair.server.connection.close();
      return pair.client.connection;
    },
  };
  return { fake, close: async () => void (closed = true) };
}

type End = { connection: SeqpacketConnection; handlers: SeqpacketHandlers | undefined };

/** Two ends; what one sends the other gets in a later turn. */
function connectionPair(peer: PeerCredentials): { readonly client: End; readonly server: End } {
  let open = true;
  const end = (other: () => End, credentials: PeerCredentials): End => ({
    handlers: undefined,
    connection: {
      peer: credentials,
      send: (data) => {
        if (!open) return EPIPE;
        const copy = Uint8Array.from(data);
        queueMicrotask(() => other().handlers?.onMessage(copy, false));
        return 0;
      },
      close: async () => {
        if (!open) return;
        open = false;
        queueMicrotask(() => other().handlers?.onEnd(0));
      },
    },
  });
  const client: End = end(() => server, ROOT);
  const server: End = end(() => client, peer);
  return { client, server };
}
