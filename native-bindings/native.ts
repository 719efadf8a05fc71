// The system calls that Node does not offer, as one interface, and the kernel constants that go with them.

/** linux/module.h: flags of finit_module(2). */
export const MODULE_INIT_IGNORE_MODVERSIONS = 1;
export const MODULE_INIT_IGNORE_VERMAGIC = 2;
export const MODULE_INIT_COMPRESSED_FILE = 4;

/** fcntl.h: flags of delete_module(2). */
export const O_NONBLOCK = 0o4000;
export const O_TRUNC = 0o1000;

/** linux/memfd.h. */
export const MFD_CLOEXEC = 1;

/** linux/netlink.h. */
export const NETLINK_KOBJECT_UEVENT = 15;
/** The multicast groups of NETLINK_KOBJECT_UEVENT: 1 is the kernel's, 2 is udev's. */
export const UEVENT_GROUP_KERNEL = 1;
export const UEVENT_GROUP_UDEV = 2;

/** sys/file.h: operations of flock(2). */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

/** sys/inotify.h. */
export const IN_CLOSE_WRITE = 0x8;
export const IN_DELETE = 0x200;
export const IN_IGNORED = 0x8000;

/** sys/stat.h: the type bits of mknod(2). */
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;

/** The outcome of a call: 0 on success, else the positive errno of that very call. */
export type Errno = number;

/** uname(2). */
export type Utsname = {
  readonly sysname: string;
  readonly nodename: string;
  readonly release: string;
  readonly version: string;
  readonly machine: string;
};

/** One datagram of the uevent socket with what the kernel says of its sender. */
export type UeventDatagram = {
  /** The payload: `ACTION@DEVPATH\0KEY=VALUE\0…`. Valid only during the callback; copy what is kept. */
  readonly data: Uint8Array;
  /** sockaddr_nl.nl_pid: 0 is the kernel. */
  readonly pid: number;
  /** sockaddr_nl.nl_groups of the sender: 1 is the kernel's multicast group. */
  readonly groups: number;
  /** uid of SCM_CREDENTIALS, undefined when the message carried none. */
  readonly uid: number | undefined;
  /** The datagram was longer than the receive buffer and is cut. */
  readonly truncated: boolean;
};

export type UeventSocketOptions = {
  /** Bit mask of multicast groups; 1 (the kernel's) when absent. */
  readonly groups?: number;
  /** Bytes asked of SO_RCVBUFFORCE (SO_RCVBUF without CAP_NET_ADMIN); 128 MiB when absent. */
  readonly receiveBuffer?: number;
  readonly onDatagram: (datagram: UeventDatagram) => void;
  /** The kernel dropped messages (ENOBUFS): walk /sys again. */
  readonly onLost: () => void;
  /** The socket failed for good; no more callbacks follow. */
  readonly onError: (errno: Errno) => void;
};

/** An open uevent socket. It keeps the event loop alive until close(); it never keeps process.exit() from returning. */
export interface UeventSocket {
  /** The size that the kernel granted, as SO_RCVBUF reports it (twice the usable bytes). */
  readonly receiveBuffer: number;
  /** Delivers what is there now, without waiting for the event loop. Not from within a callback. */
  receive(): void;
  /** Stops reception; resolves when no thread uses the socket any more. */
  close(): Promise<void>;
}

export type InotifyEvent = {
  /** The watch, as add() returned it. */
  readonly watch: number;
  readonly mask: number;
  /** The file in a watched directory; '' for what is watched itself. */
  readonly name: string;
};

export type InotifyOptions = {
  readonly onEvent: (event: InotifyEvent) => void;
  /** The kernel dropped events (IN_Q_OVERFLOW). */
  readonly onLost: () => void;
  /** It failed for good; no more callbacks follow. */
  readonly onError: (errno: Errno) => void;
};

/** An open inotify instance. Keeps the event loop alive until close(). */
export interface Inotify {
  /** Watches a path, or changes the mask of its watch. */
  add(path: string, mask: number): { readonly watch: number } | { readonly errno: Errno };
  remove(watch: number): Errno;
  close(): Promise<void>;
}

