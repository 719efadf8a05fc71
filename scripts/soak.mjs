// npm run soak: an hour of random hotplug in a virtual machine. Devices of all kinds come and go, modules are removed, rules replaced; after
// each round everything must be as it should, and what the daemon holds must not grow. Writes docs/soak.md.
//   npm run soak [-- [--minutes N] [--seed S] [--json FILE] [--verbose]]     exit code 1 when anything leaked or was lost
//   npm run soak -- --from FILE      judges what --json has kept of an earlier run, and writes the document of that

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { debianRules } from './debian-guest.mjs';
import { ensureBuild, ensureDebianPackages, ensureNodeModules, top } from './setup.mjs';
import { Bench, CONTROLLERS, DRIVES, KINDS, soakMachine, SUDDEN_BUSES } from './soak-devices.mjs';
import { formatSample, judge, SAMPLE_HEADING, soakDocument } from './soak-report.mjs';

const { values: options } = parseArgs({ options: { minutes: { type: 'string', default: '60' }, seed: { type: 'string' }, json: { type: 'string' }, from: { type: 'string' }, verbose: { type: 'boolean' } } });
const minutes = Number(options.minutes);
const seed = Number(options.seed ?? Date.now() % 2 ** 31);
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('--minutes wants a number above 0, --seed an integer');
/** A whole hour is what the document is about. */
const DOCUMENT_MINUTES = 60;
const MINUTE = 60_000;
/** Everything is unplugged and all modules are back: states that can be compared exactly. */
const REST_EVERY = 5 * MINUTE;
/** The daemon gives memory back when it has been quiet for two seconds, and the rest six seconds later. */
const REST_MS = 12_000;
const IN_A_ROUND = 6;
const UNPLUG_MS = 60_000;
/** A guest waits for a second after it has switched a slot off, and forgets what happens there meanwhile (pciehp). */
const SLOT_MS = 2000;
/** --verbose tells what was waited for that long. */
const SLOW_MS = 10_000;
const BOOT_MS = 10 * MINUTE;
/** Without these there is nothing that a USB or SCSI device could appear on. */
const CONTROLLER_MODULES = ['xhci_pci', 'xhci_hcd', 'usbcore', 'virtio_pci', 'virtio_scsi', 'scsi_mod'];
const TRIGGERS = [['--action=change'], ['--action=change', '--subsystem-match=block'], ['--action=change', '--subsystem-match=net'], ['--action=add', '--subsystem-match=pci'], ['--type=subsystems', '--action=add']];

if (options.from !== undefined) {
  finish(JSON.parse(readFileSync(options.from, 'utf8')));
  process.exit();
}
ensureNodeModules();
ensureBuild();
const missing = ensureDebianPackages(['kmod', 'busybox-static', 'xz-utils', 'zstd', 'e2fsprogs', 'qemu-system-x86']);
if (missing !== undefined) console.error(`some of this may be missing: ${missing}`);
const { bootVm } = await import(join(top, 'dist/src/vm/vm.js'));

const started = performance.now();
const directory = mkdtempSync(join(tmpdir(), 'tskmod-soak-'));
const random = randomOf(seed);
const bench = new Bench();
/** Steps by name, how many. */
const counts = new Map();
/** What was lost, leaked or said: `at` in minutes. */
const problems = [];
const samples = [];
const rests = [];
const log = [];
const waiting = new Map();
const unplugged = new Map();
let nextId = 1;
let generation = 1;
let oldest = 1;
/** Modules that were removed since the last restoration. */
let removed = new Set();
/** Devices that were there when a module was removed: whether they have their drivers is open until then. */
let suspended = new Set();
let absent = [];
let type = (/** @type {Uint8Array} */ _bytes) => {};
let ended = false;
/** When each kind had been plugged in once. */
let began = started;
/** The beginning of a line of the console. */
let unfinished = '';

