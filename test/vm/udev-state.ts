// What udev has left in a guest, as facts that can be compared: numbers that depend on the order of probing are taken out of them.

import { posix } from 'node:path';

/** What capture-state.mjs writes. */
export type Capture = {
  /** By path below /dev and below /run/udev. */
  readonly dev: Readonly<Record<string, Entry>>;
  readonly run: Readonly<Record<string, Entry>>;
  /** By the device's name in /run/udev/data. */
  readonly devpaths: Readonly<Record<string, string>>;
  readonly modules: readonly string[];
};

/** A fact by its name, `record /devices/…/block/sd* E:ID_BUS` → `scsi`. */
export type Facts = ReadonlyMap<string, string>;

type Entry = {
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  readonly target?: string;
  readonly text?: string;
  /** Of a node: `b8:0`. */
  readonly id?: string;
};

/** Names that are numbered as devices come, as they are in a devpath and in /dev. */
const NUMBERED: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/^(input|event|mouse|js|host|hidraw|card|controlC|virtio|usb|wakeup|i2c-|hwmon|sas_host|ata|link|mmc|mmcblk|ng|nvme|nvme-subsys|sr|sg|usbmon|vport)\d+$/, '$1*'],
  [/^sd[a-z]+(\d*)$/, 'sd*$1'],
  [/^(mmcblk|nvme|ng)\d+((?:c\d+)?n\d+(?:p\d+)?|p\d+|boot\d|rpmb)$/, '$1*$2'],
  [/^(hwC|pcmC)\d+(D\d+[cp]?)$/, '$1*$2'],
  [/^(target|port-|end_device-|phy-|dev|vport|mmc)?\d+([:.p][\d:a-f]+)$/, '$1*$2'],
  [/^\d+-([\d.]+(?::[\d.]+)?)$/, '*-$1'],
  [/^([\dA-F]{4}:[\dA-F]{4}:[\dA-F]{4})\.[\dA-F]{4}$/, '$1.*'],
];

/** Disks are counted as they come. */
const DISKSEQ = /^(disk\/by-diskseq\/)\d+/;

/** The UUIDs of an LVM group and of what is in it, one after the other: nobody can choose them. */
const MADE_UP = /\b[\dA-Za-z]{64}\b/g;

/** Throws an Error where two facts would have one name. */
export function factsOf(capture: Capture): Facts {
  const facts = new Map<string, string>();
  const add = (fact: string, says: string): void => {
    const [name = '', value = ''] = [fact, says].map((text) => text.replaceAll(MADE_UP, 'UUIDS'));
    if (facts.has(name)) throw new Error(`two facts are called ${name}: ${facts.get(name)} and ${value}`);
    facts.set(name, value);
  };
  const nameOf = deviceNames(capture.devpaths);
  for (const module of capture.modules) add(`module ${module}`, 'loaded');
  for (const [path, entry] of Object.entries(capture.dev)) addDevEntry(add, path, entry, capture.dev, nameOf);
  for (const [path, entry] of Object.entries(capture.run)) addRunEntry(add, path, entry, nameOf);
  return facts;
}

/** What differs, as a patch from theirs to ours. */
export function differences(theirs: Facts, ours: Facts): readonly string[] {
  const names = [...new Set([...theirs.keys(), ...ours.keys()])].sort();
  return names.filter((name) => theirs.get(name) !== ours.get(name)).flatMap((name) => [
    ...(theirs.has(name) ? [`- ${name} = ${theirs.get(name)}`] : []), ...(ours.has(name) ? [`+ ${name} = ${ours.get(name)}`] : []),
  ]);
}

type NameOf = (id: string) => string;
type Add = (name: string, value: string) => void;