/** Who is at the other end of a unix socket (SO_PEERCRED). */
export type PeerCredentials = { readonly pid: number; readonly uid: number; readonly gid: number };

export type SeqpacketHandlers = {
  /** One message. Valid only during the callback. `truncated`: it was longer than the buffer (4 KiB). */
  readonly onMessage: (data: Uint8Array, truncated: boolean) => void;
  /** The other end closed, or the connection failed; nothing follows. `errno` is 0 for an orderly end. */
  readonly onEnd: (errno: Errno) => void;
};

/** One connection of SOCK_SEQPACKET. Keeps the event loop alive until it ends or is closed. */
export interface SeqpacketConnection {
  readonly peer: PeerCredentials;
  /** One message; EAGAIN where the other end does not read. */
  send(data: Uint8Array): Errno;
  /** Resolves when no thread uses the socket any more. */
  close(): Promise<void>;
}

export type SeqpacketServerOptions = {
  readonly path: string;
  /** Permissions of the socket's file. */
  readonly mode: number;
  /** Returns the handlers of the connection, or undefined to refuse and close it. */
  readonly onConnection: (connection: SeqpacketConnection) => SeqpacketHandlers | undefined;
  /** No more connections can be had; those that are open go on. */
  readonly onError: (errno: Errno) => void;
};

export interface SeqpacketServer {
  /** Takes no more connections. The file stays; who made its directory removes it. */
  close(): Promise<void>;
}

/** What a call that opens something says when it could not. */
export type OpenFailure = { readonly errno: Errno; readonly syscall: string };

/** A decompressor of the C library's world. Throws an Error with a text on bad data; never returns more than `limit` bytes. */
export interface NativeCodec {
  readonly library: string;
  decompress(data: Uint8Array, limit: number): Uint8Array;
  /**
   * All of the data into `output`, on a thread of the libuv pool: resolves with the number of bytes, or undefined where the data is
   * bad or does not fit. Both arrays must be left alone until then. Absent where there is no such function. `unchecked` leaves the
   * check of the contents to the caller; libzstd checks them all the same.
   */
  readonly decompressInto?: ((data: Uint8Array, output: Uint8Array, unchecked?: boolean) => Promise<number | undefined>) | undefined;
  /** The same on the calling thread. */
  readonly decompressIntoSync?: ((data: Uint8Array, output: Uint8Array, unchecked?: boolean) => number | undefined) | undefined;
  /** Gives back the memory that is kept from one call to the next. Calls after it are as good as before. */
  readonly release?: (() => void) | undefined;
}

/**
 * What tsmodprobe asks of the C library. Calls return the errno of that very call (0 = success), never throw for it.
 * Methods that may block for long (a driver's probe) come as promises and run on a thread of the libuv pool.
 */
