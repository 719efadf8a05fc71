// A small machine as text: a USB stick, a network interface, a host with a name, and two events.

export const RECORDING = String.raw`P: /devices/pci0000:00/0000:00:14.0
E: DRIVER=xhci_hcd
E: PCI_ID=8086:A36D
E: MODALIAS=pci:v00008086d0000A36Dsv00001849sd0000A36Dbc0Csc03i30
E: SUBSYSTEM=pci
A: vendor=0x8086
L: driver=../../../bus/pci/drivers/xhci_hcd

P: /devices/pci0000:00/0000:00:14.0/net/enx001122aabbcc
E: IFINDEX=3
E: INTERFACE=enx001122aabbcc
E: SUBSYSTEM=net
A: address=00:11:22:AA:BB:CC
A: broadcast=ff:ff:ff:ff:ff:ff

P: /devices/pci0000:00/0000:00:14.0/usb1
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
A: serial=0000:00:14.0

P: /devices/pci0000:00/0000:00:14.0/usb1/1-4/block/sda
N: sda
S: disk/by-id/usb-Maker_Stick_AA04012700007-0:0
S: disk/by-uuid/1234-ABCD
E: DEVNAME=/dev/sda
E: DEVTYPE=disk
E: MAJOR=8
E: MINOR=100
E: SUBSYSTEM=block
E: ID_FS_UUID=1234-ABCD
E: ID_FS_UUID_ENC=1234-ABCD
E: ID_SERIAL=Maker_Stick_AA04012700007
E: ID_SERIAL_SHORT=AA04012700007
E: ID_PART_TABLE_UUID=9ab31c2e-7c6b-4f51-8f0b-27f6f9a6c111
E: TAGS=:systemd:
E: CURRENT_TAGS=:systemd:
E: USEC_INITIALIZED=123456
A: device/serial=100
A: size=100

P: /devices/tsmodprobe
E: SUBSYSTEM=tsmodprobe
A: version=1\n
A: proc/cmdline=root=UUID=9ab31c2e-7c6b-4f51-8f0b-27f6f9a6c111 hostname=otter quiet\n
A: proc/modules=usb_storage 81920 0 - Live 0x0000000000000000\nxhci_hcd 344064 1 usb_storage, Live 0x0000000000000000\n
A: proc/sys/kernel/hostname=otter\n
A: proc/sys/kernel/osrelease=6.12.0-otter\n
A: sys/module/usb_storage/initstate=live\n
A: sys/module/usb_storage/refcnt=0\n
A: run/udev/data/b8:100=S:disk/by-id/usb-Maker_Stick_AA04012700007-0:0\nS:disk/by-uuid/1234-ABCD\nI:123456\nE:ID_FS_UUID=1234-ABCD\nE:ID_FS_UUID_ENC=1234-ABCD\nE:ID_SERIAL=Maker_Stick_AA04012700007\nE:ID_SERIAL_SHORT=AA04012700007\nE:ID_PART_TABLE_UUID=9ab31c2e-7c6b-4f51-8f0b-27f6f9a6c111\nG:systemd\nQ:systemd\nV:1\n
L: sys/bus/pci/drivers/xhci_hcd/module=../../../../module/xhci_hcd
A: event/000000=0.250000\nACTION=remove\nDEVPATH=/devices/pci0000:00/0000:00:14.0/usb1/1-4/block/sda\nSUBSYSTEM=block\nSEQNUM=7\n
A: event/000001=1.000001\nACTION=add\nDEVPATH=/devices/pci0000:00/0000:00:14.0/net/enx001122aabbcc\nSUBSYSTEM=net\nSEQNUM=8\n
`;
