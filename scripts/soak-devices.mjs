// What can be plugged in a guest of the soak, where it goes, and what must be seen of it there.

/**
 * @typedef {{ pci: string } | { usb: number } | { scsi: number }} Place a root port by its address on bus 0; a port of the USB controller; an id on the SCSI controller
 * @typedef {{ id: string, kind: string, place: Place, drivers: readonly string[], subsystems: readonly string[], links: readonly string[] }} Plugged
 *   names of drivers and subsystems that must be at or below the device; names of links in /dev/disk, as text that they contain
 */

/** Addresses on bus 0, above those that QEMU gives by itself. */
const FIRST_PORT = 0x10;
const PCI_PORTS = 8;
const XHCI = '18';
const SCSI = '19';
const USB_PORTS = 8;
const SCSI_IDS = 6;
/** Backends: each serves one device at a time. */
export const DRIVES = 6;
const NETWORKS = 4;
const CHARACTERS = 3;

/**
 * `needs` is taken from a pool of backends, `most` is how many QEMU allows, and `args` are of device_add.
 * @type {Readonly<Record<string, { bus: 'pci' | 'usb' | 'scsi', args: Readonly<Record<string, unknown>>, needs?: 'drive' | 'netdev' | 'chardev', most?: number, drivers: readonly string[], subsystems?: readonly string[] }>>}
 */
export const KINDS = {
  rng: { bus: 'pci', args: { driver: 'virtio-rng-pci' }, drivers: ['virtio-pci', 'virtio_rng'] },
  net: { bus: 'pci', args: { driver: 'virtio-net-pci', romfile: '' }, needs: 'netdev', drivers: ['virtio-pci', 'virtio_net'], subsystems: ['net'] },
  blk: { bus: 'pci', args: { driver: 'virtio-blk-pci' }, needs: 'drive', drivers: ['virtio-pci', 'virtio_blk'], subsystems: ['block'] },
  hba: { bus: 'pci', args: { driver: 'virtio-scsi-pci' }, drivers: ['virtio-pci', 'virtio_scsi'], subsystems: ['scsi_host'] },
  balloon: { bus: 'pci', args: { driver: 'virtio-balloon-pci' }, most: 1, drivers: ['virtio-pci', 'virtio_balloon'] },
  serial: { bus: 'pci', args: { driver: 'virtio-serial-pci' }, drivers: ['virtio-pci', 'virtio_console'] },
  tablet: { bus: 'pci', args: { driver: 'virtio-tablet-pci' }, drivers: ['virtio-pci', 'virtio_input'], subsystems: ['input'] },
  e1000e: { bus: 'pci', args: { driver: 'e1000e', romfile: '' }, needs: 'netdev', drivers: ['e1000e'], subsystems: ['net'] },
  e1000: { bus: 'pci', args: { driver: 'e1000', romfile: '' }, needs: 'netdev', drivers: ['e1000'], subsystems: ['net'] },
  vmxnet3: { bus: 'pci', args: { driver: 'vmxnet3', romfile: '' }, needs: 'netdev', drivers: ['vmxnet3'], subsystems: ['net'] },
  nvme: { bus: 'pci', args: { driver: 'nvme' }, needs: 'drive', drivers: ['nvme'], subsystems: ['nvme', 'block'] },
  pvscsi: { bus: 'pci', args: { driver: 'pvscsi' }, drivers: ['vmw_pvscsi'], subsystems: ['scsi_host'] },
  sdhci: { bus: 'pci', args: { driver: 'sdhci-pci' }, drivers: ['sdhci-pci'], subsystems: ['mmc_host'] },
  'usb-keyboard': { bus: 'usb', args: { driver: 'usb-kbd' }, drivers: ['usb', 'usbhid', 'hid-generic'], subsystems: ['input', 'hidraw'] },
  'usb-mouse': { bus: 'usb', args: { driver: 'usb-mouse' }, drivers: ['usb', 'usbhid', 'hid-generic'], subsystems: ['input'] },
  'usb-tablet': { bus: 'usb', args: { driver: 'usb-tablet' }, drivers: ['usb', 'usbhid', 'hid-generic'], subsystems: ['input'] },
  'usb-storage': { bus: 'usb', args: { driver: 'usb-storage' }, needs: 'drive', drivers: ['usb', 'usb-storage', 'sd'], subsystems: ['block'] },
  'usb-serial': { bus: 'usb', args: { driver: 'usb-serial', 'always-plugged': true }, needs: 'chardev', drivers: ['usb', 'ftdi_sio'], subsystems: ['tty'] },
  'usb-net': { bus: 'usb', args: { driver: 'usb-net' }, needs: 'netdev', drivers: ['usb'], subsystems: ['net'] },
  'usb-hub': { bus: 'usb', args: { driver: 'usb-hub' }, drivers: ['usb', 'hub'] },
  'usb-audio': { bus: 'usb', args: { driver: 'usb-audio', audiodev: 'audio0' }, most: 2, drivers: ['usb', 'snd-usb-audio'], subsystems: ['sound'] },
  disk: { bus: 'scsi', args: { driver: 'scsi-hd' }, needs: 'drive', drivers: ['sd'], subsystems: ['block'] },
};

