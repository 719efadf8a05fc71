// Runs in the guest of the soak: starts the daemon, does what soak.mjs tells it by the console, looks whether everything is as it must be,
// and counts what the daemon holds. Debian's udevadm is the witness of the messages.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { aliasReader, child, countBelow, link, linksBelow, list, readText, walk } from './soak-files.mjs';

const RULES = '/run/udev/rules.d';
const LOG = '/tmp/tsudevd.log';
/** Nothing must have happened for so long. */
const QUIET_MS = 500;
const POLL_MS = 100;
const SETTLE_MS = 120_000;
const CHECKS = 5;
const SLOW_MS = 8000;

/** @type {number} */
let daemon = 0;
let logRead = 0;
/** Sequence numbers that the kernel has told of and the daemon has not. */
const untold = new Map();
/** Those of udev that came first: udevadm reads two sockets, and which of two that are ready it takes first is chance. */
const early = new Set();
let told = { kernel: 0, udev: 0, last: 0 };
/** The last messages, for what is told of a record that should not be there. */
const heard = [];
const HEARD_MAX = 20_000;
/** Disks that were written to: their devpaths, until the change comes. */
const written = new Set();
/** Objects of the firmware that are no devices, by the names of their records. */
let sets = new Set();
/** What each modalias names, by the patterns of modules.alias. */
let modulesOf = (/** @type {string} */ _modalias) => /** @type {string[]} */ ([]);

const tasks = { start, settle, check, sample, rules, reload, rmmod, trigger, write, stop };

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, task, ...args } = JSON.parse(line);
  tasks[task](args).then((result) => say({ id, result }), (error) => say({ id, error: error.stack }));
});
say({ id: 0 });

function say(message) {
  process.stdout.write(`@soak ${JSON.stringify(message)}\n`);
}

async function start({ generation }) {
  await rules({ generation });
  const child = spawn('tsudevd', ['--ready-fd', '3', '-l', 'notice'], { stdio: ['ignore', 'ignore', openSync(LOG, 'a'), 'pipe'] });
  child.on('exit', (code, signal) => {
    daemon = 0;
    say({ gone: `tsudevd ended: ${code ?? signal}` });
  });
  daemon = child.pid ?? 0;
  await new Promise((ready) => {
    child.stdio[3]?.on('data', ready);
  });
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  modulesOf = aliasReader(readFileSync(`/lib/modules/${release}/modules.alias`, 'latin1'));
  await listen();
  await settle({ plugged: [], controllers: {} });
  // Until now the daemon told of events that it had made up for what it found.
  told = { ...told, kernel: 0, udev: 0 };
  return { release, missing: missingModules(devices()), status: await status(), seqnum: seqnum() };
}

/** Debian's udevadm prints the messages of the kernel and of the daemon, with their numbers. */
function listen() {
  const child = spawn('udevadm', ['monitor', '--kernel', '--udev', '--property'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let current = { isKernel: false, action: '', devpath: '' };
  return new Promise((listening) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const head = /^(KERNEL|UDEV  )\[[\d.]+\] (\S+) +(\S+)/.exec(line);
      if (head) current = { isKernel: head[1] === 'KERNEL', action: head[2] ?? '', devpath: head[3] ?? '' };
      else if (line.startsWith('SEQNUM=')) note(Number(line.slice(7)), current);
      else if (line.startsWith('KERNEL - ')) listening(undefined);
    });
  });
}

function note(number, { isKernel, action, devpath }) {
  heard.push(`${isKernel ? 'kernel' : 'udev'} ${number} ${action} ${devpath}`);
  if (heard.length > 2 * HEARD_MAX) heard.splice(0, HEARD_MAX);
  if (isKernel) {
    told.kernel++;
    told.last = Math.max(told.last, number);
    if (!early.delete(number)) untold.set(number, `${action} ${devpath}`);
    return;
  }
  told.udev++;
  if (!untold.delete(number)) early.add(number);
  if (action === 'change') written.delete(devpath);
}

/** Waits until everything that is plugged in is there whole, everything else is gone, and nobody has anything left to do. */
async function settle({ plugged, controllers, gone = [] }) {
  const began = performance.now();
  let quietSince = Infinity;
  let before = '';
  let last = [];
  let slow = [];
  for (;;) {
    const now = performance.now();
    const busy = pending();
    // To look at all devices costs the only processor more than what it waits for.
    const waits = busy.length > 0 ? busy : [
      ...facts(plugged, controllers),
      ...gone.filter((place) => placeOf(place, controllers) !== undefined).map((place) => `${JSON.stringify(place)} is still there`),
    ];
    const state = `${seqnum()}`;
    if (waits.length > 0) last = waits;
    // What the daemon itself says that it does is worth a line where it takes long.
    if (waits.length > 0 && now - began > SLOW_MS) slow = (await status()).pending.slice(0, 3).map(({ action, devpath, state, ms, activity }) => `${state} for ${ms} ms: ${action} ${devpath} ${JSON.stringify(activity)}`);
    if (waits.length > 0 || state !== before) quietSince = now;
    before = state;
    if (now - quietSince >= QUIET_MS) return { ms: Math.round(now - began), waits: [], last: [...last, ...slow] };
    if (now - began > SETTLE_MS) return { ms: Math.round(now - began), waits, last: [...last, ...slow] };
    await sleep(POLL_MS);
  }
}

