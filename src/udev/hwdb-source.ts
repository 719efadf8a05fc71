// Where the hardware database of a machine is, and reading it when it is first asked for and when it has changed.

import { readFileSync, statSync } from 'node:fs';

import { LimitError, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { HwdbFile } from './hwdb-file.ts';

/** The first that is there. Source: udevadm 252, which names them as it looks for them. */
export const HWDB_PLACES: readonly string[] = [
  'etc/systemd/hwdb/hwdb.bin', 'etc/udev/hwdb.bin', 'usr/lib/systemd/hwdb/hwdb.bin', 'lib/systemd/hwdb/hwdb.bin', 'lib/udev/hwdb.bin',
  'usr/lib/udev/hwdb.bin',
];

/** Debian's has 13 MB. */
const MAX_HWDB_SIZE = 512 * 1024 * 1024;

/** udev too looks for changes of its files at most this often, in milliseconds. */
const CHECK_INTERVAL = 3000;

/** Answers kept: every event of a device asks for the modaliases of its parents. */
const ANSWERS_MAX = 1024;

/** The hardware database of one machine. */
export interface HwdbSource {
  /** The properties of a modalias, or undefined where there is no database or it is damaged, which is logged once. */
  lookup(modalias: string): ReadonlyMap<string, string> | undefined;
}

/** Opens nothing yet. */
export function openHwdbSource(system: System): HwdbSource {
  /** Of an idle machine the collector takes it: 13 MB that a read of milliseconds brings back. */
  let current: { readonly stamp: string; readonly hwdb: WeakRef<HwdbFile> | undefined } | undefined;
  let nextCheck = -Infinity;
  const answers = new Map<string, ReadonlyMap<string, string>>();

  const hwdb = (): HwdbFile | undefined => {
    const now = system.clock.now();
    const known = current?.hwdb?.deref();
    if (current && now < nextCheck && (known || !current.hwdb)) return known;
    nextCheck = now + CHECK_INTERVAL;
    const place = findHwdb(system);
    const stamp = place === undefined ? '' : `${place.path} ${place.stamp}`;
    if (current?.stamp === stamp && (known || !current.hwdb)) return known;
    const opened = place && read(system, place.path, place.size);
    if (current?.stamp !== stamp) answers.clear();
    current = { stamp, hwdb: opened && new WeakRef(opened) };
    return opened;
  };

  return {
    lookup: (modalias) => {
      const open = hwdb();
      if (!open) return undefined;
      const known = answers.get(modalias);
      if (known) return known;
      try {
        const found = open.lookup(asBytes(modalias));
        const answer = new Map([...found].map(([key, value]) => [asText(key), asText(value)]));
        if (answers.size >= ANSWERS_MAX) answers.clear();
        answers.set(modalias, answer);
        return answer;
      } catch (error) {
        system.log.error({ code: 'bad-hwdb', message: messageOf(error) });
        // Not again for every device: only another file can help.
        current = { stamp: current?.stamp ?? '', hwdb: undefined };
        return undefined;
      }
    },
  };
}

function findHwdb(system: System): { readonly path: string; readonly stamp: string; readonly size: number } | undefined {
  for (const place of HWDB_PLACES) {
    const path = `${system.roots.config}/${place}`;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isFile()) return { path, stamp: `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeMs}`, size: stat.size };
  }
  return undefined;
}

function read(system: System, path: string, size: number): HwdbFile | undefined {
  try {
    if (size > MAX_HWDB_SIZE) throw new LimitError({ file: path, limit: 'size', maximum: MAX_HWDB_SIZE, actual: size });
    return new HwdbFile(readFileSync(path), path);
  } catch (error) {
    system.log.error({ code: 'bad-hwdb', file: path, message: messageOf(error) });
    return undefined;
  }
}

/** The database holds bytes; ours are read as one character each. Nearly all are ASCII. */
function asBytes(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

function asText(bytes: string): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}