export interface Native {
  uname(): Utsname;
  /** finit_module(2) on a thread: resolves with the errno when the module's init has returned. */
  finitModule(fd: number, params: string, flags: number): Promise<Errno>;
  /** finit_module(2) on the calling thread. */
  finitModuleSync(fd: number, params: string, flags: number): Errno;
  /** init_module(2) from memory, on a thread. */
  initModule(image: Uint8Array, params: string): Promise<Errno>;
  /** delete_module(2), on the calling thread; pass O_NONBLOCK. */
  deleteModule(name: string, flags: number): Errno;
  /** A file descriptor in memory (close-on-exec) that the caller closes, or the errno. */
  memfdCreate(name: string): { readonly fd: number } | { readonly errno: Errno };
  /** lseek(2) to the end: 0, or the errno. For /dev/kmsg, which Node cannot seek. */
  seekEnd(fd: number): Errno;
  openUeventSocket(options: UeventSocketOptions): { readonly socket: UeventSocket } | { readonly errno: Errno; readonly syscall: string };
  /** Sends one datagram to a unix socket (sd_notify): `@name` is the abstract namespace. */
  sendUnixDatagram(path: string, data: Uint8Array): Errno;
  /** Sends a message to multicast groups of NETLINK_KOBJECT_UEVENT (udev's rebroadcast; needs CAP_NET_ADMIN). */
  sendUevent(data: Uint8Array, groups: number): Errno;
  /** liblzma.so.5, or undefined where it is not installed. */
  readonly xz: NativeCodec | undefined;
  /** libzstd.so.1, or undefined where it is not installed. */
  readonly zstd: NativeCodec | undefined;
  /** mknod(2): `mode` with S_IFBLK or S_IFCHR; the umask applies. EINVAL where the kernel's dev_t cannot hold the number. */
  mknod(path: string, mode: number, major: number, minor: number): Errno;
  /** flock(2) on the calling thread; pass LOCK_NB. */
  flock(fd: number, operation: number): Errno;
  /** flock(2) on a thread: resolves when the lock is ours. */
  flockWait(fd: number, operation: number): Promise<Errno>;
  /** setxattr(2), which follows symbolic links. */
  setxattr(path: string, name: string, value: Uint8Array): Errno;
  /** ioctl BLKRRPART on a thread: the kernel reads the partition table of this disk again. EBUSY where a partition is in use. */
  rereadPartitionTable(fd: number): Promise<Errno>;
  /** Children do not inherit this descriptor. */
  setCloseOnExec(fd: number): Errno;
  /** capset(2): takes from the calling thread, and those that it will make, all capabilities but those whose bits are set. */
  limitCapabilities(keep: bigint): Errno;
  /** malloc_trim(3), where the C library has it: gives freed memory back to the kernel. */
  trimHeap(): void;
  openInotify(options: InotifyOptions): { readonly inotify: Inotify } | OpenFailure;
  openSeqpacketServer(options: SeqpacketServerOptions): { readonly server: SeqpacketServer } | OpenFailure;
  connectSeqpacket(path: string, handlers: SeqpacketHandlers): { readonly connection: SeqpacketConnection } | OpenFailure;
  /** Renames a network interface through rtnetlink (RTM_SETLINK with IFLA_IFNAME). */
  renameInterface(ifindex: number, name: string): Errno;
  /** Sets the hardware address of a network interface (RTM_SETLINK with IFLA_ADDRESS). */
  setInterfaceAddress(ifindex: number, address: Uint8Array): Errno;
  /** Gives a network interface another name beside its own (RTM_NEWLINKPROP with IFLA_ALT_IFNAME). EEXIST: it, or another, has it. */
  addInterfaceName(ifindex: number, name: string): Errno;
  /** libblkid.so.1, or undefined where it is not installed. */
  readonly blkid: NativeBlkid | undefined;
  /** ioctl(2) with a buffer that the kernel reads and writes, on a thread. */
  ioctl(fd: number, request: number, data: Uint8Array): Promise<{ readonly result: number } | { readonly errno: Errno }>;
  /** The driver of a network interface (SIOCETHTOOL, ETHTOOL_GDRVINFO), on a thread: the kernel may ask for a module `netdev-IFNAME`. */
  ethtoolDriver(ifname: string): Promise<{ readonly driver: string } | { readonly errno: Errno }>;
}

/** One value of a probe, by libblkid's name (`TYPE`, `UUID`, `PART_ENTRY_UUID`). */
export type BlkidValue = {
  readonly name: string;
  readonly value: string;
  /** As blkid_safe_string has it: blanks are `_`, what is not UTF-8 too. */
  readonly safe: string;
  /** As blkid_encode_string has it: `\\xNN` for all that may not stand in a file name of /dev. */
  readonly encoded: string;
};

export type BlkidPartition = { readonly uuid: string; readonly type: string; readonly name: string; readonly flags: bigint };

export type BlkidResult = {
  /** None where nothing was found. */
  readonly values: readonly BlkidValue[];
  /** Of a GPT disk. */
  readonly partitions: readonly BlkidPartition[];
};

export type BlkidProbeOptions = {
  /** Bytes from the start of the device. */
  readonly offset?: number;
  readonly noRaid?: boolean;
  readonly hints?: readonly string[];
  readonly isCharacterDevice?: boolean;
};

export interface NativeBlkid {
  readonly library: string;
  /** What the device behind a descriptor holds, read on threads; undefined where that fails or is ambiguous. The caller closes. */
  probe(fd: number, options: BlkidProbeOptions): Promise<BlkidResult | undefined>;
}
