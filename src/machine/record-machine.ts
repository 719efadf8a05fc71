// Records the machine below a System: its devices, and the files that say which kernel runs, what it has loaded and what udev knows.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

import type { System } from '../system.ts';
import { captureDevice, unlessGone } from '../udev/capture.ts';
import type { CapturedDevice } from '../udev/umockdev.ts';
import { databaseDirectory } from '../udev/database.ts';
import { enumerate } from '../udev/enumerate.ts';
import { openMonitor } from '../udev/monitor.ts';
import { openDevice } from '../udev/sysfs-device.ts';
import type { Recording, RecordedEvent } from './recording.ts';

/** Of one file: what is longer is left out. */
export const RECORDED_FILE_MAX = 1 << 20;
/** Parameters of modules and such: one page. */
const SMALL_FILE_MAX = 4096;

/** What of /proc tells the kernel and its modules. */
const PROC_FILES = ['cmdline', 'filesystems', 'modules', 'sys/kernel/hostname', 'sys/kernel/osrelease'] as const;

/** All but the events. Throws as `enumerate` does. */
export async function recordMachine(system: System): Promise<Recording> {
  const files = new Map<string, string | Uint8Array>();
  const links = new Map<string, string>();
  const devices: CapturedDevice[] = [];
  for (const { devpath, subsystem, properties } of await enumerate(system)) {
    // For umockdev every device has a subsystem; rules see those without as parents.
    const device = subsystem === undefined ? undefined : openDevice(system, devpath, properties);
    if (device) devices.push(captureDevice(system, device));
    else files.set(`sys${devpath}/uevent`, [...properties].map(([key, value]) => `${key}=${value}\n`).join(''));
  }
  const { sys, proc } = system.roots;
  for (const name of PROC_FILES) addFile(files, `proc/${name}`, join(proc, name), RECORDED_FILE_MAX);
  addRootMount(files, proc);
  recordBuses(sys, files, links);
  recordModules(sys, files);
  const database = databaseDirectory(system);
  for (const id of namesIn(database)) addFile(files, `run/udev/data/${id}`, join(database, id), RECORDED_FILE_MAX);
  return { devices, files, links, events: [] };
}

export type Following = {
  /** Rejects when the socket fails. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
};

/** Tells of the kernel's events as they come. `start` is when the recording began. Throws SystemError where there is no socket. */
export async function followEvents(system: System, start: number, onEvent: (event: RecordedEvent) => void, onLost: () => void): Promise<Following> {
  let fail = (_error: Error): void => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const monitor = await openMonitor(system, {
    onEvent: ({ properties }) => onEvent({ ms: system.clock.now() - start, properties }), onLost, onError: (error) => fail(error),
  });
  return { failed, close: () => monitor.close() };
}

/** Which driver belongs to which module, and that a bus is none of the classes. */
function recordBuses(sys: string, files: Map<string, string | Uint8Array>, links: Map<string, string>): void {
  for (const bus of namesIn(join(sys, 'bus'))) {
    const below = `sys/bus/${bus}`;
    addFile(files, `${below}/drivers_autoprobe`, join(sys, 'bus', bus, 'drivers_autoprobe'), SMALL_FILE_MAX);
    for (const driver of namesIn(join(sys, 'bus', bus, 'drivers'))) {
      const target = linkTarget(join(sys, 'bus', bus, 'drivers', driver, 'module'));
      if (target !== undefined) links.set(`${below}/drivers/${driver}/module`, target);
    }
  }
}

function recordModules(sys: string, files: Map<string, string | Uint8Array>): void {
  for (const module of namesIn(join(sys, 'module'))) {
    const directory = join(sys, 'module', module);
    for (const name of ['initstate', 'refcnt']) addFile(files, `sys/module/${module}/${name}`, join(directory, name), SMALL_FILE_MAX);
    for (const name of namesIn(join(directory, 'parameters'))) {
      addFile(files, `sys/module/${module}/parameters/${name}`, join(directory, 'parameters', name), SMALL_FILE_MAX);
    }
  }
}

/** Where / comes from; the other mounts are nobody's business. */
function addRootMount(files: Map<string, string | Uint8Array>, proc: string): void {
  const text = unlessGone(() => readFileSync(join(proc, 'mounts'), 'utf8')) ?? '';
  const line = text.split('\n').findLast((each) => each.split(' ')[1] === '/');
  if (line !== undefined) files.set('proc/mounts', `${line}\n`);
}

function addFile(files: Map<string, string | Uint8Array>, name: string, path: string, maximum: number): void {
  const bytes = unlessGone(() => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    return stat?.isFile() && (stat.mode & 0o444) !== 0 ? readFileSync(path) : undefined;
  });
  if (bytes === undefined || bytes.length > maximum) return;
  const text = bytes.toString('utf8');
  files.set(name, /[^\P{Cc}\n\t]|\ufffd/u.test(text) ? bytes : text);
}

function namesIn(directory: string): readonly string[] {
  return unlessGone(() => readdirSync(directory).sort()) ?? [];
}

function linkTarget(path: string): string | undefined {
  return unlessGone(() => (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined));
}
