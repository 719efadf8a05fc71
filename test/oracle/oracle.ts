// The real tools and real trees that ours is compared with.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

import { defaultCacheDirectory } from '../../src/vm/cache.ts';
import { findKernel } from '../../src/vm/kernel.ts';

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export type Run = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

/** Why comparisons with kmod cannot run here, or undefined. With CI=true that is a failure, not a reason. */
export function whyNoKmod(): string | undefined {
  if (KMOD !== undefined) return undefined;
  if (process.env['CI'] === 'true') throw new Error('CI needs Debian\'s kmod: apt-get install kmod');
  return 'kmod is not installed (apt-get install kmod)';
}

const KMOD = ['/sbin', '/usr/sbin', '/bin', '/usr/bin'].map((directory) => join(directory, 'modprobe')).find((path) => existsSync(path));

/** Debian's tool. */
export function runKmod(tool: string, args: readonly string[]): Run {
  return run(join(dirname(KMOD ?? ''), tool), args);
}

const links = mkdtempSync(join(tmpdir(), 'tsmodprobe-oracle-'));
afterAll(() => rmSync(links, { recursive: true, force: true }));

/** Ours, by a link of the tool's name, as a system would have it. */
export function runOurs(tool: string, args: readonly string[]): Run {
  const link = join(links, tool);
  if (!existsSync(link)) symlinkSync(join(top, 'dist/tskmod.cjs'), link);
  return run(process.execPath, [link, ...args]);
}

/** Any program, to its end. */
export function run(program: string, args: readonly string[]): Run {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'latin1', maxBuffer: 1 << 28, argv0: basename(program) });
  if (error) throw error;
  return { status, stdout, stderr };
}

export type Tree = { readonly release: string; /** What -d takes. */ readonly root: string; /** …/lib/modules/RELEASE */ readonly directory: string };

/** The module tree of Debian's newest kernel of a series, or why it is not to be had. */
export async function debianTree(series: string): Promise<Tree | string> {
  try {
    const { release, modules } = await findKernel({ kernel: series, cacheDirectory: defaultCacheDirectory() });
    if (release === undefined || modules === undefined) return `the package of ${series} has no modules`;
    return { release, root: dirname(dirname(dirname(modules))), directory: modules };
  } catch (error) {
    if (process.env['CI'] === 'true' && series !== '6.1') throw error;
    return error instanceof Error ? error.message : String(error);
  }
}
