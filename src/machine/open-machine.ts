// A recording as a machine: a directory that looks like /, and a System on it.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

import { codeOf, LimitError } from '../errors.ts';
import type { NeedyMachine } from '../kmod/select.ts';
import { errnoByName, openSystem, scratchDirectories } from '../system.ts';
import type { Native, System, SystemOptions } from '../system.ts';
import { deviceId } from '../udev/device.ts';
import { writeMockSysfs } from '../udev/mock-sysfs.ts';
import { formatRecord } from '../udev/record-file.ts';
import { isSafeName } from '../udev/sysfs-attribute.ts';
import type { CapturedDevice } from '../udev/umockdev.ts';
import { parseRecording, RECORDING_MAX } from './recording.ts';
import type { Recording } from './recording.ts';

export type Machine = {
  readonly recording: Recording;
  /** The directory, without a slash at its end. */
  readonly root: string;
  /** The machine below `root`; modules and configuration are those of this machine unless `options` say otherwise. */
  openSystem(options?: SystemOptions): System;
  /** Removes the directory. */
  close(): void;
};

export type OpenMachineOptions = {
  /** What modules and modaliases need: no attributes, links, nodes and database, in a third of the time. */
  readonly modulesOnly?: boolean;
  /** Makes the System; ours when absent. */
  readonly open?: (options: SystemOptions) => System;
};

/** Files, links and attributes of one machine: a large one has a hundred thousand. */
export const MACHINE_FILES_MAX = 500_000;
/** Directories between a device and its attribute: `queue/iosched/…`. */
const ATTRIBUTE_DEPTH_MAX = 8;

/** Throws ParseError, LimitError, and what reading the file throws. */
export function readRecording(path: string): Recording {
  const { size } = statSync(path);
  if (size > RECORDING_MAX) throw new LimitError({ file: path, limit: 'RECORDING_MAX', maximum: RECORDING_MAX, actual: size });
  return parseRecording(readFileSync(path, 'utf8'), path);
}

/** What a selection of modules asks of a machine. */
export function machineNeeds(path: string): NeedyMachine {
  const devices = readRecording(path).devices.flatMap(({ devpath, properties }) => {
    const modalias = properties.get('MODALIAS');
    return modalias ? [{ devpath, modalias }] : [];
  });
  return { root: path, devices: devices.sort((a, b) => (a.devpath < b.devpath ? -1 : 1)) };
}

/**
 * A recording of ours, or of umockdev-record. sysfs, /proc, /run and the nodes are in a directory of their own, which `close` removes; a node
 * is a link to its device: nobody needs to be root to make one. What only the kernel of that machine could answer (ethtool) fails. Throws as
 * `readRecording`, and LimitError for more files than MACHINE_FILES_MAX.
 */
export function openMachine(path: string, { modulesOnly = false, open = openSystem }: OpenMachineOptions = {}): Machine {
  const recording = readRecording(path);
  const all = recording.files.size + recording.links.size + recording.devices.reduce((sum, { attributes, links }) => sum + attributes.size + links.size, 0);
  if (all > MACHINE_FILES_MAX) throw new LimitError({ file: path, limit: 'MACHINE_FILES_MAX', maximum: MACHINE_FILES_MAX, actual: all });
  const root = writeSomewhere((directory) => writeMachine(directory, recording, modulesOnly));
  const close = (): void => removeMachine(root);
  const release = releaseOf(recording);
  return {
    recording, root, close,
    openSystem(options = {}) {
      const system = open({ ...(release === undefined ? {} : { release }), ...options, roots: { ...rootsBelow(root), ...options.roots } });
      let native: Promise<Native> | undefined;
      return { ...system, native: () => (native ??= system.native().then(withoutKernel)) };
    },
  };
}

/** Interfaces of this machine may have the same names. */
function withoutKernel(native: Native): Native {
  const errno = errnoByName('ENODEV') ?? 19;
  return Object.create(native, { ethtoolDriver: { value: async () => ({ errno }) } }) as Native;
}

/** Undefined where the recording does not say. */
export function releaseOf({ files }: Recording): string | undefined {
  const text = files.get('proc/sys/kernel/osrelease');
  return typeof text === 'string' ? text.trim() : undefined;
}

function rootsBelow(root: string): { readonly sys: string; readonly proc: string; readonly dev: string; readonly run: string } {
  return { sys: join(root, 'sys'), proc: join(root, 'proc'), dev: join(root, 'dev'), run: join(root, 'run') };
}

