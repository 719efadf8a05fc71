// Which devices `udevadm trigger` means, and the order in which their events are asked for.

import { fnmatch } from '../kmod/alias.ts';

/** What is asked of a device. Only some questions read files. */
export type TriggerCandidate = {
  readonly devpath: string;
  readonly sysname: string;
  readonly subsystem: string | undefined;
  attribute(name: string): string | undefined;
  /** The kernel's and the database's. */
  properties(): ReadonlyMap<string, string>;
  /** All that it ever had. */
  tags(): ReadonlySet<string>;
  isInitialised(): boolean;
};

/** `FILE` or `FILE=VALUE`. */
export type AttributeMatch = { readonly name: string; readonly value: string | undefined };
/** `KEY=VALUE`. Without a value nothing matches. */
export type PropertyMatch = { readonly key: string; readonly value: string | undefined };

/** Subsystems, names and values are patterns of fnmatch(3), as are the keys of properties. What is empty asks nothing. */
export type TriggerFilter = {
  /** One of them. */
  readonly subsystems: readonly string[];
  /** None of them. */
  readonly notSubsystems: readonly string[];
  /** All of them. */
  readonly attributes: readonly AttributeMatch[];
  /** None of them. */
  readonly notAttributes: readonly AttributeMatch[];
  /** One of them. */
  readonly properties: readonly PropertyMatch[];
  /** One of them, literally. */
  readonly tags: readonly string[];
  /** One of them. */
  readonly sysnames: readonly string[];
  /** Devpaths: the device itself, or one above it. One of them. */
  readonly parents: readonly string[];
  readonly initialised: boolean | undefined;
};

const SLASH = 0x2f;

/** Whether a device passes. What has no subsystem never does. */
export function matchesFilter(device: TriggerCandidate, filter: TriggerFilter): boolean {
  const { subsystem, devpath, sysname } = device;
  if (subsystem === undefined) return false;
  const matchesOne = (patterns: readonly string[], text: string): boolean => patterns.some((pattern) => fnmatch(pattern, text));
  const isEmptyOr = (list: readonly unknown[], matches: () => boolean): boolean => list.length === 0 || matches();
  return isEmptyOr(filter.sysnames, () => matchesOne(filter.sysnames, sysname))
    && isEmptyOr(filter.subsystems, () => matchesOne(filter.subsystems, subsystem))
    && !matchesOne(filter.notSubsystems, subsystem)
    && isEmptyOr(filter.parents, () => filter.parents.some((parent) => isAtOrBelow(devpath, parent)))
    && isEmptyOr(filter.tags, () => filter.tags.some((tag) => device.tags().has(tag)))
    && (filter.initialised === undefined || device.isInitialised() === filter.initialised)
    && isEmptyOr(filter.properties, () => hasProperty(device.properties(), filter.properties))
    && filter.attributes.every((match) => hasAttribute(device, match))
    && !filter.notAttributes.some((match) => hasAttribute(device, match));
}

/**
 * udev's order: for each of the `first` subsystems its devices with those above them, then all others, each part by devpath, disks
 * that are made of disks at its end. Only devices of the list are in the result.
 */
export function triggerOrder<T extends Pick<TriggerCandidate, 'devpath' | 'subsystem'>>(devices: readonly T[], first: readonly string[] = []): readonly T[] {
  const left = new Map(devices.map((device) => [device.devpath, device]));
  const sorted: T[] = [];
  for (const subsystem of first) {
    const part = new Set<T>();
    for (const device of devices) {
      if (device.subsystem !== subsystem || !left.has(device.devpath)) continue;
      for (let path = device.devpath; path !== ''; path = path.slice(0, path.lastIndexOf('/'))) {
        const above = left.get(path);
        if (!above) continue;
        part.add(above);
        left.delete(path);
      }
    }
    sorted.push(...inOrder(part));
  }
  return [...sorted, ...inOrder(left.values())];
}

/**
 * Component by component: what is below a device comes before its neighbour, whatever the next character is. Without a copy of either: a
 * coldplug compares thousands.
 */
export function compareDevpaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === length) return a.length - b.length;
  const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
  if (x === SLASH) return -1;
  return y === SLASH ? 1 : x - y;
}

/** With the devices above those that passed (258's `--include-parents`): `all` are those that there are. */
export function withParents<T extends Pick<TriggerCandidate, 'devpath'>>(devices: readonly T[], all: readonly T[]): readonly T[] {
  const wanted = new Set<string>();
  for (const { devpath } of devices) {
    for (let path = devpath; path !== ''; path = path.slice(0, path.lastIndexOf('/'))) wanted.add(path);
  }
  return all.filter(({ devpath }) => wanted.has(devpath));
}

/** By path, those that are made of disks at the end. */
function inOrder<T extends { readonly devpath: string }>(devices: Iterable<T>): readonly T[] {
  const others: T[] = [];
  const late: T[] = [];
  for (const device of devices) (isMadeOfDisks(device.devpath) ? late : others).push(device);
  const compare = (x: T, y: T): number => compareDevpaths(x.devpath, y.devpath);
  return [...others.sort(compare), ...late.sort(compare)];
}

/** A RAID or device mapper's disk needs the others first. */
function isMadeOfDisks(devpath: string): boolean {
  return /\/block\/(?:md|dm-)/.test(devpath);
}

function isAtOrBelow(devpath: string, parent: string): boolean {
  return devpath === parent || devpath.startsWith(`${parent}/`);
}

function hasProperty(properties: ReadonlyMap<string, string>, matches: readonly PropertyMatch[]): boolean {
  for (const [key, value] of properties) {
    if (matches.some((match) => match.value !== undefined && fnmatch(match.key, key) && fnmatch(match.value, value))) return true;
  }
  return false;
}

function hasAttribute(device: TriggerCandidate, { name, value }: AttributeMatch): boolean {
  const found = device.attribute(name);
  return found !== undefined && (value === undefined || fnmatch(value, found));
}
