// Which files modprobe and depmod read for their configuration and which ones they pass over: the look around that lint does, and what it says of it.

import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { configDirectories, type ConfigOptions, isConfigName } from './config-files.ts';
import { type Finding, finding } from './lint-finding.ts';

/** What is in the directories. `by` is the file that is read in place of this one, `masks` says that that one is empty. */
export type SurveyedFile = {
  readonly path: string;
  /** Of a distribution, not of the administrator. */
  readonly vendor: boolean;
} & (
  | { readonly status: 'read'; readonly text: string }
  | { readonly status: 'shadowed'; readonly by: string; readonly masks: boolean }
  | { readonly status: 'name' | 'directory' | 'absent' }
  | { readonly status: 'unreadable'; readonly reason: string }
);

/** Of the default directories, the first two (etc and run) are the administrator's. */
const OWN_DIRECTORIES = 2;

/** What editors, packages and careful people leave behind: nobody expects such a file to be read. */
const LEFTOVER = /^(?:README|#)|~$|\.(?:bak|old|orig|rej|sw[a-p]|disabled|save|rpm(?:new|save|orig)|dpkg-[a-z]+|ucf-[a-z]+)$/i;

/** Looks at every file and directory in the order in which modprobe and depmod do. */
export function surveyConfig(system: System, options: ConfigOptions = {}, name: 'modprobe.d' | 'depmod.d' = 'modprobe.d'): SurveyedFile[] {
  const files: SurveyedFile[] = [];
  const taken = new Map<string, SurveyedFile>();
  const seen = new Set<string>();
  const add = (path: string, vendor: boolean) => {
    const name = basename(path);
    const first = taken.get(name);
    const file = first ? shadowed(path, vendor, first) : readConfigFile(path, vendor);
    if (!first) taken.set(name, file);
    files.push(file);
  };
  for (const [index, path] of (options.configPaths ?? configDirectories(system, name)).entries()) {
    const vendor = options.configPaths === undefined && index >= OWN_DIRECTORIES;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) {
      if (options.configPaths) files.push({ path, vendor, status: 'absent' });
      continue;
    }
    // lib and usr/lib are one directory on most machines.
    const real = realpathSync(path);
    if (seen.has(real)) continue;
    seen.add(real);
    if (!stat.isDirectory()) {
      add(path, vendor);
      continue;
    }
    for (const entry of readdirSync(path).sort()) {
      const file = join(path, entry);
      if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) files.push({ path: file, vendor, status: 'directory' });
      else if (!isConfigName(entry)) files.push({ path: file, vendor, status: 'name' });
      else add(file, vendor);
    }
  }
  return files;
}

/** What is to be said of the files themselves. */
export function lintFiles(files: readonly SurveyedFile[]): Finding[] {
  return files.flatMap((file) => {
    const source = { file: file.path };
    const name = basename(file.path);
    switch (file.status) {
      case 'shadowed': {
        const text = file.masks ? `masked: ${file.by} is empty and is read in its place` : `not read: ${file.by} has the same name and is read in its place`;
        // That is what files of the same name are for, but between two directories of one's own it is an accident.
        return finding(file.vendor ? 'note' : 'warning', 'shadowed-file', source, text);
      }
      case 'name': {
        if (name.startsWith('.')) return finding('note', 'unread-file', source, 'not read: the name begins with a dot');
        if (LEFTOVER.test(name)) return finding('note', 'unread-file', source, 'not read: the name does not end in .conf');
        return finding('warning', 'unread-file', source, `not read: the name does not end in .conf (rename it to ${name}.conf, or move it away)`);
      }
      case 'directory':
        return finding('warning', 'unread-directory', source, `not read: directories inside of ${basename(dirname(file.path))} are passed over, with all files in them`);
      case 'absent':
        return finding('warning', 'absent-path', source, 'no such file or directory');
      case 'unreadable':
        return finding('error', 'unreadable', source, `could not be read: ${file.reason}`);
      case 'read':
        return [];
    }
  });
}

function readConfigFile(path: string, vendor: boolean): SurveyedFile {
  try {
    return { path, vendor, status: 'read', text: readFileSync(path, 'latin1') };
  } catch (error) {
    return { path, vendor, status: 'unreadable', reason: codeOf(error) === 'ENOENT' ? 'the link leads nowhere' : messageOf(error) };
  }
}

function shadowed(path: string, vendor: boolean, by: SurveyedFile): SurveyedFile {
  return { path, vendor, status: 'shadowed', by: by.path, masks: by.status === 'read' && by.text.trim() === '' };
}