/** In the first place that takes it all. */
function writeSomewhere(write: (root: string) => void): string {
  const places = scratchDirectories();
  for (const [index, place] of places.entries()) {
    let root: string | undefined;
    try {
      root = realpathSync(mkdtempSync(join(place, 'tskmod-machine-')));
      write(root);
      return root;
    } catch (error) {
      if (root !== undefined) rmSync(root, { recursive: true, force: true });
      if (index === places.length - 1 || !['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT'].includes(codeOf(error) ?? '')) throw error;
    }
  }
  throw new Error('no place was tried');
}

/** Of rmSync a third is asking what is a directory, which their listing tells. */
function removeMachine(root: string): void {
  const remove = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory()) remove(path);
      else unlinkSync(path);
    }
    rmdirSync(directory);
  };
  try {
    remove(root);
  } catch (error) {
    // Somebody else is in it, or was.
    if (codeOf(error) === undefined) throw error;
    rmSync(root, { recursive: true, force: true });
  }
}

function writeMachine(root: string, recording: Recording, modulesOnly: boolean): void {
  const { sys, dev } = rootsBelow(root);
  for (const directory of Object.values(rootsBelow(root))) mkdirSync(directory);
  mkdirSync(join(sys, 'devices'));
  const buses = new Set([...recording.files.keys(), ...recording.links.keys()].flatMap((name) => /^sys\/bus\/([^/]+)\//.exec(name)?.[1] ?? []));
  const devices = recording.devices.map((device) => ({
    ...device, attributes: new Map([...device.attributes].filter(([name]) => name.split('/').length <= ATTRIBUTE_DEPTH_MAX)),
  }));
  writeMockSysfs(sys, devices, { buses, ueventsOnly: modulesOnly });
  for (const [name, content] of recording.files) {
    if (!modulesOnly || OF_MODULES.test(name)) put(root, name, (path) => writeFileSync(path, content));
  }
  if (modulesOnly) return;
  for (const [name, target] of recording.links) {
    put(root, name, (path) => {
      if (resolve(dirname(path), target).startsWith(`${sys}/`)) symlinkSync(target, path);
    });
  }
  const hasDatabase = [...recording.files.keys()].some((name) => name.startsWith('run/udev/data/'));
  for (const device of recording.devices) {
    writeNode(dev, sys, device);
    if (!hasDatabase && device.record) writeDatabase(root, device, device.record);
  }
}

/** Devices without a subsystem are files, too. */
const OF_MODULES = /^(?:proc\/|sys\/devices\/|sys\/module\/[^/]+\/[^/]+$)/;

/** Nothing leaves the directory, and what is there already stays. */
function put(root: string, name: string, write: (path: string) => void): void {
  if (!isSafeName(name)) return;
  const path = join(root, name);
  try {
    mkdirSync(dirname(path), { recursive: true });
    if (realpathSync.native(dirname(path)) === dirname(path)) write(path);
  } catch (error) {
    if (!['EEXIST', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '')) throw error;
  }
}

function writeNode(dev: string, sys: string, { devpath, properties, record }: CapturedDevice): void {
  const name = properties.get('DEVNAME');
  if (name === undefined || !isSafeName(name)) return;
  const link = (to: string) => (path: string) => symlinkSync(relative(dirname(path), to), path);
  put(dev, name, link(sys + devpath));
  for (const each of record?.links ?? []) put(dev, each, link(join(dev, name)));
}

/** umockdev's recordings tell of the database by the properties of the devices. */
function writeDatabase(root: string, { devpath, subsystem, properties }: CapturedDevice, record: NonNullable<CapturedDevice['record']>): void {
  const number = (key: string): number | undefined => (/^[0-9]{1,10}$/.test(properties.get(key) ?? '') ? Number(properties.get(key)) : undefined);
  const [major, minor] = [number('MAJOR'), number('MINOR')];
  const id = deviceId({
    devpath, subsystem, ifindex: number('IFINDEX'), sysname: devpath.slice(devpath.lastIndexOf('/') + 1).replaceAll('!', '/'),
    devnum: major === undefined || minor === undefined ? undefined : { type: subsystem === 'block' ? 'block' : 'char', major, minor },
  });
  if (id !== undefined) put(root, `run/udev/data/${id}`, (path) => writeFileSync(path, formatRecord(record)));
}
