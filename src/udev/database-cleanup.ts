// `udevadm info --cleanup-db`: what the next udev shall not find, when an initramfs hands over to the system.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { databaseDirectory, deleteRecord, isInitialised, isPersistent, listRecords } from './database.ts';
import { isHidden } from './atomic-file.ts';

/** Removes all records but the persistent ones, and from the indexes of tags and links what no record is left for. */
export function cleanupDatabase(system: System): void {
  for (const id of listRecords(system)) if (!isPersistent(system, id)) deleteRecord(system, id);
  // Of writers that were killed.
  for (const name of entries(databaseDirectory(system)).filter(isHidden)) remove(system, join(databaseDirectory(system), name));
  for (const index of ['tags', 'links']) {
    const top = join(system.roots.run, 'udev', index);
    for (const name of entries(top)) {
      const ids = entries(join(top, name));
      const kept = ids.filter((id) => isInitialised(system, id));
      if (kept.length === 0) remove(system, join(top, name));
      // The lock stays: who holds it must not be joined by another one with a new lock.
      else for (const id of ids) if (!kept.includes(id) && !isHidden(id)) remove(system, join(top, name, id));
    }
  }
  for (const name of entries(join(system.roots.run, 'udev/static_node-tags'))) remove(system, join(system.roots.run, 'udev/static_node-tags', name));
}

function entries(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}

function remove(system: System, path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.warn({ code: 'cleanup-failed', message: `cannot remove ${path}: ${messageOf(error)}` });
  }
}