// The guest ends with this process.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    rmSync(directory, { recursive: true, force: true });
    process.exit(1);
  });
}
let vm;
try {
  vm = await boot();
  await soak();
} finally {
  await vm?.kill();
  rmSync(directory, { recursive: true, force: true });
}

async function soak() {
  const result = vm.wait().then(({ outcome, panic, console: text }) => {
    ended = true;
    for (const { failed } of waiting.values()) failed(new Error(`the guest has ended: ${outcome} ${panic ?? ''}\n${text.slice(-2000)}`));
  });
  await ask('ready', undefined, BOOT_MS);
  const first = await ask('start', { generation });
  absent = Object.keys(first.missing);
  say(`seed ${seed}, ${minutes} minutes; not loaded after the coldplug: ${absent.join(' ') || 'nothing'}`);
  console.log(SAMPLE_HEADING);
  // Each kind once: what stays for good, such as modules, is there from then on.
  for (const kind of Object.keys(KINDS)) {
    await plug(kind);
    await settle();
    if (!bench.possible().includes(kind) || bench.plugged.size > 4) await unplugAll();
  }
  await rest();
  began = performance.now();
  const minute = () => (performance.now() - began) / MINUTE;
  let [nextSample, nextRest] = [1, REST_EVERY / MINUTE];
  while (minute() < minutes) {
    await round();
    if (minute() >= nextRest) {
      await rest(minute());
      nextRest += REST_EVERY / MINUTE;
    }
    if (minute() >= nextSample) {
      await take(samples, minute());
      nextSample = Math.floor(minute()) + 1;
    }
  }
  await rest(minute());
  const last = await ask('stop');
  log.push(...last.log);
  await vm.kill();
  await result;
  const report = { seed, minutes, counts: Object.fromEntries(counts), problems, samples, rests, log, first, last, absent, kinds: Object.keys(KINDS), versions: versions(first.release) };
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(report, undefined, 1));
  finish(report);
}

/** @param {import('./soak-report.mjs').Report} report */
function finish(report) {
  const verdict = judge(report);
  for (const line of verdict.lines) console.log(`${line.ok ? 'ok  ' : 'FAIL'}  ${line.text}`);
  for (const { at, text } of report.problems) console.log(`minute ${at.toFixed(1)}: ${text}`);
  if (report.minutes >= DOCUMENT_MINUTES) writeFileSync(join(top, 'docs/soak.md'), soakDocument(report, verdict));
  process.exitCode = verdict.ok ? 0 : 1;
}

/** Some steps at once, then everything must settle and be right. */
async function round() {
  const present = new Set(bench.plugged.keys());
  const gone = [];
  const steps = [];
  for (let left = 1 + random(IN_A_ROUND); left > 0; left--) {
    const step = chooseStep();
    steps.push(step);
    if (step === 'plug') {
      const kind = pick(bench.possible());
      if (kind !== undefined) steps[steps.length - 1] += ` ${await plug(kind)}`;
    } else if (step === 'unplug') {
      const id = pick([...bench.plugged.keys()].filter((name) => present.has(name) || SUDDEN_BUSES.includes(KINDS[bench.plugged.get(name).kind].bus)));
      if (id === undefined) continue;
      gone.push(bench.plugged.get(id).place);
      steps[steps.length - 1] += ` ${id}`;
      await unplug(id);
    } else if (step === 'rules') {
      await newRules();
    } else if (step === 'trigger') {
      await ask('trigger', { args: pick(TRIGGERS) });
      count('trigger');
    } else if (step === 'write') {
      const disk = pick([...bench.plugged.values()].filter(({ id, links }) => links.length > 0 && present.has(id) && !suspended.has(id)));
      if (disk && await ask('write', { link: disk.links[0] })) count('write to a disk');
    } else if (step === 'rmmod') {
      await removeModule();
    } else {
      await restore();
    }
  }
  say(steps.join(', '));
  await settle(gone.filter((place) => ![...bench.plugged.values()].some((plugged) => JSON.stringify(plugged.place) === JSON.stringify(place))));
  await check();
}

