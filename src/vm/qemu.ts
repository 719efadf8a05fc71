// The command line of qemu-system-x86_64, as a pure function, and the machines that it can describe.

/** A machine with no devices but its chipset and serial lines, or one with a device of each common kind. */
export type MachinePreset = 'minimal' | 'q35';

/** A disk that a device is to be made of: `-device nvme,drive=NAME`. */
export type Disk = { readonly name: string; readonly file: string; readonly format?: 'raw' | 'qcow2'; readonly readOnly?: boolean };

/** A directory of the host that a guest sees under its tag: by virtiofs through the socket of a virtiofsd, or by 9p. */
export type SharedDirectory = { readonly tag: string; readonly directory: string; readonly readOnly: boolean; readonly socket?: string | undefined };

export type QemuOptions = {
  readonly machine: MachinePreset;
  /** A bzImage or an ELF vmlinux with a PVH entry point. */
  readonly kernel: string;
  readonly initrd: string;
  /** More kernel command line, after ours. */
  readonly append?: string | undefined;
  readonly memoryMiB: number;
  readonly cpus?: number | undefined;
  /** `qemu64,+rdrand` when absent: without rdrand the first getrandom(2) of a guest waits for a second. */
  readonly cpu?: string | undefined;
  readonly disks: readonly Disk[];
  readonly shares?: readonly SharedDirectory[] | undefined;
  /** `tcg` when absent. */
  readonly accelerator?: 'kvm' | 'tcg' | undefined;
  /** Values of `-device`, after those of the machine. */
  readonly devices?: readonly string[] | undefined;
  /** A path for a second QMP server. */
  readonly qmpSocket?: string | undefined;
  /** More arguments, after everything else. */
  readonly extra?: readonly string[] | undefined;
  /** The inherited sockets of ttyS0, ttyS1 and QMP. */
  readonly descriptors: { readonly console: number; readonly control: number; readonly qmp: number };
};

/** `-m auto`: a guest's root is a tmpfs of half of what is left beside the image, and Node wants 256 MiB. Measured. */
const MEMORY_FACTOR = 3.1;
const MEMORY_BASE_MIB = 256;
const MEMORY_STEP_MIB = 64;

/** The root ports of `q35` that a PCI device can be hot-added to: `device_add virtio-rng-pci,bus=rp0`. */
export const HOTPLUG_PORTS = ['rp0', 'rp1', 'rp2', 'rp3'] as const;

const MACHINES: Readonly<Record<MachinePreset, { readonly disks: readonly string[]; readonly args: readonly string[] }>> = {
  minimal: { disks: [], args: [] },
  q35: {
    disks: ['disk0', 'disk1', 'disk2', 'spare0', 'spare1'],
    args: [
      ...HOTPLUG_PORTS.flatMap((id, index) => ['-device', `pcie-root-port,id=${id},chassis=${index + 1},slot=${index + 1}`]),
      // The NIC has a link and reaches nothing. romfile= saves the firmware its network boot.
      '-netdev', 'user,id=net0,restrict=on',
      '-device', 'e1000e,netdev=net0,romfile=',
      '-device', 'virtio-scsi-pci,id=scsi0',
      '-device', 'scsi-hd,bus=scsi0.0,drive=disk0',
      '-device', 'nvme,drive=disk1,serial=disk1',
      '-device', 'qemu-xhci,id=xhci',
      '-device', 'usb-storage,bus=xhci.0,drive=disk2',
      '-audiodev', 'none,id=audio0',
      '-device', 'intel-hda,id=hda',
      '-device', 'hda-duplex,bus=hda.0,audiodev=audio0',
    ],
  },
};

/** The names of the presets. */
export const MACHINE_PRESETS: readonly MachinePreset[] = ['minimal', 'q35'];

/** The names of the disks that a machine needs: its own, and `spare*` for devices that are added while it runs. */
export function machineDisks(machine: MachinePreset): readonly string[] {
  return MACHINES[machine].disks;
}

/** MiB of memory that a guest needs to unpack and use an initramfs of so many bytes. */
export function automaticMemoryMiB(initrdSize: number): number {
  const needed = (initrdSize * MEMORY_FACTOR) / 2 ** 20 + MEMORY_BASE_MIB;
  return Math.ceil(needed / MEMORY_STEP_MIB) * MEMORY_STEP_MIB;
}

/** The arguments of qemu-system-x86_64. A guest ends with its command: it never reboots, and a panic ends it too. */
export function qemuArguments(options: QemuOptions): string[] {
  const { descriptors, accelerator = 'tcg' } = options;
  // A virtiofsd reads and writes the guest's memory.
  const isShared = options.shares?.some(({ socket }) => socket !== undefined) === true;
  return [
    '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
    '-machine', `q35,accel=${accelerator}${isShared ? ',memory-backend=memory' : ''}`,
    ...(isShared ? ['-object', `memory-backend-memfd,id=memory,size=${options.memoryMiB}M,share=on`] : []),
    '-cpu', options.cpu ?? (accelerator === 'kvm' ? 'host' : 'qemu64,+rdrand'),
    '-smp', String(options.cpus ?? 1),
    '-m', String(options.memoryMiB),
    '-kernel', options.kernel,
    '-initrd', options.initrd,
    // An emulated timer is late on a busy machine, and the kernel would take it for broken wiring.
    '-append', ['console=ttyS0', 'panic=-1', 'quiet', 'mitigations=off', 'no_timer_check', options.append ?? ''].join(' ').trim(),
    '-chardev', `socket,id=console,fd=${descriptors.console}`, '-serial', 'chardev:console',
    '-chardev', `socket,id=control,fd=${descriptors.control}`, '-serial', 'chardev:control',
    '-chardev', `socket,id=qmp,fd=${descriptors.qmp}`, '-mon', 'chardev=qmp,mode=control',
    ...(options.qmpSocket === undefined ? [] : ['-qmp', `unix:${escapeCommas(options.qmpSocket)},server=on,wait=off`]),
    ...options.disks.flatMap(({ name, file, format = 'raw', readOnly = false }) => [
      '-blockdev', `driver=${format},node-name=${name}${readOnly ? ',read-only=on' : ''},file.driver=file,file.filename=${escapeCommas(file)}`,
    ]),
    ...(options.shares ?? []).flatMap(({ tag, directory, readOnly, socket }) => (socket === undefined ? [
      '-virtfs', `local,path=${escapeCommas(directory)},mount_tag=${tag},security_model=none,multidevs=remap${readOnly ? ',readonly=on' : ''}`,
    ] : ['-chardev', `socket,id=${tag},path=${escapeCommas(socket)}`, '-device', `vhost-user-fs-pci,chardev=${tag},tag=${tag}`])),
    ...MACHINES[options.machine].args,
    ...(options.devices ?? []).flatMap((device) => ['-device', device]),
    ...(options.extra ?? []),
  ];
}

/** A comma ends the value of an option unless it is doubled. */
function escapeCommas(value: string): string {
  return value.replaceAll(',', ',,');
}