function pending() {
  for (const devpath of written) if (!existsSync(`/sys${devpath}`)) written.delete(devpath);
  return [
    ...(existsSync('/run/udev/queue') ? ['the queue is not empty'] : []),
    ...[...untold].slice(0, 5).map(([number, what]) => `no message of udev for ${number}: ${what}`),
    ...(told.last === seqnum() || told.last === 0 ? [] : [`the witness has heard ${told.last} of ${seqnum()}`]),
    ...[...written].map((devpath) => `no change after a write to ${devpath}`),
  ];
}

/** What is not as it must be of what is plugged in. */
function facts(plugged, controllers) {
  const problems = [];
  for (const { id, kind, place, drivers, subsystems, links } of plugged) {
    const name = `${id} (${kind})`;
    const directory = placeOf(place, controllers);
    if (directory === undefined) {
      problems.push(`${name} is not in /sys`);
      continue;
    }
    const found = { drivers: new Set(), subsystems: new Set() };
    walk(directory, (path, names) => {
      if (names.has('driver')) found.drivers.add(basename(link(join(path, 'driver'))));
      if (names.has('subsystem')) found.subsystems.add(basename(link(join(path, 'subsystem'))));
    });
    problems.push(...drivers.filter((driver) => !found.drivers.has(driver)).map((driver) => `${name} has no driver ${driver}`));
    problems.push(...subsystems.filter((subsystem) => !found.subsystems.has(subsystem)).map((subsystem) => `${name} has no ${subsystem} device`));
    problems.push(...links.filter((text) => !list(dirname(text)).some((entry) => new RegExp(`(^|[^A-Za-z0-9])${basename(text)}($|[^A-Za-z0-9])`).test(entry)))
      .map((text) => `${name} has no link ${text}`));
  }
  return problems;
}

function placeOf(place, controllers) {
  if ('pci' in place) return child(`/sys/bus/pci/devices/${place.pci}`, /^[\da-f]{4}:[\da-f]{2}:[\da-f]{2}\.\d$/);
  if ('usb' in place) {
    for (const bus of list(`/sys/bus/pci/devices/${controllers.usb}`).filter((name) => /^usb\d+$/.test(name))) {
      const directory = `/sys/bus/pci/devices/${controllers.usb}/${bus}/${bus.slice(3)}-${place.usb}`;
      if (existsSync(directory)) return directory;
    }
    return undefined;
  }
  const steps = [/^virtio\d+$/, /^host\d+$/, new RegExp(`^target\\d+:0:${place.scsi}$`), new RegExp(`^\\d+:0:${place.scsi}:0$`)];
  return steps.reduce((directory, pattern) => directory && child(directory, pattern), `/sys/bus/pci/devices/${controllers.scsi}`);
}

/**
 * Compares /sys, the database, the links and the modules. `removed` are modules that are missing on purpose, `absent` those that
 * were missing from the start. `generations` is the span of rules that a device may have been handled by, for all devices.
 */
async function check(wanted) {
  for (let left = CHECKS; ; left--) {
    const before = seqnum();
    const result = compare(wanted);
    // A device that comes meanwhile is seen in part only: usb-storage waits for a second before it looks for its disks.
    if (seqnum() === before || left === 1) return { ...result, log: newLog() };
    await settle(wanted);
  }
}