function chooseStep() {
  const number = random(100);
  if (number < 42) return 'plug';
  if (number < 74) return 'unplug';
  if (number < 80) return 'rules';
  if (number < 85) return 'trigger';
  if (number < 92) return 'write';
  return removed.size === 0 || random(3) > 0 ? 'rmmod' : 'restore';
}

async function plug(kind) {
  const args = bench.take(kind, random);
  const device = bench.plugged.get(args.id);
  device.since = generation;
  if (KINDS[kind].bus !== 'pci' && CONTROLLER_MODULES.some((name) => removed.has(name))) suspended.add(args.id);
  await (await vm.qmp()).execute('device_add', args);
  count(`plug ${kind}`);
  return `${kind} ${args.id}`;
}

async function unplug(id) {
  const { kind } = bench.plugged.get(id);
  const deleted = new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`QEMU has not let go of ${id} (${kind})`)), UNPLUG_MS);
    unplugged.set(id, () => done(clearTimeout(timer)));
  });
  try {
    await (await vm.qmp()).execute('device_del', { id });
    await deleted;
  } catch (error) {
    // A guest switches the slot of a device off that it cannot bring up, and QEMU takes that for an unplugging.
    problem(`${id} (${kind}) cannot be unplugged: ${error.message}`);
    unplugged.get(id)?.();
  }
  unplugged.delete(id);
  bench.remove(id);
  suspended.delete(id);
  count(`unplug ${kind}`);
}

async function unplugAll() {
  const places = [...bench.plugged.values()].map(({ place }) => place);
  for (const id of bench.plugged.keys()) await unplug(id);
  await settle(places);
}

/** Every other time the daemon is told; else it must see for itself. */
async function newRules() {
  generation++;
  await ask('rules', { generation });
  if (generation % 2 === 0) await ask('reload');
  // The watch on the directory waits for the last of several changes.
  else await sleep(1500);
  count('new rules');
}

async function removeModule() {
  const { name, code, removed: names, stderr } = await ask('rmmod', { choose: random(2 ** 20) / 2 ** 20 });
  if (name === undefined) return;
  say(`rmmod ${name}: ${code} ${names.join(' ')} ${stderr}`);
  count(code === 0 ? 'module removal' : 'module removal, refused');
  for (const module of names) removed.add(module);
  if (names.length > 0) suspended = new Set(bench.plugged.keys());
}

/** Tells of all devices anew: with that every module that a device needs must come back, and every device be handled by the rules of now. */
async function restore() {
  await settle([], 'before a trigger');
  await ask('trigger', { args: ['--action=add'] });
  removed = new Set();
  suspended = new Set();
  await settle([], 'after a trigger of all');
  oldest = generation;
  await check();
  count('trigger of all');
}

async function rest(at = 0) {
  await unplugAll();
  // The same files of rules each time: each is watched.
  do await newRules(); while (generation % 2 === 1);
  await restore();
  await sleep(REST_MS);
  await take(rests, at, '=');
  const [{ open: first }, { open: last }] = [rests[0], rests.at(-1)];
  for (const name of new Set([...Object.keys(first), ...Object.keys(last)])) if (first[name] !== last[name]) say(`descriptors of ${name}: ${first[name] ?? 0}, now ${last[name] ?? 0}`);
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ seed, minutes, problems, samples, rests, log }, undefined, 1));
}

async function settle(gone = [], when = '') {
  const plugged = [...bench.plugged.values()].filter(({ id }) => !suspended.has(id));
  const { ms, waits, last } = await ask('settle', { plugged, controllers: CONTROLLERS, gone: removed.size > 0 ? [] : gone });
  if (ms > SLOW_MS) say(`settled after ${ms} ms, at last: ${last.join('; ')}`);
  for (const wait of waits) problem(`after ${ms} ms ${when}: ${wait}`);
  if (bench.vacated.length === 0) return;
  await sleep(SLOT_MS);
  bench.release();
}

