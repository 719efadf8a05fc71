// Which .link files a machine has.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { parseLinkConfig } from './link-config.ts';
import type { LinkConfig } from './link-config.ts';

/** No .link file of a person comes near it. */
const MAX_LINK_FILE = 1024 * 1024;

/** Sorted by name over all directories; of files with one name the first directory's. Drop-in directories are read behind each. */
export function loadLinkConfigs(system: System): LinkConfig[] {
  const { config, run } = system.roots;
  const directories = [
    `${config}/etc/systemd/network`, `${run}/systemd/network`,
    ...['usr/local/lib', 'usr/lib', 'lib'].map((directory) => `${config}/${directory}/systemd/network`),
  ];
  return sortedFiles(directories, '.link').flatMap((path) => {
    const text = readText(system, path);
    // An empty file, or a link to the null device, only hides those behind it.
    if (text === undefined || text === '') return [];
    const dropIns = sortedFiles(directories.map((directory) => `${directory}/${basename(path)}.d`), '.conf');
    const parsed = parseLinkConfig([text, ...dropIns.map((file) => readText(system, file) ?? '')].join('\n'), path);
    for (const { line, message } of parsed.problems) system.log.warn({ code: 'bad-link-file', file: path, line, message: `${line === 0 ? path : `${path}:${line}`}: ${message}` });
    if (parsed.match.length === 0) {
      const message = `${path}: No valid settings found in the [Match] section, ignoring file. To match all interfaces, add OriginalName=*`;
      system.log.warn({ code: 'bad-link-file', file: path, message });
      return [];
    }
    return [parsed];
  });
}

function sortedFiles(directories: readonly string[], suffix: string): string[] {
  const files = new Map<string, string>();
  for (const directory of directories) {
    for (const name of namesIn(directory)) {
      if (name.endsWith(suffix) && !name.startsWith('.') && !files.has(name)) files.set(name, `${directory}/${name}`);
    }
  }
  return [...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw error;
    return [];
  }
}

function readText(system: System, path: string): string | undefined {
  try {
    const stat = statSync(path);
    if (!stat.isFile() || stat.size > MAX_LINK_FILE) return undefined;
    return readFileSync(path, 'utf8');
  } catch (error) {
    system.log.warn({ code: 'unreadable', file: path, message: `could not read ${path}: ${messageOf(error)}` });
    return undefined;
  }
}
