// The files whose change makes the daemon read its configuration again: modprobe.d, rules, the module indexes, and images of modules.

import { statSync, watch as watchDirectory } from 'node:fs';
import { basename, dirname } from 'node:path';

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';

/** depmod writes a dozen files and editors write twice: one reload is enough for all. */
export const RELOAD_DEBOUNCE_MS = 300;

export type WatchOptions = {
  /** Configuration and rules directories; those that are not there yet are noticed when they come. */
  readonly directories: readonly string[];
  /** Directories of `modules.*`. Nothing below them is watched: a module tree has thousands of directories and files. */
  readonly indexDirectories?: readonly string[];
  /** Images of modules. */
  readonly files?: readonly string[];
  readonly onChange: (path: string) => void;
  /** RELOAD_DEBOUNCE_MS when absent. */
  readonly debounceMs?: number;
};

export interface ConfigWatch {
  close(): Promise<void>;
}

/** Resolves when the watches are set. Calls `onChange` with the last path that changed, after a quiet spell. */
export async function watchConfig(system: System, options: WatchOptions): Promise<ConfigWatch> {
  const { directories, indexDirectories = [], files = [], onChange, debounceMs = RELOAD_DEBOUNCE_MS } = options;
  const { watch } = await import('chokidar');
  const wanted = [...directories, ...indexDirectories];
  const starts = new Map(wanted.map((directory) => [directory, nearestDirectory(directory)]));
  // Only on the way to what is not there yet: /run/udev has /run/udev/rules.d, and changes with every event.
  const isOnTheWay = (path: string): boolean => [...starts].some(([directory, start]) => isWithin(path, start) && isWithin(directory, path));
  const isWatched = (path: string): boolean => (
    isOnTheWay(path)
    || directories.some((directory) => path.startsWith(`${directory}/`))
    || indexDirectories.some((directory) => path.startsWith(`${directory}/modules.`))
  );
  const watcher = watch([...new Set(starts.values())], {
    ignoreInitial: true,
    // The daemon lives by its socket; this must not keep it from exiting.
    persistent: false,
    // A masked file is a link to /dev/null, and that is not to be watched.
    followSymlinks: false,
    ignored: (path) => !isWatched(path),
  });
  let timer = new AbortController();
  const note = (path: string): void => {
    timer.abort();
    timer = new AbortController();
    const { signal } = timer;
    void system.clock.sleep(debounceMs, signal).then(() => onChange(path), (error: unknown) => {
      if (!signal.aborted) system.log.error({ code: 'watch-failed', message: messageOf(error) });
    });
  };
  watcher.on('all', (_event, path) => {
    // What is above a directory that is not there yet is only watched to see it come.
    if (!wanted.some((directory) => directory.startsWith(`${path}/`)) || wanted.includes(path)) note(path);
  });
  const warn = (error: unknown): void => {
    system.log.warn({ code: 'watch-failed', message: `watching the configuration: ${messageOf(error)}; send SIGHUP after a change` });
  };
  watcher.on('error', warn);
  // By the directory: who replaces a file renames another over it, and a watch of the file would stay with the old one.
  const images = files.map((file) => watchDirectory(dirname(file), { persistent: false }, (_event, name) => {
    if (name === basename(file)) note(file);
  }).on('error', warn));
  await new Promise<void>((resolve) => watcher.once('ready', resolve));
  system.log.debug({ code: 'watching', message: `watching ${[...wanted, ...files].join(', ')}` });
  return {
    async close() {
      timer.abort();
      for (const image of images) image.close();
      await watcher.close();
    },
  };
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);
}

/** The directory, or where it is not there yet the closest one above it: there it will show. */
function nearestDirectory(directory: string): string {
  const isThere = statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isThere || directory === dirname(directory) ? directory : nearestDirectory(dirname(directory));
}
