// Tests of the QEMU command line.

import { describe, expect, it } from 'vitest';

import { automaticMemoryMiB, machineDisks, qemuArguments, type QemuOptions } from '../../src/vm/qemu.ts';

const OPTIONS: QemuOptions = {
  machine: 'minimal', kernel: '/k/vmlinux', initrd: '/t/initrd', memoryMiB: 448, disks: [],
  descriptors: { console: 3, control: 4, qmp: 5 },
};

describe('qemuArguments', () => {
  it('shares a directory by 9p, or by the socket of a virtiofsd, which then has the memory too', () => {
    const shares = [{ tag: 'a', directory: '/a,b', readOnly: true }, { tag: 'c', directory: '/c', readOnly: false, socket: '/t/c' }];
    const [without, by9p, both] = [[], shares.slice(0, 1), shares].map((some) => qemuArguments({ ...OPTIONS, shares: some }));
    const more = (args: readonly string[] | undefined) => args?.filter((word) => !without?.includes(word));
    expect(more(by9p)).toEqual(['-virtfs', 'local,path=/a,,b,mount_tag=a,security_model=none,multidevs=remap,readonly=on']);
    expect(more(both)?.slice(0, 3)).toEqual(['q35,accel=tcg,memory-backend=memory', '-object', 'memory-backend-memfd,id=memory,size=448M,share=on']);
    expect(both?.slice(both.indexOf('socket,id=c,path=/t/c') - 1)).toEqual(['-chardev', 'socket,id=c,path=/t/c', '-device', 'vhost-user-fs-pci,chardev=c,tag=c']);
  });

  it('gives a minimal machine three inherited sockets and nothing that QEMU adds by itself', () => {
    expect(qemuArguments(OPTIONS)).toEqual([
      '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
      '-machine', 'q35,accel=tcg', '-cpu', 'qemu64,+rdrand', '-smp', '1', '-m', '448',
      '-kernel', '/k/vmlinux', '-initrd', '/t/initrd', '-append', 'console=ttyS0 panic=-1 quiet mitigations=off no_timer_check',
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
    expect(args[args.indexOf('-append') + 1]).toBe('console=ttyS0 panic=-1 quiet mitigations=off no_timer_check module_blacklist=dummy');
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
