// Machines on which our daemon and Debian's are compared, with disks from udev-images.ts.

import { join } from 'node:path';

import type { VmOptions } from '../../src/vm/vm.ts';

/** What a machine is made of; `images` is the directory of the images. */
export const UDEV_MACHINES: Readonly<Record<'preset' | 'storage' | 'peripherals' | 'volumes', (images: string) => VmOptions>> = {
  preset: () => ({ machine: 'q35' }),
  storage: (images) => ({
    machine: 'minimal',
    qemuArguments: [
      ...['gpt', 'mbr', 'ext4', 'btrfs', 'cd'].flatMap((name) => disk(images, name)),
      '-device', 'megasas,id=ms', '-device', 'scsi-hd,bus=ms.0,scsi-id=1,drive=gpt,serial=gpt 1', '-device', 'scsi-hd,bus=ms.0,scsi-id=2,drive=mbr,wwn=0x5000c50015ea71ad',
      '-device', 'mptsas1068', '-device', 'pvscsi,id=pv', '-device', 'scsi-hd,bus=pv.0,drive=ext4', '-device', 'lsi53c895a,id=lsi', '-device', 'scsi-hd,bus=lsi.0,scsi-id=2,drive=btrfs',
      '-device', 'virtio-scsi-pci,id=vs', '-device', 'scsi-cd,bus=vs.0,drive=cd',
    ],
  }),
  peripherals: (images) => ({
    machine: 'minimal',
    // It also claims the interfaces of cdc_ether's device: which of the two binds would be whichever the kernel takes first.
    append: 'modprobe.blacklist=cdc_subset',
    qemuArguments: [
      ...['gpt', 'mbr', 'ext4', 'btrfs', 'cd'].flatMap((name) => disk(images, name)),
      '-device', 'ide-hd,bus=ide.0,drive=gpt,serial=AHCI', '-device', 'ide-cd,bus=ide.2,drive=cd', '-device', 'virtio-blk-pci,drive=mbr,serial=vblk',
      '-device', 'qemu-xhci,id=xhci,p2=8,p3=8', '-device', 'usb-hub,bus=xhci.0,port=1', '-device', 'usb-kbd,bus=xhci.0,port=1.1', '-device', 'usb-mouse,bus=xhci.0,port=1.2',
      '-device', 'usb-tablet,bus=xhci.0,port=1.3', '-device', 'usb-storage,bus=xhci.0,drive=btrfs,port=2',
      '-netdev', 'user,id=n0,restrict=on', '-device', 'usb-net,bus=xhci.0,port=4,netdev=n0', '-netdev', 'user,id=n1,restrict=on', '-device', 'virtio-net-pci,netdev=n1,romfile=',
      '-chardev', 'null,id=c0', '-device', 'usb-serial,bus=xhci.0,port=5,chardev=c0',
      '-device', 'sdhci-pci', '-drive', `if=none,id=sd0,format=raw,snapshot=on,file=${join(images, 'ext4.img')}`, '-device', 'sd-card,drive=sd0',
      '-device', 'virtio-serial-pci', '-chardev', 'null,id=c1', '-device', 'virtserialport,chardev=c1,name=org.example.port',
      '-device', 'virtio-rng-pci', '-device', 'virtio-balloon-pci', '-device', 'virtio-tablet-pci', '-device', 'i6300esb',
    ],
  }),
  volumes: (images) => ({
    machine: 'minimal',
    qemuArguments: ['pv0', 'pv1', 'md0', 'md1'].flatMap((name) => [...disk(images, name), '-device', `virtio-blk-pci,drive=${name},serial=${name}`]),
  }),
};

/** What a guest writes to it is lost. */
function disk(images: string, name: string): readonly string[] {
  return ['-drive', `if=none,id=${name},format=raw,snapshot=on,file=${join(images, `${name}.img`)}`];
}
