// A virtual machine from options to result: finds its kernel, assembles its image, boots it, runs one command in it.

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { UnsupportedError } from '../errors.ts';
import { openImageSource } from '../kmod/image-source.ts';
import { openSystem } from '../system.ts';
import { defaultCacheDirectory } from './cache.ts';
import { findFileServer, isServable, knowsVirtiofs, startFileServer, type FileServer } from './file-server.ts';
import { requireTool, runTool } from './host-tool.ts';
import { writeInitramfs, type GuestFile } from './initramfs.ts';
import { findKernel, type Kernel } from './kernel.ts';
import { automaticMemoryMiB, machineDisks, qemuArguments, type Disk, type MachinePreset, type SharedDirectory } from './qemu.ts';
import type { QmpClient, QmpEvent } from './qmp.ts';
import { DESCRIPTORS, parentPrefix, startSession, type SessionResult } from './session.ts';
import { selectModules } from './select.ts';
import { extractVmlinux } from './vmlinux.ts';

export type { GuestFile } from './initramfs.ts';
export type { VmOutcome } from './session.ts';

export type VmOptions = {
  /** A series of Debian packages (`6.12`, `6.1`, `6.12-cloud`), the path of an image, or what findKernel gave. `6.12` when absent. */
  readonly kernel?: string | Kernel | undefined;
  /** The module tree that goes with an image. */
  readonly modulesDirectory?: string | undefined;
  /** Which modules the guest has: all of the tree, or those at these paths in it. */
  readonly modules?: 'all' | readonly string[] | undefined;
  /** Path globs that choose modules instead, closed over what they need: `kernel/fs/xfs/*`. */
  readonly include?: readonly string[] | undefined;
  /** A whole /lib/modules in one file, which the guest has in /boot instead of a tree. */
  readonly modulesFile?: string | undefined;
  /**
   * Directories of this machine that the guest mounts: by virtiofs where virtiofsd is installed, this process is root and the guest's kernel
   * knows it; else, and where they are read-only, by 9p, for which the guest needs the modules 9p and 9pnet_virtio.
   */
  readonly shares?: readonly HostShare[] | undefined;
  /** What the guest runs: a script for sh, or a program with its arguments. Nothing when absent: it boots and ends. */
  readonly command?: string | readonly string[] | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** `minimal` when absent. */
  readonly machine?: MachinePreset | undefined;
  /** MiB; computed from the image when absent. */
  readonly memoryMiB?: number | undefined;
  readonly cpus?: number | undefined;
  readonly cpu?: string | undefined;
  /** Values of QEMU's `-device`, after those of the machine. */
  readonly devices?: readonly string[] | undefined;
  readonly qemuArguments?: readonly string[] | undefined;
  /**
   * `pvh` starts the decompressed kernel, a second sooner. `bzimage` lets the kernel's own loader run first, which also asks the
   * firmware about the screen: without it there is no platform device for a VGA framebuffer.
   */
  readonly boot?: 'pvh' | 'bzimage' | undefined;
  /** An initramfs to boot as it is, instead of ours: there is no command then, and a guest that powers off has ended well. */
  readonly initrd?: string | undefined;
  /** Files that become disks of the guest. */
  readonly disks?: readonly GuestDisk[] | undefined;
  /** `auto` takes KVM where a guest really runs with it; `off` when absent. */
  readonly kvm?: 'auto' | 'off' | undefined;
  /** More kernel command line. */
  readonly append?: string | undefined;
  /** The Node of the guest: that of this process when absent, none when false. */
  readonly node?: string | false | undefined;
  /** The bundle of the CLI: dist/tskmod.cjs when absent and built, none when false. */
  readonly bundle?: string | false | undefined;
  readonly files?: readonly GuestFile[] | undefined;
  /** Directories whose contents go to the guest's root. */
  readonly overlays?: readonly string[] | undefined;
  /** kernel.modprobe: our modprobe (where the bundle is), `none`, or a path in the guest. */
  readonly helper?: 'ours' | 'none' | string | undefined;
  /** Where the files of `vmctl put` are written to, besides the result. */
  readonly outDirectory?: string | undefined;
  /** Of the guest, from its start; 120 when absent. */
  readonly timeoutSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A path for a second QMP server, for other programs. */
  readonly qmpSocket?: string | undefined;
  readonly cacheDirectory?: string | undefined;
  /** Takes what sends bytes to the console of the guest, as if they were typed there. */
  readonly onConsoleInput?: ((type: (bytes: Uint8Array) => void) => void) | undefined;
  readonly onConsole?: ((text: string) => void) | undefined;
  readonly onMark?: ((name: string, ms: number) => void) | undefined;
  readonly onQmpEvent?: ((event: QmpEvent) => void) | undefined;
  /** Called with one line before something slow is done. */
  readonly onProgress?: ((line: string) => void) | undefined;
};

