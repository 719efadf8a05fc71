// /run/udev/queue: there while an event is queued or runs; `udevadm settle` and libudev wait until it goes.

import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { makeDirectory, removeFile } from './atomic-file.ts';

/** Makes or removes the file. A failure is logged: it costs a settle its truth, and the daemon nothing. */
export function setQueueFile(system: System, isBusy: boolean): void {
  const path = `${system.roots.run}/udev/queue`;
  try {
    if (isBusy) touch(path);
    else removeFile(path);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.warn({ code: 'queue-file', message: `${path}: ${messageOf(error)}` });
  }
}

function touch(path: string): void {
  try {
    closeSync(openSync(path, 'a', 0o644));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    makeDirectory(dirname(path));
    closeSync(openSync(path, 'a', 0o644));
  }
}