function compare({ plugged, controllers, removed, absent, oldest, generation }) {
  sets = firmwareSets();
  const problems = [];
  const newer = new Map(plugged.flatMap(({ place, since }) => {
    const directory = placeOf(place, controllers);
    return directory === undefined ? [] : [[realpathSync(directory).slice('/sys'.length), since]];
  }));
  const found = devices();
  const ids = new Set(found.map(({ id }) => id));
  const records = new Map(list('/run/udev/data').map((name) => [name, readText(join('/run/udev/data', name))]));
  for (const { id, devpath } of found) {
    const text = records.get(id);
    const has = Number(/^E:SOAK=(\d+)$/m.exec(text ?? '')?.[1] ?? NaN);
    const least = newer.get(devpath) ?? oldest;
    if (text === undefined) problems.push(`${devpath} has no record ${id}`);
    else if (!(has >= least && has <= generation)) problems.push(`${devpath} was handled by rules ${has}, not ${least} to ${generation}`);
  }
  for (const [id, text = ''] of records) {
    if (!ids.has(id) && !isElsewhere(id)) problems.push(`record ${id} is of no device: ${historyOf(id)}`);
    for (const [, kind, name = ''] of text.matchAll(/^([SG]):(.*)$/gm)) {
      if (kind === 'S' && !existsSync(`/dev/${name}`)) problems.push(`/dev/${name} of ${id} leads nowhere`);
      if (kind === 'G' && !existsSync(`/run/udev/tags/${name}/${id}`)) problems.push(`tag ${name} of ${id} is not there`);
    }
  }
  for (const tag of list('/run/udev/tags')) {
    for (const id of list(`/run/udev/tags/${tag}`)) if (!records.has(id)) problems.push(`tag ${tag} is kept of ${id}, which has no record`);
  }
  for (const name of list('/run/udev/links')) {
    for (const id of list(`/run/udev/links/${name}`).filter((entry) => entry !== '.lock')) if (!records.has(id)) problems.push(`link ${name} is kept of ${id}, which has no record`);
  }
  for (const name of list('/run/udev/watch')) if (!/^\d+$/.test(name) && !records.has(name)) problems.push(`a watch is kept of ${name}, which has no record`);
  for (const path of linksBelow('/dev/disk')) if (!existsSync(path)) problems.push(`${path} leads nowhere`);
  const unwanted = new Set([...removed, ...absent]);
  for (const [module, devpath] of Object.entries(missingModules(found))) if (!unwanted.has(module)) problems.push(`${module} is not loaded for ${devpath}`);
  return { problems, devices: found.length };
}

/** Of modules, drivers, buses, classes and sets in /sys/firmware, which are no devices but have records. */
function isElsewhere(id) {
  const [, kind = '', name = ''] = /^\+(\w+):(.*)$/.exec(id) ?? [];
  switch (kind) {
    case '': return false;
    case 'module': return existsSync(`/sys/module/${name}`);
    case 'bus': return existsSync(`/sys/bus/${name}`);
    case 'class': return existsSync(`/sys/class/${name}`);
    case 'drivers': return existsSync(`/sys/bus/${name.replace(':', '/drivers/')}`);
    case 'subsystem': return existsSync(`/sys/bus/${name}`) || existsSync(`/sys/class/${name}`);
    // Those of network devices have events, but no link to their set.
    case 'queues': return list('/sys/class/net').some((device) => existsSync(`/sys/class/net/${device}/queues/${name}`));
    default: return sets.has(id);
  }
}

/** Records of them are called by the set that they are in, which is the directory above. */
function firmwareSets() {
  const found = new Set();
  walk('/sys/firmware', (path) => found.add(`+${basename(dirname(path))}:${basename(path)}`));
  return found;
}

async function sample() {
  sets = firmwareSets();
  const text = readFileSync(`/proc/${daemon}/status`, 'latin1');
  const kB = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1]);
  // Modules and drivers stay loaded, and have records and tags too: those are no devices. A device keeps the tags of old rules, as in udev.
  const count = (name) => countBelow(`/run/udev/${name}`, (entry, path) => !isElsewhere(entry) && !/\/soak\d(?:\/|$)/.test(`${path}/${entry}`));
  return {
    rss: kB('VmRSS'), anonymous: kB('RssAnon'), peak: kB('VmHWM'), threads: kB('Threads'), descriptors: list(`/proc/${daemon}/fd`).length, watches: inotifyWatches(),
    data: count('data'), tags: count('tags'), links: count('links'), watch: count('watch'), queue: existsSync('/run/udev/queue'), seqnum: seqnum(), told, status: await status(),
    open: openFiles(), modules: modules().length, devices: devices().length, free: Number(/^MemAvailable:\s*(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]),
  };
}

/** What the descriptors of the daemon are of, and how many of each. */
function openFiles() {
  const found = {};
  for (const name of list(`/proc/${daemon}/fd`)) {
    const target = link(`/proc/${daemon}/fd/${name}`).replaceAll(/\[\d+\]/g, '');
    found[target] = (found[target] ?? 0) + 1;
  }
  return found;
}

function inotifyWatches() {
  return list(`/proc/${daemon}/fdinfo`).reduce((sum, name) => sum + (readText(`/proc/${daemon}/fdinfo/${name}`)?.match(/^inotify /gm)?.length ?? 0), 0);
}

