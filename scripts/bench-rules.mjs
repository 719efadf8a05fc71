// How long the rules of Debian's packages take to parse: processor time in a fresh process, and beside udev's own.
//   node scripts/bench-rules.mjs     (npm run bench calls benchRules)

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inTurns, openResults } from './bench-result.mjs';
import { unpackedFromSuite, unpackedPackage } from './debian-package.mjs';

const top = dirname(dirname(fileURLToPath(import.meta.url)));

/** The packages with most rules, of those that bring any but udev itself: 64 files, some 2000 rules. */
export const RULES_PACKAGES = [
  'modemmanager', 'rdma-core', 'mdadm', 'network-manager', 'lvm2', 'multipath-tools', 'sg3-utils-udev', 'steam-devices', 'nvme-cli', 'libinput-bin',
  'open-iscsi', 'upower', 'usb-modeswitch-data', 'android-sdk-platform-tools-common', 'udisks2', 'libgphoto2-6', 'libmtp-common', 'bluez', 'alsa-utils',
  'libfprint-2-2', 'media-player-info',
];

/** What udev 257 of Debian 13 needs to run on any Debian. */
export const UDEV_257 = [
  'udev', 'libsystemd-shared', 'libc6', 'libacl1', 'libblkid1', 'libcap2', 'libkmod2', 'libselinux1', 'libpcre2-8-0', 'libmount1', 'libcrypt1', 'libseccomp2',
  'libaudit1', 'libpam0g', 'libssl3t64', 'liblzma5', 'libzstd1', 'zlib1g', 'libgcc-s1',
];

const ROUNDS = 9;

/**
 * The rules files below the directory of an unpacked package, sorted.
 * @param {string} directory
 * @returns {string[]}
 */
export function rulesFilesBelow(directory) {
  return ['lib', 'usr/lib', 'etc'].map((prefix) => join(directory, prefix, 'udev/rules.d')).filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path).filter((name) => name.endsWith('.rules')).sort().map((name) => join(path, name)));
}

/** The command that runs udevadm 257, without installing it. Throws where it cannot be had. */
export function udevadm257() {
  const directory = unpackedFromSuite('trixie', UDEV_257);
  const libraries = join(directory, 'usr/lib/x86_64-linux-gnu');
  return [
    join(libraries, 'ld-linux-x86-64.so.2'), '--argv0', 'udevadm', '--library-path', `${libraries}:${join(libraries, 'systemd')}`,
    join(directory, 'usr/bin/udevadm'),
  ];
}

/**
 * One row a figure, as scripts/bench.mjs reports them.
 * @returns {Promise<{ name: string, ours: number[], unit: string, theirs: number[] | undefined, whose: string, target?: import('./bench-result.mjs').Target }[]>}
 */
export async function benchRules() {
  const files = RULES_PACKAGES.flatMap((name) => rulesFilesBelow(unpackedPackage(name)));
  let command;
  let whose = 'udev 257 verify, less its start';
  try {
    command = udevadm257();
  } catch (error) {
    whose = `udev 257 is not to be had: ${error.message}`;
  }
  const rounds = [];
  const { theirs } = await inTurns(ROUNDS, {
    ours: () => rounds.push(parseInFreshProcess(files)),
    ...(command ? { theirs: () => Math.max(0, cpuOf([...command, 'verify', ...files]) - cpuOf([...command, 'verify', '/dev/null'])) } : {}),
  });
  const count = rounds[0]?.rules ?? 0;
  return [
    { name: `parse ${count} rules, first time`, ours: rounds.map(({ first }) => first), unit: 'ms', theirs, whose, target: { ours: 40 } },
    { name: `parse ${count} rules, V8's threads too`, ours: rounds.map(({ all }) => all), unit: 'ms', theirs, whose },
    { name: `parse ${count} rules, again`, ours: rounds.map(({ later }) => later), unit: 'ms', theirs, whose },
  ];
}

/** Milliseconds for all files in a fresh process: of the thread that parses, first and again (the least of several); and with V8's helpers, first. */
function parseInFreshProcess(files) {
  const script = `
    const { readFileSync } = await import('node:fs');
    const { parseRules } = await import(${JSON.stringify(pathToFileURL(join(top, 'dist/src/udev/rules/parse.js')).href)});
    const texts = process.argv.slice(1).map((file) => [readFileSync(file), file]);
    const threadMs = () => Number(readFileSync('/proc/self/task/' + process.pid + '/schedstat', 'latin1').split(' ')[0]) / 1e6;
    const round = () => {
      const [thread, all] = [threadMs(), process.cpuUsage()];
      let rules = 0;
      for (const [text, file] of texts) rules += parseRules(text, file).rules.lines.length;
      const { user, system } = process.cpuUsage(all);
      return { rules, thread: threadMs() - thread, all: (user + system) / 1000 };
    };
    const { rules, thread: first, all } = round();
    let later = first;
    for (let i = 0; i < 20; i++) later = Math.min(later, round().thread);
    console.log(JSON.stringify({ rules, first, all, later }));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script, ...files], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** Milliseconds of processor time of a command, by the shell's clock, which ticks in hundredths: hence many runs. */
function cpuOf(command) {
  const runs = 10;
  const script = `i=0; while [ $i -lt ${runs} ]; do "$@" >&2; i=$((i+1)); done; times`;
  const { stdout } = spawnSync('sh', ['-c', script, 'sh', ...command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const times = [...(stdout.trim().split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)].map(([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds));
  return (times.reduce((sum, time) => sum + time, 0) * 1000) / runs;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = openResults(console.log);
  for (const { name, ours, unit, theirs, whose, ...options } of await benchRules()) results.report('rules', name, ours, unit, theirs, whose, options);
}
