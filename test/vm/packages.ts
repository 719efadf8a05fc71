// Debian's packages in a guest: unpacked over its root, with the libraries that this machine has.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { unpackedPackage } from '../../scripts/debian-package.mjs';
import type { GuestFile } from '../../src/vm/vm.ts';

/** What makes volumes and arrays. */
export const VOLUME_PACKAGES = ['lvm2', 'dmsetup', 'libdevmapper1.02.1', 'libdevmapper-event1.02.1', 'libaio1', 'libedit2', 'libbsd0', 'libmd0', 'mdadm'] as const;
export const VOLUME_PROGRAMS = ['sbin/lvm', 'sbin/dmsetup', 'sbin/mdadm'] as const;

/** The last one is systemd's own. */
const LIBRARY_DIRECTORIES = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu/systemd'];

/** `programs` are those of the packages, or of this machine, that the guest is to run: paths without a slash in front. */
export function packagesInGuest(packages: readonly string[], programs: readonly string[]): { readonly overlays: readonly string[]; readonly files: readonly GuestFile[] } {
  const overlays = packages.map((name) => unpackedPackage(name));
  const files = new Map<string, GuestFile>();
  const env = { ...process.env, LD_LIBRARY_PATH: overlays.flatMap((directory) => LIBRARY_DIRECTORIES.map((path) => join(directory, path))).join(':') };
  for (const program of programs) {
    const owner = overlays.find((directory) => existsSync(join(directory, program)));
    const path = join(owner ?? '/', program);
    if (owner === undefined) files.set(path, { source: path, target: path });
    const { stdout, stderr, status } = spawnSync('ldd', [path], { encoding: 'utf8', env });
    const missing = /(\S+) => not found/.exec(stdout);
    if (status !== 0 || missing) throw new Error(`ldd ${path}: ${missing?.[1] ?? stderr}`);
    for (const [, library = ''] of stdout.matchAll(/(?:=>|^)\s*(\/\S+) \(/gm)) {
      if (!overlays.some((directory) => library.startsWith(`${directory}/`))) files.set(library, { source: library, target: library });
    }
  }
  return { overlays, files: [...files.values()] };
}
