// Bundles: made beside mkfs.erofs of the same files, opened, and a module read out of one beside the tree.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CLOCK } from './bench-initramfs.mjs';
import { unpackedPackage } from './debian-package.mjs';
import { top } from './setup.mjs';

/** @typedef {{ name: string, ours: number | readonly number[], unit: string, theirs: readonly number[] | undefined, whose: string, target?: import('./bench-result.mjs').Target }} Figure */

const CLI = join(top, 'dist/tskmod.cjs');
const RUNS = 5;
/** A look-up is warm after some. */
const OPENINGS = 20;
/** One that takes the kernel long to unpack, and a small one; both need others. */
const LOADED = ['xfs', 'virtio_net'];
/** How often each is loaded from either place, after once that is not counted. */
const LOADS = 3;

/**
 * @param {{ scratch: string, kernel: import('../src/vm/kernel.ts').Kernel & { release: string, modules: string } }} machine
 * @returns {AsyncGenerator<Figure>}
 */
export async function* benchBundle({ scratch, kernel }) {
  const { release, modules } = kernel;
  await mkdir(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, 'bench-'));
  try {
    // The tree as a machine has it: with indexes that are newer than its modules.
    const tree = join(directory, 'lib/modules', release);
    run('mkdir', ['-p', dirname(tree)]);
    run('cp', ['-a', modules, tree]);
    run(process.execPath, [CLI, 'depmod', '--no-cache', '-b', directory, release]);
    const image = join(directory, 'ours');
    const create = [process.execPath, CLI, 'bundle', 'create', '--from', tree, '-o', image];
    const mkfs = join(unpackedPackage('erofs-utils'), 'usr/bin/mkfs.erofs');
    const theirs = existsSync(mkfs) ? ['sh', '-c', `rm -f ${directory}/theirs; exec ${mkfs} -T0 --all-root ${directory}/theirs ${dirname(tree)} > ${directory}/log`] : undefined;
    // In turn, so that what else the machine does slows both.
    const [ours, erofs] = [[], []];
    for (let round = 0; round < RUNS; round++) {
      ours.push(timed(create));
      if (theirs) erofs.push(timed(theirs));
    }
    const whose = theirs ? 'mkfs.erofs' : 'mkfs.erofs is not here';
    yield { name: 'bundle create, indexes kept', ours: wall(ours), unit: 'ms', theirs: wall(erofs), whose, target: { ratio: 1 } };
    yield { name: 'the same, processor time', ours: ours.map(({ cpu }) => cpu), unit: 'ms', theirs: erofs.map(({ cpu }) => cpu), whose };

    // A tree that has none: the least that others need for the same file is a depmod, and mkfs.erofs.
    run('sh', ['-c', `cd ${tree} && ls modules.* | grep -v -e order -e builtin$ -e modinfo | xargs rm`]);
    const made = timed(create);
    const depmod = ['/sbin/depmod', '/usr/sbin/depmod'].find((path) => existsSync(path));
    const both = theirs && depmod ? timed([depmod, '-b', directory, release]).wall + timed(theirs).wall : undefined;
    yield { name: 'bundle create, indexes made', ours: made.wall, unit: 'ms', theirs: both, whose: both === undefined ? 'depmod or mkfs.erofs is not here' : 'depmod and mkfs.erofs' };

    const opened = await openings(image, release);
    yield { name: 'open a bundle, resolve one alias', ours: opened.ms, unit: 'ms', theirs: undefined, whose: 'warm process', target: { ours: 20 } };
    yield { name: 'bytes read for that', ours: opened.bytes / 1000, unit: 'kB', theirs: undefined, whose: 'all that the process read', target: { ours: 300 } };

    const modinfo = (/** @type {readonly string[]} */ place) => [process.execPath, CLI, 'modinfo', ...place, '-k', release, '-F', 'description', 'xfs'];
    const [fromBundle, fromTree] = [[], []];
    for (let round = 0; round < RUNS * 4; round++) {
      fromBundle.push(timed(modinfo(['--modules', image])));
      fromTree.push(timed(modinfo(['-b', directory])));
    }
    yield { name: 'modinfo of a module, from a bundle', ours: wall(fromBundle), unit: 'ms', theirs: wall(fromTree), whose: 'a tree', target: { ratio: 1.1 } };

    const loads = await loadTimes(kernel, image);
    for (const name of LOADED) {
      yield { name: `modprobe ${name}, from a bundle`, ours: loads(name, 'bundle'), unit: 'ms', theirs: loads(name, 'tree'), whose: 'a tree, in a guest', target: { ratio: 1.1 } };
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Milliseconds that modprobe takes in a guest, from its start to its end, with all that a module needs: a process of its own for each, and modules
 * that were not loaded before. The guest has the clock of bench-initramfs.mjs, and both places in memory.
 */
async function loadTimes(kernel, image) {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const places = [['tree', ''], ['bundle', '--modules /bundle']];
  const loads = LOADED.flatMap((name) => places.map(([place, options]) => `load ${place} ${name} ${options}`));
  // The kernel's own log has times of a microsecond.
  const script = `set -e
load() {
  place=$1 name=$2
  shift 2
  echo "bench start $place $name" > /dev/kmsg
  modprobe "$@" $name
  echo "bench end $place $name" > /dev/kmsg
  modprobe -r $name
}
${Array.from({ length: LOADS + 1 }, () => loads).flat().join('\n')}
dmesg | grep ' bench ' > /tmp/marks
vmctl put /tmp/marks
`;
  const result = await runVm({ kernel, command: script, files: [{ source: image, target: '/bundle' }], qemuArguments: CLOCK, timeoutSeconds: 300 });
  if (result.exitCode !== 0) throw new Error(`guest: ${result.outcome}, exit code ${result.exitCode}\n${result.console}`);
  const marks = [...(result.files.get('marks')?.toString() ?? '').matchAll(/\[ *(\d+\.\d+)\] bench (start|end) (\w+ \w+)/g)].map(([, seconds, mark, what]) => ({ ms: Number(seconds) * 1000, mark, what }));
  return (name, place) => {
    const times = (wanted) => marks.filter(({ mark, what }) => mark === wanted && what === `${place} ${name}`).map(({ ms }) => ms);
    const ends = times('end');
    return times('start').map((ms, round) => (ends[round] ?? NaN) - ms).slice(1);
  };
}

/** Each from opening the file to closing it. The first is not warm. */
async function openings(image, release) {
  const { openSystem } = await import(join(top, 'dist/src/system.js'));
  const { openKmod } = await import(join(top, 'dist/src/kmod/kmod.js'));
  const { openModules } = await import(join(top, 'dist/src/kmod/find-modules.js'));
  const system = openSystem({ release });
  const ms = [];
  let bytes = 0;
  for (let round = 0; round <= OPENINGS; round++) {
    const before = bytesRead();
    const started = performance.now();
    const source = await openModules(system, [image]);
    const found = openKmod(system, { source, configPaths: [] }).lookup('pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00');
    source.close?.();
    if (round > 0) ms.push(performance.now() - started);
    bytes = bytesRead() - before;
    if (found[0]?.module !== 'e1000e') throw new Error(`${image}: the alias names ${found[0]?.module ?? 'nothing'}`);
  }
  return { ms, bytes };
}

/** @param {readonly { wall: number, cpu: number }[]} times */
function wall(times) {
  return times.map((time) => time.wall);
}

/** What this process has read so far, as the kernel counts it. */
function bytesRead() {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1]);
}

/** Milliseconds of a command, and those that it and its children had a processor. */
function timed(command) {
  const env = { ...process.env, LC_ALL: 'C', TIMEFORMAT: '%R %U %S' };
  // Node 20 reads every certificate of this at each start.
  delete env.NODE_EXTRA_CA_CERTS;
  const { status, stderr } = spawnSync('bash', ['-c', 'time "$@" > "$0"', '/dev/null', ...command], { encoding: 'utf8', env });
  const [wall = NaN, user = NaN, system = NaN] = stderr.trim().split('\n').at(-1)?.split(' ').map((text) => Number(text) * 1000) ?? [];
  if (status !== 0 || Number.isNaN(system)) throw new Error(`${command.join(' ')}: exit code ${status}: ${stderr}`);
  return { wall, cpu: user + system };
}

function run(program, args) {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status}: ${stderr}`);
}