/** A bus that is unplugged by QEMU alone: a device may go while it is still being looked at. */
export const SUDDEN_BUSES = ['usb', 'scsi'];

/**
 * Options of runVm for the machine: the preset with a device of each common kind, and places for more.
 * @param {string} directory of the images
 */
export function soakMachine(directory) {
  const ports = Array.from({ length: PCI_PORTS }, (_, index) => `pcie-root-port,id=port${index},chassis=${index + 10},slot=${index + 10},addr=0x${(FIRST_PORT + index).toString(16)}`);
  return {
    machine: /** @type {const} */ ('q35'),
    devices: [...ports, `qemu-xhci,id=soakusb,addr=0x${XHCI},p2=${USB_PORTS},p3=${USB_PORTS}`, `virtio-scsi-pci,id=soakscsi,addr=0x${SCSI}`],
    qemuArguments: [
      ...times(DRIVES, (index) => ['-blockdev', `driver=raw,node-name=drive${index},file.driver=file,file.filename=${directory}/drive${index}.img`]),
      ...times(NETWORKS, (index) => ['-netdev', `user,id=netdev${index},restrict=on`]),
      ...times(CHARACTERS, (index) => ['-chardev', `null,id=chardev${index}`]),
    ],
  };
}

/** Free places and backends, and what is plugged in. */
export class Bench {
  /** @type {Map<string, Plugged & { resources: readonly [pool: string, index: number][] }>} */
  plugged = new Map();
  pools = { pci: numbers(PCI_PORTS), usb: numbers(USB_PORTS), scsi: numbers(SCSI_IDS), drive: numbers(DRIVES), netdev: numbers(NETWORKS), chardev: numbers(CHARACTERS) };
  /** @type {(readonly [pool: string, index: number])[]} */
  vacated = [];
  count = 0;

  /** The kinds that there is room for. */
  possible() {
    return Object.keys(KINDS).filter((name) => {
      const { bus, needs, most = Infinity } = KINDS[name];
      const alike = [...this.plugged.values()].filter(({ kind }) => kind === name).length;
      return this.pools[bus].length > 0 && (needs === undefined || this.pools[needs].length > 0) && alike < most;
    });
  }

  /**
   * Takes what a device of the kind needs. Each has a serial number and an address that none had before: what is kept of it for ever
   * then grows for ever.
   * @param {string} kind @param {(below: number) => number} random
   */
  take(kind, random) {
    const { bus, args, needs, drivers, subsystems = [] } = KINDS[kind];
    const number = ++this.count;
    const id = `soak${number}`;
    const at = this.draw(bus, random);
    const backend = needs === undefined ? undefined : this.draw(needs, random);
    const place = bus === 'pci' ? { pci: `0000:00:${(FIRST_PORT + at).toString(16)}.0` } : bus === 'usb' ? { usb: at + 1 } : { scsi: at };
    const where = bus === 'pci' ? { bus: `port${at}` } : bus === 'usb' ? { bus: 'soakusb.0', port: String(at + 1) } : { bus: 'soakscsi.0', 'scsi-id': at };
    const behind = needs === 'drive' ? { drive: `drive${backend}`, serial: id } : needs === 'netdev' ? { netdev: `netdev${backend}`, mac: macAddress(number) }
      : needs === 'chardev' ? { chardev: `chardev${backend}` } : {};
    const links = needs === 'drive' ? [`/dev/disk/by-id/${id}`, `/dev/disk/by-label/LABEL${backend}`] : [];
    this.plugged.set(id, { id, kind, place, drivers, subsystems, links, resources: [[bus, at], ...(needs === undefined ? [] : [[needs, backend]])] });
    return { ...args, ...where, ...behind, id };
  }

  /**
   * What it took can be taken again after `release`: a guest goes on switching a slot off after QEMU has let go of the device in it, and what is
   * put there meanwhile goes as well.
   * @param {string} id
   */
  remove(id) {
    this.vacated.push(...(this.plugged.get(id)?.resources ?? []));
    this.plugged.delete(id);
  }

  /** When the guest has nothing left to do for what was removed. */
  release() {
    for (const [pool, index] of this.vacated) this.pools[pool].push(index);
    this.vacated = [];
  }

  /** @param {'pci' | 'usb' | 'scsi' | 'drive' | 'netdev' | 'chardev'} name @param {(below: number) => number} random */
  draw(name, random) {
    const pool = this.pools[name].sort((a, b) => a - b);
    return pool.splice(random(pool.length), 1)[0] ?? 0;
  }
}

/** The controllers that the guest finds USB and SCSI devices below. */
export const CONTROLLERS = { usb: `0000:00:${XHCI}.0`, scsi: `0000:00:${SCSI}.0` };

function macAddress(number) {
  return `52:54:01:${[16, 8, 0].map((shift) => ((number >> shift) & 0xff).toString(16).padStart(2, '0')).join(':')}`;
}

function numbers(count) {
  return Array.from({ length: count }, (_, index) => index);
}

function times(count, make) {
  return numbers(count).flatMap(make);
}
