// The figures of README's table: processor time of a look-up and of a coldplug, and memory afterwards, of ours, kmod with systemd-udevd,
// and busybox. All of this machine, in a mount namespace with a /dev, /run and module tree of its own; processor time counts, others use the machine too.
//   node scripts/bench-daemons.mjs [--json]      as root, with busybox; Debian's udev is fetched and not installed
// mdevd is measured where it is installed: Debian has no package of it.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { spread } from './bench-result.mjs';
import { fieldsOf, processesOf, USER_HZ, useOf } from './daemon-use.mjs';
import { unpackedPackage } from './debian-package.mjs';
import { top } from './setup.mjs';

const here = fileURLToPath(import.meta.url);
const cli = join(top, 'dist/tskmod.cjs');
/** Rounds of a look-up, so many runs each: the kernel counts processor time of children in hundredths of a second. */
const ROUNDS = 7;
const RUNS = 12;
const COLDPLUGS = 3;
/** Until a daemon has given back what it does not need, and how long its workers may take to end: udevd's do after three seconds without an event. */
const IDLE_MS = 3500;
const WORKERS_MS = 20_000;

const NAMESPACE = `
set -eu
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir -p /mnt/dev /mnt/udev /mnt/upper/modules/"$RELEASE" /mnt/work /mnt/hwdb/etc/udev
cp -a /dev/. /mnt/dev/ 2> /dev/null || true
cp -a "$UDEV/lib/udev/." /mnt/udev/
for directory in usr/lib lib; do mkdir -p /mnt/hwdb/$directory/udev; cp -a "$UDEV/lib/udev/hwdb.d" /mnt/hwdb/$directory/udev/; done
"$UDEV/bin/systemd-hwdb" --root /mnt/hwdb update
cp /mnt/hwdb/etc/udev/hwdb.bin /mnt/udev/
ln -s "$UDEV/bin/udevadm" /mnt/systemd-udevd
ln -s "$UDEV/bin/udevadm" /mnt/udevadm
mount -t overlay overlay -o lowerdir=/usr/lib,upperdir=/mnt/upper,workdir=/mnt/work /usr/lib
mount --bind "$MODULES" /usr/lib/modules/"$RELEASE"
if [ -d /usr/lib/udev ]; then mount --bind /mnt/udev /usr/lib/udev; else cp -a /mnt/udev /usr/lib/udev; fi
mount --bind /mnt/dev /dev
mount -t tmpfs none /run
mkdir /run/udev
exec "$0" "$@"
`;

/** @typedef {{ readonly tool: string, readonly lookupMs: number | undefined, readonly coldplugMs: number | undefined, readonly rssMb: number | undefined, readonly pssMb: number | undefined }} Row */

/** Sums are of all processes of a tool; a value that a tool has not is undefined. `nodeMs` is a bare start of Node. @returns {Promise<{ devices: number, nodeMs: number, rows: Row[] }>} */
export async function benchDaemons() {
  const { findKernel } = await import(join(top, 'dist/src/vm/kernel.js'));
  const { defaultCacheDirectory } = await import(join(top, 'dist/src/vm/cache.js'));
  const { modules } = await findKernel({ kernel: '6.12', cacheDirectory: defaultCacheDirectory() });
  const env = { ...process.env, UDEV: unpackedPackage('udev'), MODULES: modules, RELEASE: release() };
  delete env.NODE_EXTRA_CA_CERTS;
  const inside = (...words) => {
    const { status, stdout, stderr } = spawnSync('unshare', ['-mpf', '--kill-child', '--mount-proc', 'sh', '-c', NAMESPACE, process.execPath, here, ...words], { encoding: 'utf8', env });
    if (status !== 0) throw new Error(`${words.join(' ')}: status ${status}: ${stderr}${stdout}`);
    return JSON.parse(stdout);
  };
  const looked = inside('--lookups');
  const tools = ['ours', 'udevd', 'busybox', ...isInstalled('mdevd') ? ['mdevd'] : []];
  // One after the other, and again: what the machine does meanwhile then meets all.
  const runs = Array.from({ length: COLDPLUGS }, () => tools.map((tool) => inside('--coldplug', tool)));
  return {
    devices: runs[0][0].devices, nodeMs: looked.node,
    rows: tools.map((tool, i) => {
      const of = (name) => spread(runs.map((round) => round[i][name])).median;
      return { tool, lookupMs: looked[tool], coldplugMs: of('coldplugMs'), rssMb: of('rssMb'), pssMb: of('pssMb') };
    }),
  };
}

