// Which files make up the configuration of modprobe, in which order, and reading them.

import { existsSync, readdirSync } from 'node:fs';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { parseKernelCmdline } from './cmdline.ts';
import { type Config, ConfigBuilder, parseConfig } from './config.ts';
import type { ModuleSource } from './module-source.ts';
import { isDirectory, readLatin1 } from './text-file.ts';

/** Earlier directories shadow later ones, by file name. Source: modprobe.d(5); usr/lib since kmod 32. */
export const CONFIG_DIRECTORIES = ['etc', 'run', 'usr/local/lib', 'usr/lib', 'lib'];

/** Lists that depmod gathered from the modules; kmod sorts them in among the files, by name. */
const LISTS_OF_MODULES = ['modules.softdep', 'modules.weakdep'] as const;

/** A configuration file that has not been read yet. */
export type ConfigFile = { readonly name: string; readonly path: string; read(): string };

export type ConfigOptions = {
  /** Files and directories to read instead of the default directories (`-C`). */
  readonly configPaths?: readonly string[] | undefined;
  /** Exactly kmod's behaviour, without our extensions and mended oversights (docs/deviations.md). */
  readonly strict?: boolean | undefined;
};

/** The directories that are read by default, whether they exist or not: what a daemon watches. */
export function configDirectories(system: System, name: 'modprobe.d' | 'depmod.d' = 'modprobe.d'): string[] {
  return CONFIG_DIRECTORIES.map((directory) => `${system.roots.config}/${directory}/${name}`);
}

/** Whether a file of this name in a configuration directory is read. */
export function isConfigName(name: string): boolean {
  return !name.startsWith('.') && name.endsWith('.conf') && name.length > '.conf'.length;
}

/** Reads all configuration: files, the lists of the module tree, then the kernel command line. Bad lines are logged. */
export function loadConfig(system: System, source: ModuleSource, options: ConfigOptions = {}): Config {
  const config = new ConfigBuilder();
  const files = listFiles(options.configPaths ?? configDirectories(system), system);
  for (const name of LISTS_OF_MODULES) {
    const list = source.readText(name);
    if (list !== undefined) files.push({ name, path: source.resolve(name), read: () => list });
  }
  files.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const file of files) {
    const text = readText(file, system);
    if (text !== undefined) parseConfig(text, file.path, config);
  }
  const cmdline = `${system.roots.proc}/cmdline`;
  const text = readText({ name: cmdline, path: cmdline, read: () => readLatin1(cmdline) }, system);
  if (text !== undefined) parseKernelCmdline(text, cmdline, config, { strict: options.strict ?? false });
  if (options.strict) config.deny.length = 0;
  for (const { file, line, message } of config.problems) system.log.error({ code: 'bad-line', file, line, message });
  return config;
}

/** The files that paths stand for: files as they are, of directories the *.conf; of two with one name the first. */
export function listFiles(paths: readonly string[], system: System): ConfigFile[] {
  const files = new Map<string, ConfigFile>();
  const add = (name: string, path: string) => {
    if (!files.has(name)) files.set(name, { name, path, read: () => readLatin1(path) });
  };
  for (const path of paths) {
    if (!isDirectory(path)) {
      // kmod says nothing of a path that is not there, whether it was given or is a default.
      if (existsSync(path)) add(path.slice(path.lastIndexOf('/') + 1), path);
      continue;
    }
    for (const entry of readdirSync(path)) {
      if (!isConfigName(entry)) continue;
      const file = `${path}/${entry}`;
      if (isDirectory(file)) {
        const message = `Directories inside directories are not supported: ${file}`;
        system.log.error({ code: 'nested-directory', file, message });
      } else {
        add(entry, file);
      }
    }
  }
  return [...files.values()];
}

/** Its text, or undefined where it has gone or cannot be read, which is logged. */
export function readText(file: ConfigFile, system: System): string | undefined {
  try {
    return file.read();
  } catch (error) {
    // A foreign root has no command line, and a dangling link in modprobe.d is as good as no file.
    if (codeOf(error) !== 'ENOENT') {
      system.log.warn({ code: 'unreadable', file: file.path, message: `could not read ${file.path}: ${messageOf(error)}` });
    }
    return undefined;
  }
}