export type HostShare = { readonly directory: string; readonly target: string; readonly readOnly: boolean };

/** `none` gives no device but only the node name `fileN`, N from 0, for one of the caller's. */
export type GuestDisk = { readonly file: string; readonly bus: 'virtio' | 'nvme' | 'none'; readonly readOnly: boolean };

export type VmResult = SessionResult & {
  /** Of the kernel; undefined for an image without a module tree. */
  readonly release: string | undefined;
  readonly memoryMiB: number;
  readonly initrdSize: number;
};

/** A guest that runs. */
export interface Vm {
  /** Of QEMU. */
  readonly pid: number;
  qmp(): Promise<QmpClient>;
  /** Resolves with the result when the guest has ended. Must be called: it also says what went wrong. */
  wait(): Promise<VmResult>;
  /** Ends the guest now; wait() then gives `gone`. */
  kill(): Promise<void>;
}

const DEFAULT_KERNEL = '6.12';
const DEFAULT_TIMEOUT_SECONDS = 120;
/** Of each disk. They are sparse, and mkfs.xfs refuses less than 300 MiB. */
const DISK_SIZE = 512 * 1024 * 1024;

/** Boots a guest, runs its command, and resolves with its result when it has ended. */
export async function runVm(options: VmOptions): Promise<VmResult> {
  return (await bootVm(options)).wait();
}

/**
 * Starts a guest. It never outlives this process, and leaves no file behind: QEMU holds what it needs open. Throws an
 * UnsupportedError that says what to install where QEMU, busybox or a kernel is missing, and with QEMU's words when it refuses a device.
 */