async function check() {
  const plugged = [...bench.plugged.values()].filter(({ id }) => !suspended.has(id));
  const { problems: found, log: lines } = await ask('check', { plugged, controllers: CONTROLLERS, removed: [...removed], absent, oldest, generation });
  for (const text of found) problem(text);
  log.push(...lines);
  for (const line of lines) say(`  log: ${line}`);
  count('check');
}

async function take(into, at, mark = ' ') {
  const sample = { at, plugged: bench.plugged.size, removed: removed.size, ...(await ask('sample')) };
  into.push(sample);
  console.log(`${formatSample(sample)} ${mark} ${problems.length} problems`);
}

function problem(text) {
  const at = (performance.now() - began) / MINUTE;
  problems.push({ at, text });
  console.log(`minute ${at.toFixed(1)}: ${text}`);
}

/** Sends the guest a task; `ready` only waits for its first word. */
function ask(task, args, timeout = 5 * MINUTE) {
  if (ended) throw new Error('the guest has ended');
  const id = task === 'ready' ? 0 : nextId++;
  if (task !== 'ready') type(Buffer.from(`${JSON.stringify({ id, task, ...args })}\n`));
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`the guest does not answer: ${task} ${JSON.stringify(args)}`)), timeout);
    waiting.set(id, { done: (value) => done((clearTimeout(timer), value)), failed: (error) => failed((clearTimeout(timer), error)) });
  });
}

function hear(text) {
  const lines = (unfinished + text).split('\n');
  unfinished = lines.pop() ?? '';
  for (const line of lines) {
    const at = line.indexOf('@soak ');
    if (at < 0) {
      if (line.trim() !== '') say(`console: ${line}`);
      continue;
    }
    const { id, result, error, gone } = JSON.parse(line.slice(at + 6));
    if (gone !== undefined) {
      say(gone);
      continue;
    }
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.done(result);
    else asked?.failed(new Error(error));
  }
}

async function boot() {
  for (let index = 0; index < DRIVES; index++) {
    const path = join(directory, `drive${index}.img`);
    writeFileSync(path, '');
    truncateSync(path, 8 * 2 ** 20);
    const { status, stderr } = spawnSync('mkfs.ext4', ['-q', '-F', '-L', `LABEL${index}`, path], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`mkfs.ext4: ${stderr}`);
  }
  const debian = debianRules(directory);
  return bootVm({
    kernel: '6.12', ...soakMachine(directory), ...debian,
    files: [...debian.files, ...['soak-guest.mjs', 'soak-files.mjs'].map((name) => ({ source: join(top, 'scripts', name), target: `/app/${name}` }))],
    // Nothing but the agent speaks on the console.
    command: 'stty -F /dev/ttyS0 raw -echo; dmesg -n 1; node /app/soak-guest.mjs < /dev/ttyS0 > /dev/ttyS0 2> /tmp/errors; tail -n 20 /tmp/errors > /dev/ttyS0',
    timeoutSeconds: minutes * 60 * 1.5 + 1800,
    onConsole: hear,
    onConsoleInput: (send) => (type = send),
    onQmpEvent: ({ event, data }) => {
      if (event === 'DEVICE_DELETED') unplugged.get(String(data.device))?.();
    },
    onProgress: console.error,
  });
}

function versions(release) {
  const qemu = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0] ?? 'QEMU';
  return [`kernel ${release}`, `Node ${process.version}`, qemu.replace(' emulator version', '')];
}

function count(name) {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function say(text) {
  if (options.verbose) console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${text}`);
}

function pick(list) {
  return list[random(Math.max(1, list.length))];
}

/** Integers below a bound, the same for one seed (a linear congruential generator, its upper bits). */
function randomOf(state) {
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function sleep(ms) {
  return new Promise((done) => {
    setTimeout(done, ms);
  });
}
