// The event queue beside Debian's udevd: the same bursts of uevents with the same rules, one daemon after the other, each in a mount
// namespace with a /dev and /run of its own. Processor time counts, of the daemon and its workers: others use this machine too.
//   node scripts/bench-udev.mjs UDEV    where UDEV is Debian's package udev, unpacked

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openResults } from './bench-result.mjs';
import { timeOf, useOf } from './daemon-use.mjs';
import { unpackedPackage } from './debian-package.mjs';

const here = fileURLToPath(import.meta.url);
const executable = join(dirname(dirname(here)), 'dist/tskmod.cjs');
const EVENTS = 10_000;
const DEVICES = 60;
/** Of each daemon, in turns; each handles the bursts twice. */
const RUNS = 2;

/** `systemd-udevd` and hwdb.bin as an installation has them. */
const PREPARE = `
set -eu
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir -p /mnt/dev /mnt/udev /mnt/empty /mnt/hwdb/usr/lib/udev /mnt/hwdb/lib/udev /mnt/hwdb/etc/udev
cp -a /dev/. /mnt/dev/ 2>/dev/null || true
rm -rf /mnt/dev/char /mnt/dev/block /mnt/dev/disk
cp -a "$UDEV/lib/udev/." /mnt/udev/
for d in usr/lib lib; do cp -a "$UDEV/lib/udev/hwdb.d" /mnt/hwdb/$d/udev/; done
"$UDEV/bin/systemd-hwdb" --root /mnt/hwdb update
cp /mnt/hwdb/etc/udev/hwdb.bin /mnt/udev/
ln -s "$UDEV/bin/udevadm" /mnt/systemd-udevd
mount --bind /mnt/dev /dev
mount --bind /mnt/udev /lib/udev
if [ -d /etc/udev/rules.d ]; then mount --bind /mnt/empty /etc/udev/rules.d; fi
mount -t tmpfs none /run
mkdir /run/udev
`;

/**
 * @param {string} [udev] Debian's package, unpacked
 * @returns {{ readonly name: string, readonly unit: string, readonly ours: number[], readonly theirs: number[], readonly more: boolean, readonly target?: import('./bench-result.mjs').Target }[]}
 *   rates are events a second of processor time, memory is in MB, of all processes of the daemon
 */
export function benchEvents(udev = unpackedPackage('udev')) {
  const runs = Array.from({ length: RUNS }, () => ({ theirs: runInside(udev, 'theirs'), ours: runInside(udev, 'ours') }));
  const rows = {
    many: [`events of ${DEVICES} devices`, '/cpu-s', { ratio: 1 }], one: ['events of one device', '/cpu-s', { ours: 2000 }],
    wallMany: [`events of ${DEVICES} devices, by the clock`, '/s'], wallOne: ['events of one device, by the clock', '/s'],
    rss: ['daemon, resident after coldplug', 'MB', { ours: 90 }], pss: ['daemon, proportional after coldplug', 'MB'], rssLater: ['daemon, resident after bursts', 'MB'],
  };
  return Object.entries(rows).map(([key, [name, unit, target]]) => ({
    name, unit, ours: runs.flatMap(({ ours }) => ours[key]), theirs: runs.flatMap(({ theirs }) => theirs[key]), more: unit !== 'MB', ...(target ? { target } : {}),
  }));
}

function runInside(udev, who) {
  const { status, stdout, stderr } = spawnSync('unshare', ['-mpf', '--kill-child', '--mount-proc', 'sh', '-c', `${PREPARE}\nexec "$0" "$@"`, process.execPath, here, '--inside', who], {
    encoding: 'utf8', env: { ...process.env, UDEV: udev, NODE_EXTRA_CA_CERTS: '' },
  });
  if (status !== 0) throw new Error(`${who}: status ${status}: ${stderr}${stdout}`);
  return JSON.parse(stdout);
}

async function inside(who) {
  const daemon = who === 'ours' ? spawn(process.execPath, [executable, 'udevd', '-l', 'error'], { stdio: 'ignore' }) : spawn('/mnt/systemd-udevd', [], { stdio: 'ignore' });
  while (!existsSync('/run/udev/control')) await sleep(20);
  if (who === 'theirs') {
    for (const type of ['subsystems', 'devices']) spawnSync('/mnt/systemd-udevd', ['trigger', `--type=${type}`, '--action=add'], { argv0: 'udevadm' });
  }
  // What grows no more is done: a coldplug says so to its starter only.
  for (let before = -1, now = 0; before !== now || existsSync('/run/udev/queue');) {
    before = now;
    await sleep(1000);
    now = existsSync('/run/udev/data') ? readdirSync('/run/udev/data').length : 0;
  }
  await sleep(3500);
  const after = useOf(daemon.pid);
  const files = virtualDevices();
  const rates = { many: [], one: [], wallMany: [], wallOne: [] };
  for (let round = 0; round < 2; round++) {
    const many = await burst(daemon.pid, files);
    const one = await burst(daemon.pid, ['/sys/devices/virtual/mem/null/uevent']);
    rates.many.push(many.cpu);
    rates.wallMany.push(many.wall);
    rates.one.push(one.cpu);
    rates.wallOne.push(one.wall);
  }
  // tsudevd gives memory back in two steps, eight seconds after the last event.
  await sleep(10_000);
  const later = useOf(daemon.pid);
  daemon.kill('SIGTERM');
  await new Promise((resolve) => daemon.on('exit', resolve));
  console.log(JSON.stringify({ ...rates, rss: after.rss, pss: after.pss, rssLater: later.rss }));
}

/** Events a second, of processor time and by the clock. */
async function burst(pid, files) {
  const descriptors = files.map((file) => openSync(file, 'w'));
  const cpu = timeOf(pid);
  const start = performance.now();
  for (let i = 0; i < EVENTS; i++) writeSync(descriptors[i % descriptors.length], 'change');
  for (const descriptor of descriptors) closeSync(descriptor);
  do await sleep(2); while (existsSync('/run/udev/queue'));
  const wall = (performance.now() - start) / 1000;
  return { cpu: EVENTS / ((timeOf(pid) - cpu) / 1000), wall: EVENTS / wall };
}

function virtualDevices() {
  const classes = ['mem', 'tty', 'misc', 'vc', 'vtconsole', 'bdi'].map((name) => `/sys/devices/virtual/${name}`).filter((path) => existsSync(path));
  return classes.flatMap((path) => readdirSync(path).map((name) => `${path}/${name}/uevent`)).filter((file) => existsSync(file)).slice(0, DEVICES);
}

if (process.argv[2] === '--inside') await inside(process.argv[3]);
else if (process.argv[1] === here && process.argv[2]) {
  const results = openResults(console.log);
  for (const { name, unit, ours, theirs, ...options } of benchEvents(process.argv[2])) results.report('events', name, ours, unit, theirs, 'udevd', options);
}
