// mksquashfs: the installed one, or Debian's out of the cache.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { unpackedPackage } from '../../scripts/debian-package.mjs';
import { messageOf } from '../../src/errors.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { reasonOf, run } from './oracle.ts';

/** How to run it, or why it cannot be. */
export const mksquashfs = find();

function find(): ((args: readonly string[]) => void) | string {
  try {
    const installed = findTool('mksquashfs');
    return installed === undefined ? fromCache() : (args) => check(installed, args);
  } catch (error) {
    return reasonOf(`squashfs-tools: ${messageOf(error)}`);
  }
}

/** It needs liblzo2 besides the libraries that every Debian has. */
function fromCache(): (args: readonly string[]) => void {
  const program = join(unpackedPackage('squashfs-tools'), 'usr/bin/mksquashfs');
  const libraries = ['lib', 'usr/lib'].map((directory) => join(unpackedPackage('liblzo2-2'), directory, 'x86_64-linux-gnu')).filter((path) => existsSync(path));
  return (args) => check('/usr/bin/env', [`LD_LIBRARY_PATH=${libraries.join(':')}`, program, ...args]);
}

function check(program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = run(program, args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}${stdout}`);
}
