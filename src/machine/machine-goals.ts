// What a machine must reach when it boots: its root disk, a keyboard, the network; as its recording has them.

import { UnsupportedError } from '../errors.ts';
import { OWN_ROOTS } from '../system.ts';
import { parseCapabilityBits } from '../udev/builtin/capability-bits.ts';
import { inputKinds } from '../udev/builtin/input-kind.ts';
import type { CapturedDevice } from '../udev/umockdev.ts';
import type { Recording } from './recording.ts';
import { networkRoot, type Program, type Request, rootLayers } from './root-layers.ts';

export const GOALS = ['root', 'keyboard', 'network'] as const;
export type Goal = (typeof GOALS)[number];

export type Target = {
  readonly goal: Goal;
  /** `/dev/sda2`, `eth0`, or the name of a keyboard. */
  readonly name: string;
  /** It and what it is made of, such as the disks of a volume group. */
  readonly devices: readonly CapturedDevice[];
  readonly requests: readonly Request[];
  /** What an initramfs must have for it. */
  readonly programs: readonly Program[];
};

/** File systems that are on no device of their own. */
const NO_DISK = /^(?:rootfs|none|overlay|tmpfs|ramfs|overlayroot)$/;
const TAG_LINKS: Readonly<Record<string, string>> = { UUID: 'by-uuid', LABEL: 'by-label', PARTUUID: 'by-partuuid', PARTLABEL: 'by-partlabel', ID: 'by-id' };
const TAG_PROPERTIES: Readonly<Record<string, string>> = { UUID: 'ID_FS_UUID', LABEL: 'ID_FS_LABEL', PARTUUID: 'ID_PART_ENTRY_UUID', PARTLABEL: 'ID_PART_ENTRY_NAME', ID: 'ID_SERIAL' };
/** Devices that are made of devices that are made of devices. */
const SLAVES_MAX = 64;

/** All targets of a recording; of a goal there may be several, or none. `root` is what root= would say. Throws UnsupportedError where the root disk is not found. */
export function goalsOf(recording: Recording, { goals, root }: { readonly goals: readonly Goal[]; readonly root?: string | undefined }): readonly Target[] {
  return goals.flatMap((goal) => (goal === 'root' ? [rootOf(recording, root)] : goal === 'keyboard' ? keyboardsOf(recording) : interfacesOf(recording)));
}

function rootOf(recording: Recording, given: string | undefined): Target {
  const [source = '', , type = '', options = ''] = textOf(recording, 'proc/mounts').split('\n')[0]?.split(' ') ?? [];
  const cmdline = textOf(recording, 'proc/cmdline');
  const command = /(?:^|\s)root=("[^"]*"|\S+)/.exec(cmdline)?.[1]?.replaceAll('"', '');
  const mounted = source === '' || NO_DISK.test(source) ? undefined : source;
  // /dev/root is the kernel's word for what root= named.
  const specs = given === undefined ? [mounted === `${OWN_ROOTS.dev}/root` ? undefined : mounted, command].filter((spec) => spec !== undefined) : [given];
  const network = given === undefined ? networkRoot(cmdline, source === '' ? undefined : { source, type, options }) : networkRoot(`root=${given}`, undefined);
  if (network) return { goal: 'root', ...network, devices: bootInterface(recording) };
  for (const spec of specs) {
    const device = findDisk(recording, spec);
    if (!device) continue;
    const fileSystem = device.record?.properties.get('ID_FS_TYPE') ?? (spec === mounted ? type : undefined);
    const devices = withSlaves(recording, device);
    const { requests: layers, programs } = rootLayers(devices, given === undefined ? cmdline : '');
    const requests = [...layers, ...(fileSystem ? [{ alias: `fs-${fileSystem}`, module: fileSystem, why: `file system ${fileSystem}` }] : [])];
    return { goal: 'root', name: `${OWN_ROOTS.dev}/${device.properties.get('DEVNAME') ?? ''}`, devices, requests, programs };
  }
  throw new UnsupportedError(specs.length === 0 ? 'the recording does not say which disk / is on: name it with --root' : `no disk of the recording is ${specs.join(' or ')}${given === undefined ? ': name it with --root' : ''}`);
}

function findDisk({ devices }: Recording, spec: string): CapturedDevice | undefined {
  const disks = devices.filter(({ subsystem, properties }) => subsystem === 'block' && properties.has('DEVNAME'));
  const [, tag = '', value = ''] = /^([A-Z]+)=(.+)$/.exec(spec) ?? [];
  if (Object.hasOwn(TAG_LINKS, tag)) {
    return disks.find(({ record }) => record?.properties.get(TAG_PROPERTIES[tag] ?? '') === value || record?.links.includes(`disk/${TAG_LINKS[tag]}/${value}`));
  }
  const name = spec.replace(/^\/dev\//, '');
  return disks.find(({ properties, record }) => properties.get('DEVNAME') === name || record?.links.includes(name));
}

/** The device and, breadth first, all that it is made of. */
function withSlaves({ devices }: Recording, disk: CapturedDevice): readonly CapturedDevice[] {
  const found = [disk];
  for (const device of found) {
    for (const name of device.links.keys()) {
      if (!name.startsWith('slaves/') || found.length >= SLAVES_MAX) continue;
      const slave = devices.find(({ subsystem, devpath }) => subsystem === 'block' && devpath.endsWith(`/${name.slice('slaves/'.length)}`));
      if (slave && !found.includes(slave)) found.push(slave);
    }
  }
  return found;
}

function keyboardsOf({ devices }: Recording): readonly Target[] {
  return devices.filter(isKeyboard).map((device) => ({ goal: 'keyboard', name: valueOf(device.attributes, 'name') || device.devpath, devices: [device], requests: [], programs: [] }));
}

/** As udev's input_id sees it, which a recording without a database does not tell. */
function isKeyboard({ subsystem, attributes }: CapturedDevice): boolean {
  if (subsystem !== 'input' || !attributes.has('capabilities/ev')) return false;
  const bits = (name: string) => parseCapabilityBits(valueOf(attributes, name));
  return inputKinds({
    ev: bits('capabilities/ev'), key: bits('capabilities/key'), rel: bits('capabilities/rel'), abs: bits('capabilities/abs'), properties: bits('properties'),
    bustype: Number.parseInt(valueOf(attributes, 'id/bustype') || '0', 16),
  }).includes('ID_INPUT_KEYBOARD');
}

/** The interface that was up, else the first: a root file system on the network came by one of them. */
function bootInterface(recording: Recording): readonly CapturedDevice[] {
  const devices = interfacesOf(recording).flatMap((target) => target.devices);
  const device = devices.find(({ attributes }) => valueOf(attributes, 'operstate') === 'up') ?? devices[0];
  if (!device) throw new UnsupportedError('/ is on the network, and the recording has no interface of hardware');
  return [device];
}

/** Interfaces of hardware. */
function interfacesOf({ devices }: Recording): readonly Target[] {
  return devices.filter(({ subsystem, devpath }) => subsystem === 'net' && !devpath.startsWith('/devices/virtual/'))
    .map((device) => ({ goal: 'network', name: device.devpath.slice(device.devpath.lastIndexOf('/') + 1), devices: [device], requests: [], programs: [] }));
}

function textOf({ files }: Recording, name: string): string {
  const content = files.get(name);
  return typeof content === 'string' ? content : '';
}

function valueOf(attributes: CapturedDevice['attributes'], name: string): string {
  const value = attributes.get(name);
  return typeof value === 'string' ? value.trim() : '';
}