/** Devices are called by their devpath without such numbers; those that are then alike, by their order. */
function deviceNames(devpaths: Capture['devpaths']): NameOf {
  const alike = new Map<string, string[]>();
  for (const devpath of new Set(Object.values(devpaths))) {
    const name = withoutNumbers(devpath);
    alike.set(name, [...alike.get(name) ?? [], devpath]);
  }
  const names = new Map<string, string>();
  for (const [name, paths] of alike) {
    paths.sort(new Intl.Collator('en', { numeric: true }).compare);
    for (const [index, devpath] of paths.entries()) names.set(devpath, paths.length === 1 ? name : `${name}(${index + 1})`);
  }
  return (id) => {
    const devpath = devpaths[id];
    return (devpath === undefined ? undefined : names.get(devpath)) ?? id;
  };
}

function withoutNumbers(path: string): string {
  return path.split('/').map((component) => {
    const found = NUMBERED.find(([pattern]) => pattern.test(component));
    return found ? component.replace(found[0], found[1]) : component;
  }).join('/');
}

function addDevEntry(add: Add, path: string, { type, mode, owner, target, id }: Entry, dev: Capture['dev'], nameOf: NameOf): void {
  if (type === 'l') {
    const pointed = dev[posix.join(posix.dirname(path), target ?? '')]?.id;
    const [, kind, number] = /^(char|block)\/(\d+:\d+)$/.exec(path) ?? [];
    const device = pointed === undefined ? target ?? '' : nameOf(pointed);
    const name = number !== undefined ? `${kind}/${nameOf(`${kind?.[0]}${number}`)}` : DISKSEQ.test(path) ? `${path.replace(DISKSEQ, '$1')} of ${device}` : path;
    add(`link ${name}`, device);
    return;
  }
  const rights = `${type} ${mode} ${owner}`;
  if (id === undefined) add(`entry ${path}`, rights);
  else if (nameOf(id) === id) add(`node ${path}`, `${rights} ${id}`);
  else add(`node ${nameOf(id)}`, `${path.startsWith('bus/usb/') ? 'bus/usb/*/*' : withoutNumbers(path)} ${rights}`);
}

function addRunEntry(add: Add, path: string, entry: Entry, nameOf: NameOf): void {
  const [directory = '', middle = '', last] = path.split('/');
  const rights = `${entry.type} ${entry.mode} ${entry.owner}`;
  if (directory === 'data' && middle !== '') {
    addRecord(add, `record ${nameOf(middle)}`, entry, rights, nameOf);
  } else if (directory === 'watch' && middle !== '') {
    // Each watch is there in both directions; its number says nothing.
    if (!/^\d+$/.test(middle)) add(`watch ${nameOf(middle)}`, rights);
  } else if (last !== undefined && last !== '.lock') {
    const [, priority, node] = /^(-?\d+):\/dev\/(.*)$/.exec(entry.target ?? '') ?? [];
    add(`${directory} ${middle} ${nameOf(last)}`, node === undefined ? `${rights} ${entry.text ?? ''}` : `${rights} ${priority}:${withoutNumbers(node)}`);
  } else {
    add(`run ${path}`, rights);
  }
}

function addRecord(add: Add, name: string, { text = '' }: Entry, rights: string, nameOf: NameOf): void {
  add(name, `${rights} ${text === '' ? 'empty' : 'filled'}`);
  for (const line of text.split('\n').filter(Boolean)) {
    const [, key = '', value = ''] = /^(E:[^=]*|\w:)=?(.*)$/.exec(line) ?? [];
    // When it came; what mdadm makes up for each disk; and a set each of links and tags.
    if (key === 'I:') add(`${name} I:`, 'some time');
    else if (/^E:ID_FS_UUID_SUB(?:_ENC)?$/.test(key)) add(`${name} ${key}`, value.replaceAll(/[\da-f]/g, 'x'));
    else if (key === 'E:ID_PART_ENTRY_DISK') add(`${name} ${key}`, nameOf(`b${value}`));
    else if ('SGQ'.includes(key.slice(0, 1))) add(`${name} ${key}${value.replace(DISKSEQ, '$1')}`, 'there');
    else add(`${name} ${key}`, value);
  }
}
