// Tests of the QEMU command line.

import { describe, expect, it } from 'vitest';

import { automaticMemoryMiB, machineDisks, qemuArguments, type QemuOptions } from '../../src/vm/qemu.ts';

const OPTIONS: QemuOptions = {
  machine: 'minimal', kernel: '/k/vmlinux', initrd: '/t/initrd', memoryMiB: 448, disks: [],
  descriptors: { console: 3, control: 4, qmp: 5 },
};

describe('qemuArguments', () => {
  it('gives a minimal machine three inherited sockets and nothing that QEMU adds by itself', () => {
    expect(qemuArguments(OPTIONS)).toEqual([
      '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
      '-machine', 'q35,accel=tcg', '-cpu', 'qemu64,+rdrand', '-smp', '1', '-m', '448',
      '-kernel', '/k/vmlinux', '-initrd', '/t/initrd', '-append', 'console=ttyS0 panic=-1 quiet mitigations=off',
      '-chardev', 'socket,id=console,fd=3', '-serial', 'chardev:console',
      '-chardev', 'socket,id=control,fd=4', '-serial', 'chardev:control',
      '-chardev', 'socket,id=qmp,fd=5', '-mon', 'chardev=qmp,mode=control',
    ]);
  });

  it('puts what the caller adds at the end, with the commas of paths doubled', () => {
    const args = qemuArguments({
      ...OPTIONS, cpus: 2, cpu: 'max', append: 'module_blacklist=dummy', qmpSocket: '/a,b', devices: ['virtio-rng-pci', 'nvme,drive=d'],
      disks: [{ name: 'd', file: '/t/x,y.raw' }], extra: ['-snapshot'],
    });
    expect(args.slice(args.indexOf('-cpu'), args.indexOf('-m'))).toEqual(['-cpu', 'max', '-smp', '2']);
    expect(args[args.indexOf('-append') + 1]).toBe('console=ttyS0 panic=-1 quiet mitigations=off module_blacklist=dummy');
    expect(args.slice(args.indexOf('-qmp'))).toEqual([
      '-qmp', 'unix:/a,,b,server=on,wait=off',
      '-blockdev', 'driver=raw,node-name=d,file.driver=file,file.filename=/t/x,,y.raw',
      '-device', 'virtio-rng-pci', '-device', 'nvme,drive=d', '-snapshot',
    ]);
  });

  it('gives q35 a device of each kind and ports to add more', () => {
    const args = qemuArguments({ ...OPTIONS, machine: 'q35' });
    expect(args.flatMap((arg, index) => (arg === '-device' ? [args[index + 1]?.split(',')[0]] : []))).toEqual([
      'pcie-root-port', 'pcie-root-port', 'pcie-root-port', 'pcie-root-port', 'e1000e', 'virtio-scsi-pci', 'scsi-hd', 'nvme',
      'qemu-xhci', 'usb-storage', 'intel-hda', 'hda-duplex',
    ]);
    expect(machineDisks('q35')).toEqual(['disk0', 'disk1', 'disk2', 'spare0', 'spare1']);
  });
});

describe('automaticMemoryMiB', () => {
  it('is what was measured to be enough, in steps of 64 MiB', () => {
    expect([0, 132e6, 516e6].map(automaticMemoryMiB)).toEqual([256, 704, 1792]);
  });
});
