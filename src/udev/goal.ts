// What a coldplug is for: a disk or a module, how it is recognised when it is there, and which devices may lead to it.

import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

import type { System } from '../system.ts';
import type { ModuleProber } from './load.ts';
import type { Scanned } from './scan.ts';
import { moduleIsLive } from './settle.ts';

export type Goal = {
  readonly text: string;
  isReached(): boolean;
  /** 0 leads there, 1 may be needed on the way, 2 is for other things. Devices of a later rank are left alone until the earlier ones are done. */
  rankOf(device: Scanned): 0 | 1 | 2;
};

export const RANKS = [0, 1, 2] as const;

/** The names of /dev/disk by the words of fstab(5). */
const TAGS: Readonly<Record<string, string>> = { UUID: 'by-uuid', LABEL: 'by-label', PARTUUID: 'by-partuuid', PARTLABEL: 'by-partlabel', ID: 'by-id' };

/** PCI base class 01 is storage, 0c03 USB controllers, 0805 SD hosts, 0604 bridges (linux/pci_ids.h). The kernel writes it without leading zeros. */
const NEAR_PCI_CLASS = /^(?:1[0-9A-F]{4}|C03[0-9A-F]{2}|805[0-9A-F]{2})$/;
const BRIDGE_PCI_CLASS = /^6[0-9A-F]{4}$/;
/** virtio_blk, virtio_scsi, virtio_fs, virtio_pmem (linux/virtio_ids.h). */
const NEAR_VIRTIO = /^virtio:d(?:00000002|00000008|0000001A|0000001B)v/;
/** Mass storage and hubs (USB class codes 08 and 09); UAS is 08 too. */
const NEAR_USB = /i?c0[89]/;

/** A link or node, `UUID=` and its like, or the name of a module. */
export function parseGoal(system: System, kmod: Pick<ModuleProber, 'plan'>, text: string): Goal {
  const [, tag = '', value = ''] = /^([A-Z]+)=(.+)$/s.exec(text) ?? [];
  const directory = Object.hasOwn(TAGS, tag) ? TAGS[tag] : undefined;
  if (directory !== undefined) return diskGoal(text, join(system.roots.dev, 'disk', directory, encodeLinkPart(value)));
  if (isAbsolute(text)) return diskGoal(text, text);
  return { text, isReached: () => moduleIsLive(system, text), rankOf: (device) => (leadsToModule(kmod, device, text) ? 0 : 2) };
}

function diskGoal(text: string, path: string): Goal {
  return { text, isReached: () => existsSync(path), rankOf: rankForDisk };
}

function rankForDisk({ subsystem, properties }: Scanned): 0 | 1 | 2 {
  const modalias = properties.get('MODALIAS') ?? '';
  const pciClass = properties.get('PCI_CLASS') ?? '';
  switch (subsystem) {
    case 'block': case 'scsi': case 'scsi_host': case 'nvme': case 'nvme-subsystem': case 'mmc': case 'mmc_host': case 'ata_port': case 'bdi':
      return 0;
    case 'pci':
      return NEAR_PCI_CLASS.test(pciClass) ? 0 : BRIDGE_PCI_CLASS.test(pciClass) ? 1 : 2;
    case 'virtio':
      return NEAR_VIRTIO.test(modalias) ? 0 : 2;
    case 'usb':
      return modalias === '' || NEAR_USB.test(modalias) ? 0 : 2;
    // What a disk controller on a board hangs on: clocks, regulators, phys.
    case 'platform': case 'acpi': case 'i2c': case 'spi': case 'amba':
      return 1;
    default:
      return 2;
  }
}

/** Whether the device asks for it, directly or as a dependency. A plan that cannot be made leads nowhere. */
function leadsToModule(kmod: Pick<ModuleProber, 'plan'>, { properties }: Scanned, module: string): boolean {
  const modalias = properties.get('MODALIAS');
  if (!modalias) return false;
  const name = module.replaceAll('-', '_');
  return kmod.plan(modalias, { useBlacklist: 'all' }).goals.some((goal) => (
    goal.module === name || goal.steps.some((step) => step.module === name)
  ));
}

/** Labels stand in links with everything but these as `\xNN` (libblkid's encoding). */
function encodeLinkPart(value: string): string {
  return value.replace(/[\0-\x7f]/g, (character) => (
    /[0-9A-Za-z#+\-.:=@_]/.test(character) ? character : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  ));
}