/** A new file takes the old one's place; others come and go beside it. */
async function rules({ generation }) {
  mkdirSync(RULES, { recursive: true });
  const path = join(RULES, '99-soak.rules');
  writeFileSync(`${path}.new`, `ACTION!="remove", ENV{SOAK}="${generation}", TAG+="soak${generation % 3}"\n`);
  renameSync(`${path}.new`, path);
  if (generation % 2 === 0) writeFileSync(join(RULES, '98-even.rules'), 'SUBSYSTEM=="block", ENV{SOAK_EVEN}="1"\n');
  else rmSync(join(RULES, '98-even.rules'), { force: true });
}

function reload() {
  return run('tsudevadm', ['control', '--reload']);
}

/** Removes a module that nothing uses; `choose` is below 1. */
async function rmmod({ choose }) {
  const before = modules();
  const unused = before.filter(({ uses, permanent }) => uses === 0 && !permanent).map(({ name }) => name).sort();
  const name = unused[Math.floor(choose * unused.length)];
  if (name === undefined) return { removed: [] };
  const { status: code, stderr } = await run('tsmodprobe', ['-r', name]);
  const now = new Set(modules().map((module) => module.name));
  return { name, code, stderr, removed: before.map((module) => module.name).filter((module) => !now.has(module)) };
}

function trigger({ args }) {
  return run('tsudevadm', ['trigger', ...args]);
}

/** Opens a disk to write and closes it: its watch makes the daemon look again. */
async function write({ link: text }) {
  const entry = list(dirname(text)).find((name) => name.includes(basename(text)));
  if (entry === undefined) return false;
  const node = resolve(dirname(text), link(join(dirname(text), entry)));
  written.add(link(`/sys/class/block/${basename(node)}`).replace(/^(?:\.\.\/)+/, '/'));
  closeSync(openSync(node, 'r+'));
  return true;
}

/** Stops the daemon: what it had counted before, and how it ended. */
async function stop() {
  const last = await sample();
  const ended = new Promise((done) => {
    const timer = setInterval(() => {
      if (daemon !== 0) return;
      clearInterval(timer);
      done(undefined);
    }, POLL_MS);
  });
  process.kill(daemon, 'SIGTERM');
  await ended;
  return { ...last, log: newLog() };
}

/** What was heard last of a device without a number. */
function historyOf(id) {
  const name = `/${id.slice(id.indexOf(':') + 1)}`;
  return heard.filter((text) => text.endsWith(name)).slice(-16).join(', ');
}

/** All devices of /sys, with their names in the database. */
function devices() {
  const found = [];
  walk('/sys/devices', (path, names) => {
    if (!names.has('uevent') || !names.has('subsystem')) return;
    const subsystem = basename(link(join(path, 'subsystem')));
    if (subsystem === '') return;
    const number = names.has('dev') ? readText(join(path, 'dev'))?.trim() : undefined;
    const index = subsystem === 'net' ? readText(join(path, 'ifindex'))?.trim() : undefined;
    const id = number ? `${subsystem === 'block' ? 'b' : 'c'}${number}` : index ? `n${index}` : `+${subsystem}:${basename(path).replaceAll('!', '/')}`;
    found.push({ devpath: path.slice(4), id, modalias: names.has('modalias') ? readText(join(path, 'modalias'))?.trim() ?? '' : '' });
  });
  return found;
}

/** The modules that a device's modalias names and that are not loaded, with a device each. */
function missingModules(found) {
  const loaded = new Set(modules().map(({ name }) => name));
  const missing = {};
  for (const { devpath, modalias } of found) {
    if (modalias !== '') for (const module of modulesOf(modalias)) if (!loaded.has(module)) missing[module] = devpath;
  }
  return missing;
}

function modules() {
  return readFileSync('/proc/modules', 'latin1').split('\n').filter(Boolean).map((line) => {
    const [name = '', , uses, users = ''] = line.split(' ');
    return { name, uses: Number(uses), permanent: users.includes('[permanent]') };
  });
}

function status() {
  return new Promise((done, failed) => {
    let text = '';
    connect('/run/udev/tsudevd.status').on('data', (chunk) => (text += chunk)).on('end', () => done(JSON.parse(text))).on('error', failed);
  });
}

function run(program, args) {
  return new Promise((done, failed) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.on('error', failed).on('close', (code, signal) => done({ status: code ?? signal, stderr: stderr.trim() }));
  });
}

function newLog() {
  const text = readFileSync(LOG, 'utf8').slice(logRead);
  logRead += text.length;
  return text.split('\n').filter(Boolean);
}

function seqnum() {
  return Number(readFileSync('/sys/kernel/uevent_seqnum', 'latin1'));
}

function sleep(ms) {
  return new Promise((done) => {
    setTimeout(done, ms);
  });
}