/** Which commands `modprobe -D xfs` of all of them is, with `node -e 0` for what Node alone takes. */
function lookups() {
  const commands = {
    ours: [process.execPath, cli, 'modprobe', '-D', 'xfs'], udevd: ['modprobe', '-D', 'xfs'], busybox: ['busybox', 'modprobe', '-D', 'xfs'], node: [process.execPath, '-e', '0'],
  };
  const rounds = Array.from({ length: ROUNDS }, () => Object.values(commands).map(([program, ...args]) => {
    const before = childTime();
    for (let i = 0; i < RUNS; i++) {
      const { status, stderr, error } = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      if (error || status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
    }
    return (childTime() - before) / RUNS;
  }));
  return Object.fromEntries(Object.keys(commands).map((tool, i) => [tool, spread(rounds.map((round) => round[i])).median]));
}

/** The devices of this machine, as the boot of such a system handles them, and the daemon when it has come to rest. @param {string} tool */
async function coldplug(tool) {
  const before = childTime();
  const once = (program, args) => {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', argv0: program.replace(/^.*\//, '') });
    if (error || status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  };
  const starts = {
    ours: () => spawn(process.execPath, [cli, 'udevd', '-l', 'error', '--ready-fd', '3'], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] }),
    udevd: () => spawn('/mnt/systemd-udevd', [], { stdio: 'ignore' }),
    busybox: () => spawn('busybox', ['mdev', '-df'], { stdio: 'ignore' }),
    mdevd: () => spawn('mdevd', ['-O', '4'], { stdio: 'ignore' }),
  };
  const daemon = starts[tool]();
  if (tool === 'ours') await new Promise((resolve) => daemon.stdio[3].once('data', resolve));
  if (tool === 'udevd') {
    while (!existsSync('/run/udev/control')) await sleep(20);
    for (const type of ['subsystems', 'devices']) once('/mnt/udevadm', ['trigger', `--type=${type}`, '--action=add']);
    once('/mnt/udevadm', ['settle']);
  }
  if (tool === 'busybox') once('busybox', ['mdev', '-s']);
  if (tool === 'mdevd') once('mdevd-coldplug', []);
  await sleep(IDLE_MS);
  for (const end = performance.now() + WORKERS_MS; performance.now() < end && processesOf(daemon.pid).length > 1;) await sleep(100);
  const { rss, pss, time } = useOf(daemon.pid);
  const answer = { devices: countDevices('/sys/devices'), coldplugMs: time + childTime() - before, rssMb: rss, pssMb: pss };
  daemon.kill('SIGTERM');
  await new Promise((resolve) => daemon.on('exit', resolve));
  return answer;
}

/** Processor time of children that have ended, in milliseconds. */
function childTime() {
  return fieldsOf('self').slice(13, 15).reduce((sum, ticks) => sum + ticks, 0) * 1000 / USER_HZ;
}

/** @param {string} directory @returns {number} */
function countDevices(directory) {
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries.reduce((sum, entry) => sum + (entry.isDirectory() ? countDevices(join(directory, entry.name)) : 0), entries.some(({ name }) => name === 'uevent') ? 1 : 0);
}

/** @param {string} program */
function isInstalled(program) {
  return spawnSync('sh', ['-c', 'command -v "$0"', program]).status === 0;
}

const [mode, tool] = process.argv.slice(2);
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  if (mode === '--lookups') console.log(JSON.stringify(lookups()));
  else if (mode === '--coldplug') console.log(JSON.stringify(await coldplug(tool)));
  else {
    const { devices, nodeMs, rows } = await benchDaemons();
    if (mode === '--json') console.log(JSON.stringify({ devices, nodeMs, rows }));
    else {
      const cell = (value) => (value === undefined ? '–' : value.toFixed(value < 10 ? 1 : 0)).padStart(10);
      console.log(`${devices} devices; processor time in ms, memory in MB; node -e 0 takes ${nodeMs.toFixed(1)} ms\n${'tool'.padEnd(10)}${['-D xfs', 'coldplug', 'resident', 'proport.'].map((head) => head.padStart(10)).join('')}`);
      for (const row of rows) console.log(`${row.tool.padEnd(10)}${[row.lookupMs, row.coldplugMs, row.rssMb, row.pssMb].map(cell).join('')}`);
    }
  }
}
