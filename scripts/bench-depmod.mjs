// depmod and modinfo on Debian's module trees beside kmod's: time as ratios in one run, and our peak memory.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inTurns } from './bench-result.mjs';
import { top } from './setup.mjs';

/** @typedef {{ name: string, ours: readonly number[], unit: string, theirs: readonly number[] | undefined, whose: string, target?: import('./bench-result.mjs').Target }} Figure */

const CLI = join(top, 'dist/tskmod.cjs');
/** kmod writes indexes like these, the cache is ours. */
const CACHE = 'modules.depmod-cache';
/** A file that has just changed is not taken into the cache: its times could hide the next change. */
const SETTLE_MS = 60;
/** How often the memory of a process is looked at; the kernel keeps its peak. */
const POLL_MS = 20;

/**
 * @param {{ scratch: string, kernel: (series: string) => Promise<{ release: string, modules: string }> }} machine a directory on the
 *   file system of the kernels, where trees can be linked to, and what finds them
 * @returns {AsyncGenerator<Figure>}
 */
export async function* benchDepmod({ scratch, kernel }) {
  const tools = ['/sbin', '/usr/sbin', '/bin', '/usr/bin'].find((directory) => existsSync(join(directory, 'depmod')));
  await mkdir(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, 'bench-'));
  try {
    const big = linkTree(await kernel('6.12'), join(directory, 'big'));
    const plain = linkTree(await kernel('6.1'), join(directory, 'plain'));
    const theirs = (/** @type {string} */ tool, /** @type {readonly string[]} */ args) => (tools === undefined ? [] : [() => run(join(tools, tool), args)]);
    const ours = (/** @type {readonly string[]} */ args) => () => run(process.execPath, [CLI, ...args]);

    const cold = await times(3, [ours(['depmod', ...big.args]), ...theirs('depmod', big.args)], () => rmSync(join(big.directory, CACHE), { force: true }));
    yield figure(`depmod of ${big.files.length} modules, cold`, cold, { ratio: 0.6 });

    // A module comes anew, as from a package; the cache stands for the others.
    const changed = big.files[big.files.length >> 1] ?? '';
    const [warm = []] = await times(12, [ours(['depmod', ...big.args])], () => replace(changed));
    yield figure('depmod, one module changed', [warm, cold[1]], { ratio: 0.05 });
    yield figure(`depmod of ${plain.files.length} plain modules`, await times(6, [ours(['depmod', '--no-cache', ...plain.args]), ...theirs('depmod', plain.args)]), { ratio: 1 });

    const memory = await inTurns(3, {
      ours: () => peakMemory(process.execPath, [CLI, 'depmod', '--no-cache', ...big.args]),
      ...(tools === undefined ? {} : { theirs: () => peakMemory(join(tools, 'depmod'), big.args) }),
    });
    yield { name: 'depmod, peak memory', unit: 'MB', whose: 'kmod', ...memory, target: { ours: 400 } };
    yield figure(`modinfo of ${big.files.length} modules`, await times(3, [ours(['modinfo', ...big.files]), ...theirs('modinfo', big.files)]), { ratio: 0.6 });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {string} name @param {readonly (readonly number[] | undefined)[]} times @param {import('./bench-result.mjs').Target} [target] @returns {Figure} */
function figure(name, [ours = [], theirs], target) {
  return { name, ours, unit: 'ms', theirs, whose: theirs === undefined ? 'kmod is not here' : 'kmod', ...(target ? { target } : {}) };
}

/** The tree as hard links: both tools write indexes, and the kernel's own shall stay. */
function linkTree({ release, modules }, root) {
  const directory = join(root, 'lib/modules', release);
  done('mkdir', ['-p', dirname(directory)]);
  done('cp', ['-al', modules, directory]);
  const files = readdirSync(directory, { recursive: true }).map(String).filter((name) => /\.ko(\.xz)?$/.test(name)).sort().map((name) => join(directory, name));
  return { directory, files, args: ['-b', root, release] };
}

/** Breaks the link, so that the kernel's own file stays. @param {string} path */
function replace(path) {
  const bytes = readFileSync(path);
  unlinkSync(path);
  writeFileSync(path, bytes);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLE_MS);
}

/**
 * Milliseconds of each command in each round, in turns.
 * @param {number} rounds @param {readonly (() => void)[]} commands
 * @returns {Promise<number[][]>}
 */
async function times(rounds, commands, before = () => {}) {
  return Object.values(await inTurns(rounds, commands.map((command) => () => {
    before();
    const started = performance.now();
    command();
    return performance.now() - started;
  })));
}

/** @param {string} program @param {readonly string[]} args */
function run(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: 'ignore', env: environment() });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.slice(0, 4).join(' ')}: exit code ${status}`);
}

/** Megabytes. @param {string} program @param {readonly string[]} args @returns {Promise<number>} */
function peakMemory(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'ignore', env: environment() });
    let peak = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, readPeak(child.pid));
    }, POLL_MS);
    child.once('error', reject);
    child.once('exit', () => {
      clearInterval(timer);
      resolve(peak / 1024);
    });
  });
}

/** VmHWM of proc(5), in kB; 0 for a process that has ended. */
function readPeak(pid) {
  try {
    return Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
    return 0;
  }
}

function environment() {
  const env = { ...process.env };
  // Node 20 reads every certificate of this at each start.
  delete env.NODE_EXTRA_CA_CERTS;
  return env;
}

/** @param {string} program @param {readonly string[]} args */
function done(program, args) {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}