export async function bootVm(options: VmOptions): Promise<Vm> {
  if (process.arch !== 'x64') throw new UnsupportedError(`guests are x86-64 and share this machine's Node, which is ${process.arch}`);
  const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86');
  const { signal, machine = 'minimal' } = options;
  const cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory();
  const kernel = await chooseKernel(options, cacheDirectory);
  const image = options.boot === 'bzimage' ? undefined : await extractVmlinux(kernel.image, cacheDirectory);
  const directory = await mkdtemp(join(tmpdir(), 'tskmod-vm-'));
  const servers: FileServer[] = [];
  try {
    const modules = await chooseModules(options, kernel);
    await checkBundle(options, kernel);
    const shares = await servedShares(options, kernel, modules, directory, servers);
    const initrd = options.initrd ?? join(directory, 'initrd');
    const initrdSize = options.initrd === undefined
      ? await writeInitramfs(initrd, { ...options, shares, modules, kernel, cacheDirectory, command: options.command ?? '' })
      : statSync(initrd).size;
    const memoryMiB = options.memoryMiB ?? automaticMemoryMiB(initrdSize * (options.initrd !== undefined && isCompressed(initrd) ? COMPRESSED_FACTOR : 1));
    const guestDisks = (options.disks ?? []).map((disk, index) => ({ ...disk, name: `file${index}` }));
    const args = qemuArguments({
      machine, initrd, memoryMiB,
      kernel: image ?? kernel.image,
      append: options.append, cpus: options.cpus, cpu: options.cpu, qmpSocket: options.qmpSocket,
      accelerator: options.kvm === 'auto' && (await kvmWorks(qemu, signal)) ? 'kvm' : 'tcg',
      devices: [...guestDisks.flatMap(diskDevice), ...(options.devices ?? [])],
      shares,
      extra: options.qemuArguments,
      disks: [...(await makeDisks(machineDisks(machine), directory)), ...guestDisks.map(rawOrQcow2)],
      descriptors: DESCRIPTORS,
    });
    const session = await startSession({ ...options, mayPowerOff: options.initrd !== undefined, qemu, args, signal, timeoutMs: (options.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000 });
    return {
      pid: session.pid,
      qmp: () => session.qmp(),
      kill: () => session.kill(),
      wait: async () => ({ ...(await session.wait()), release: kernel.release, memoryMiB, initrdSize }),
    };
  } catch (error) {
    for (const server of servers) server.stop();
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * By virtiofs where virtiofsd runs here and the guest's kernel knows it; read-only ones by 9p, as virtiofsd writes what the guest asks it to.
 * Adds what it starts to `servers`.
 */
async function servedShares(options: VmOptions, kernel: Kernel, modules: VmOptions['modules'], directory: string, servers: FileServer[]): Promise<Share[]> {
  const shares = (options.shares ?? []).map((share, index) => ({ ...share, tag: `share${index}` }));
  const program = shares.length > 0 && options.initrd === undefined && knowsVirtiofs(kernel.modules, modules) ? findFileServer() : undefined;
  if (program === undefined) return shares;
  const prefix = await parentPrefix();
  return Promise.all(shares.map(async (share): Promise<Share> => {
    const socket = join(directory, `${share.tag}.socket`);
    const server = share.readOnly || !isServable(share.directory) ? undefined : await startFileServer(program, share.directory, socket, prefix);
    if (server === undefined) return share;
    servers.push(server);
    return { ...share, socket };
  }));
}

type Share = HostShare & SharedDirectory;

/** Of an initramfs that somebody compressed: what it comes to unpacked, roughly; a caller knows better. */
const COMPRESSED_FACTOR = 3;

function isCompressed(path: string): boolean {
  return !headOf(path).toString('latin1').startsWith('0707');
}

function headOf(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const head = Buffer.alloc(6);
    readSync(fd, head);
    return head;
  } finally {
    closeSync(fd);
  }
}

function rawOrQcow2({ name, file, readOnly }: GuestDisk & { readonly name: string }): Disk {
  return { name, file, readOnly, format: headOf(file).toString('latin1', 0, 3) === 'QFI' ? 'qcow2' : 'raw' };
}

function diskDevice({ name, bus }: GuestDisk & { readonly name: string }): string[] {
  switch (bus) {
    case 'virtio': return [`virtio-blk-pci,drive=${name}`];
    case 'nvme': return [`nvme,drive=${name},serial=${name}`];
    case 'none': return [];
  }
}

/** A node for KVM may be there and fail at the first instruction: a machine is made, runs for a moment, and says whether it still does. */
async function kvmWorks(qemu: string, signal: AbortSignal | undefined): Promise<boolean> {
  const commands = ['{"execute":"qmp_capabilities"}', '{"execute":"human-monitor-command","arguments":{"command-line":"info status"}}', '{"execute":"quit"}'];
  const probe = await runTool(qemu, ['-machine', 'q35,accel=kvm', '-cpu', 'host', '-m', '32', '-nodefaults', '-display', 'none', '-qmp', 'stdio'], {
    signal, input: Buffer.from(`${commands.join('\n')}\n`),
  });
  return probe.status === 0 && probe.stdout.includes('VM status: running');
}

async function chooseKernel(options: VmOptions, cacheDirectory: string): Promise<Kernel> {
  const { kernel = DEFAULT_KERNEL, modulesDirectory, signal, onProgress } = options;
  if (typeof kernel !== 'string') return kernel;
  return findKernel({ kernel, modules: modulesDirectory, cacheDirectory, signal, onProgress });
}

async function chooseModules({ include = [], modules }: VmOptions, kernel: Kernel): Promise<VmOptions['modules']> {
  if (include.length === 0) return modules;
  if (kernel.modules === undefined || kernel.release === undefined) throw new UnsupportedError('modules are to be included, but the kernel has no module directory');
  return selectModules(kernel.modules, kernel.release, include);
}

/** A guest would only say that it finds no module. Throws what opening an image throws, and UnsupportedError for one of another release. */
async function checkBundle({ modulesFile }: VmOptions, { release }: Kernel): Promise<void> {
  if (modulesFile === undefined || release === undefined) return;
  (await openImageSource(openSystem({ release }), modulesFile, release)).close?.();
}

async function makeDisks(names: readonly string[], directory: string): Promise<Disk[]> {
  return Promise.all(names.map(async (name) => {
    const file = join(directory, `${name}.raw`);
    const handle = await open(file, 'w');
    try {
      await handle.truncate(DISK_SIZE);
    } finally {
      await handle.close();
    }
    return { name, file };
  }));
}
