// Machines that have, between them, a device of each kind that builtins of udev tell apart.

import type { VmOptions } from '../../src/vm/vm.ts';

const drive = (name: string, options = ''): readonly string[] => ['-blockdev', `driver=null-co,node-name=${name},size=67108864,read-zeroes=on${options}`];
const drives = (...names: readonly string[]): readonly string[] => names.flatMap((name) => drive(name));

export const BUILTIN_MACHINES: Readonly<Record<string, VmOptions>> = {
  'disks': {
    machine: 'minimal',
    qemuArguments: [
      ...drives('h0', 'h1', 'h2', 'h3', 'm0', 'm1', 'l0', 's0', 's1', 's2', 'v0', 'v1', 'n0', 'n1', 'n2', 'a0', 'a1', 'p0', 'c0', 'd0'),
      '-device', 'virtio-scsi-pci,id=vs', '-device', 'scsi-hd,bus=vs.0,drive=h0,serial=one', '-device', 'scsi-hd,bus=vs.0,scsi-id=3,lun=5,drive=h1',
      '-device', 'scsi-hd,bus=vs.0,scsi-id=4,lun=300,drive=h2', '-device', 'scsi-cd,bus=vs.0,drive=h3',
      '-device', 'megasas,id=ms', '-device', 'scsi-hd,bus=ms.0,drive=m0', '-device', 'mptsas1068,id=mpt', '-device', 'scsi-hd,bus=mpt.0,drive=m1',
      '-device', 'lsi53c895a,id=lsi', '-device', 'scsi-hd,bus=lsi.0,scsi-id=2,drive=l0', '-device', 'pvscsi,id=pv', '-device', 'scsi-hd,bus=pv.0,drive=p0',
      '-device', 'virtio-blk-pci,drive=v0,serial=vblk', '-device', 'pcie-root-port,id=rp9,chassis=9', '-device', 'virtio-blk-pci,bus=rp9,drive=v1',
      '-device', 'nvme,id=nv,serial=nv0', '-device', 'nvme-ns,bus=nv,drive=n0,nsid=1', '-device', 'nvme-ns,bus=nv,drive=n1,nsid=7',
      '-device', 'nvme-subsys,id=sub0,nqn=sub0', '-device', 'nvme,serial=multi,subsys=sub0,id=nm', '-device', 'nvme-ns,bus=nm,drive=n2,nsid=2',
      '-device', 'ich9-ahci,id=ahci', '-device', 'ide-hd,bus=ahci.0,drive=a0', '-device', 'ide-cd,bus=ahci.2,drive=a1',
      '-device', 'piix4-ide,id=ide', '-device', 'ide-hd,bus=ide.0,unit=0,drive=c0', '-device', 'ide-hd,bus=ide.0,unit=1,drive=d0',
      '-device', 'sdhci-pci,id=sdh',
      '-drive', 'if=none,id=sd0,driver=null-co,size=67108864,read-zeroes=on', '-device', 'sd-card,drive=sd0',
    ],
  },
  'usb': {
    machine: 'minimal',
    qemuArguments: [
      ...drives('u0', 'u1', 'u2', 'u3'),
      '-device', 'qemu-xhci,id=xhci,p2=8,p3=8', '-device', 'usb-ehci,id=ehci', '-device', 'piix3-usb-uhci,id=uhci',
      '-device', 'usb-hub,bus=xhci.0,port=1', '-device', 'usb-kbd,bus=xhci.0,port=1.1', '-device', 'usb-mouse,bus=xhci.0,port=1.2',
      '-device', 'usb-tablet,bus=xhci.0,port=1.3', '-device', 'usb-wacom-tablet,bus=uhci.0', '-device', 'usb-storage,bus=xhci.0,drive=u0,port=2',
      '-device', 'usb-storage,bus=ehci.0,drive=u1,serial=AB C/1', '-device', 'usb-uas,bus=xhci.0,port=3,id=uas', '-device', 'scsi-hd,bus=uas.0,drive=u2',
      '-device', 'scsi-cd,bus=uas.0,drive=u3,lun=1', '-netdev', 'user,id=un,restrict=on', '-device', 'usb-net,bus=xhci.0,port=4,netdev=un',
      '-audiodev', 'none,id=au', '-device', 'usb-audio,bus=xhci.0,port=5,audiodev=au', '-device', 'usb-ccid,bus=xhci.0,port=6',
      '-chardev', 'null,id=cs', '-device', 'usb-serial,bus=xhci.0,port=7,chardev=cs', '-chardev', 'null,id=cb', '-device', 'usb-braille,bus=uhci.0,chardev=cb',
    ],
  },
  'server': {
    machine: 'q35',
    qemuArguments: [
      '-device', 'virtio-keyboard-pci', '-device', 'virtio-mouse-pci', '-device', 'virtio-tablet-pci', '-device', 'virtio-rng-pci',
      '-device', 'virtio-serial-pci', '-chardev', 'null,id=vc', '-device', 'virtserialport,chardev=vc,name=org.example.port',
      '-netdev', 'user,id=n1,restrict=on', '-device', 'virtio-net-pci,netdev=n1,romfile=', '-netdev', 'user,id=n2,restrict=on', '-device', 'e1000,netdev=n2,romfile=',
      '-netdev', 'user,id=n3,restrict=on', '-device', 'rtl8139,netdev=n3,romfile=', '-netdev', 'user,id=n4,restrict=on', '-device', 'vmxnet3,netdev=n4,romfile=',
      '-device', 'virtio-balloon-pci', '-device', 'i6300esb', '-device', 'pci-bridge,id=br,chassis_nr=20', '-netdev', 'user,id=n5,restrict=on',
      '-device', 'e1000,netdev=n5,bus=br,addr=3,romfile=',
    ],
  },
};
