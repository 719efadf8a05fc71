// Debian 13's kmod out of its packages, with its own C library: where the program, its loader and its libraries are.

import { realpathSync } from 'node:fs';
import { join } from 'node:path';

import { unpackedFromSuite } from '../../scripts/debian-package.mjs';

export type UnpackedKmod = { readonly program: string; readonly loader: string; readonly libraries: string };

/** Throws where the packages are not to be had. */
export function unpackedKmod34(): UnpackedKmod {
  const unpacked = unpackedFromSuite('trixie', ['kmod', 'libkmod2', 'libc6', 'liblzma5', 'libzstd1', 'libssl3t64', 'zlib1g']);
  const libraries = join(unpacked, 'usr/lib/x86_64-linux-gnu');
  return { program: join(unpacked, 'usr/bin/kmod'), loader: join(libraries, LOADER), libraries };
}

/** The words before its arguments, when it is called as `tool`. */
export const kmod34Command = ({ program, loader, libraries }: UnpackedKmod, tool: string): string[] => [loader, '--library-path', libraries, '--argv0', tool, program];

/** The files of it, with where a guest has them: in /kmod34. */
export function kmod34InGuest({ program, libraries }: UnpackedKmod): { source: string; target: string }[] {
  return [
    { source: realpathSync(program), target: `${IN_GUEST.program}` },
    ...LIBRARIES.map((name) => ({ source: realpathSync(join(libraries, name)), target: join(IN_GUEST.libraries, name) })),
  ];
}

/** As `unpackedKmod34` in a guest. */
export const IN_GUEST: UnpackedKmod = { program: '/kmod34/kmod', loader: '/kmod34/ld-linux-x86-64.so.2', libraries: '/kmod34' };

const LOADER = 'ld-linux-x86-64.so.2';
const LIBRARIES = [LOADER, 'libc.so.6', 'libkmod.so.2', 'liblzma.so.5', 'libzstd.so.1', 'libcrypto.so.3', 'libz.so.1'];
