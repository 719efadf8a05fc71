// The real tools and real trees that ours is compared with.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

import { messageOf } from '../../src/errors.ts';
import { defaultCacheDirectory } from '../../src/vm/cache.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { findKernel } from '../../src/vm/kernel.ts';
import { kmod34Command, unpackedKmod34 } from './kmod34.ts';

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const KMOD = ['/sbin', '/usr/sbin', '/bin', '/usr/bin'].map((directory) => join(directory, 'modprobe')).find((path) => existsSync(path));

export type Run = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

/** A kmod that ours is compared with. */
export type Kmod = {
  readonly name: string;
  /** Whether it is one that docs/deviations.md calls new: 34 and later. */
  readonly isNew: boolean;
  /** Why it cannot run here, or undefined. */
  readonly reason: string | undefined;
  run(tool: string, args: readonly string[]): Run;
  /** Many command lines, by one shell: a start of its own from here takes longer than the tool. */
  runAll(tool: string, lines: readonly (readonly string[])[]): Run[];
};

/** Debian 12's, installed. With CI=true its absence is a failure, not a reason. */
export const kmod30: Kmod = {
  name: 'kmod 30',
  isNew: false,
  reason: whyNoKmod(),
  run: (tool, args) => run(pathOf30(tool), args),
  runAll: (tool, lines) => runByShell([pathOf30(tool)], lines),
};

function pathOf30(tool: string): string {
  return tool === 'kmod' ? findTool(tool) ?? '' : join(dirname(KMOD ?? ''), tool);
}

/** Debian 13's, which is not installed: it runs out of the cache, with its own C library. */
export const kmod34: Kmod = newestKmod();

function whyNoKmod(): string | undefined {
  return KMOD === undefined ? reasonOf('kmod is not installed (apt-get install kmod)') : undefined;
}

function newestKmod(): Kmod {
  const head = { name: 'kmod 34', isNew: true };
  try {
    const unpacked = unpackedKmod34();
    const tools = {
      run: (tool: string, args: readonly string[]) => run(unpacked.loader, [...kmod34Command(unpacked, tool).slice(1), ...args]),
      runAll: (tool: string, lines: readonly (readonly string[])[]) => runByShell(kmod34Command(unpacked, tool), lines),
    };
    const { stdout, stderr } = tools.run('modprobe', ['--version']);
    const version = /^kmod version (\d+)/.exec(stdout)?.[1];
    if (version !== '34') return { ...head, reason: reasonOf(`Debian 13's kmod does not run here: ${stderr || stdout}`), ...tools };
    return { ...head, reason: undefined, ...tools };
  } catch (error) {
    return { ...head, reason: reasonOf(`Debian 13's kmod: ${messageOf(error)}`), run: () => ({ status: null, stdout: '', stderr: '' }), runAll: () => [] };
  }
}

/** A reason to skip, which with CI=true is a failure. */
export function reasonOf(reason: string): string {
  if (process.env['CI'] === 'true') throw new Error(reason);
  return reason;
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

function runByShell(command: readonly string[], lines: readonly (readonly string[])[]): Run[] {
  const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-lines-'));
  try {
    const quoted = (words: readonly string[]) => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    const script = lines.map((line, at) => `${quoted([...command, ...line])} > ${at}.out 2> ${at}.err; echo $?\n`);
    writeFileSync(join(directory, 'script'), `cd '${directory}'\n${script.join('')}`);
    const statuses = run('/bin/sh', [join(directory, 'script')]).stdout.trimEnd().split('\n');
    return lines.map((_, at) => ({ status: Number(statuses[at]), stdout: readFileSync(join(directory, `${at}.out`), 'latin1'), stderr: readFileSync(join(directory, `${at}.err`), 'latin1') }));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
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
