// The index of tags, /run/udev/tags: a directory for each, in it an empty file for each device that ever had it.

import { closeSync, openSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { isHidden, makeDirectory, removeFile } from './atomic-file.ts';
import { isDeviceId } from './database.ts';

/** As systemd makes them: read by everyone, written by nobody. */
const TAG_MODE = 0o444;

/** True for what may be the name of a tag, and a directory: tags are also read from files. */
export function isTag(tag: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/.test(tag) && tag.length <= 255;
}

/** Puts a device into the index of its tags, and takes it from those of `previous` that it no longer has. */
export function updateTags(system: System, id: string, tags: Iterable<string>, previous: Iterable<string>): void {
  if (!isDeviceId(id)) return;
  const wanted = new Set(tags);
  for (const tag of previous) if (!wanted.has(tag)) change(system, tag, id, removeFile);
  for (const tag of wanted) change(system, tag, id, touch);
}

/** The ids of the devices in the index of a tag. */
export function taggedDevices(system: System, tag: string): readonly string[] {
  if (!isTag(tag)) return [];
  try {
    return readdirSync(`${system.roots.run}/udev/tags/${tag}`).filter((name) => !isHidden(name) && isDeviceId(name)).sort();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') system.log.warn({ code: 'tag-unreadable', message: `tag ${tag}: ${messageOf(error)}` });
    return [];
  }
}

function change(system: System, tag: string, id: string, act: (path: string) => void): void {
  if (!isTag(tag)) return;
  const path = `${system.roots.run}/udev/tags/${tag}/${id}`;
  try {
    act(path);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.warn({ code: 'tag-failed', message: `tag ${tag} of ${id}: ${messageOf(error)}` });
  }
}

function touch(path: string): void {
  try {
    closeSync(openSync(path, 'ax', TAG_MODE));
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    if (codeOf(error) !== 'ENOENT') throw error;
    makeDirectory(dirname(path));
    closeSync(openSync(path, 'a', TAG_MODE));
  }
}
