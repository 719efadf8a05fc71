// npm run bench: our speed beside the real tools', as ratios in one run, because machines differ and are noisy.
//   npm run bench [-- [--output DIR] [NAME...]]     names are those of the table below; without one, all, and docs/benchmarks.md and .svg are
//   written. With names they are written only to DIR

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchDocument, benchPlot, machineLines } from './bench-document.mjs';
import { inTurns, openResults } from './bench-result.mjs';
import { ensureBuild, ensureDebianPackages, ensureNodeModules, top } from './setup.mjs';

ensureNodeModules();
ensureBuild();
const missing = ensureDebianPackages(['kmod', 'libkmod2', 'busybox-static', 'xz-utils', 'zstd', 'qemu-system-x86']);
if (missing !== undefined) console.log(`some figures will be missing: ${missing}`);

const { findKernel } = await import(join(top, 'dist/src/vm/kernel.js'));
const { defaultCacheDirectory } = await import(join(top, 'dist/src/vm/cache.js'));
const kernel = await findKernel({ kernel: '6.12', cacheDirectory: defaultCacheDirectory(), onProgress: console.error });
const root = dirname(dirname(dirname(kernel.modules)));
const release = kernel.release;

const cli = join(top, 'dist/tskmod.cjs');
const real = ['/sbin/modprobe', '/usr/sbin/modprobe'].find((path) => existsSync(path));

const { values: { output }, positionals: wanted } = parseArgs({ options: { output: { type: 'string' } }, allowPositionals: true });
const benches = { lookups, startup, depends, why, recording, depmod, bundle, initramfs, rules, events, vm, helper };
const unknown = wanted.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length > 0) throw new Error(`no bench ${unknown.join(', ')}: there are ${Object.keys(benches).join(', ')}`);
const machine = machineLines(release);
for (const line of machine) console.log(line);
const results = openResults(console.log);
let group = '';
/** @type {import('./bench-result.mjs').Report} */
const report = (...row) => results.report(group, ...row);
for (const [name, bench] of Object.entries(benches)) {
  group = name;
  if (wanted.length === 0 || wanted.includes(name)) await bench();
}
// Some of the benches would not make the document of all.
const directory = output ?? (wanted.length === 0 ? join(top, 'docs') : undefined);
if (directory !== undefined) {
  writeFileSync(join(directory, 'benchmarks.md'), benchDocument(results.rows, machine));
  writeFileSync(join(directory, 'benchmarks.svg'), benchPlot(results.rows));
  console.log(`written: ${join(directory, 'benchmarks.md')} and .svg`);
}

/** Alias look-ups a second in one process: ours against libkmod's, called through the same FFI. */
async function lookups() {
  const { openSystem } = await import(join(top, 'dist/src/system.js'));
  const { openKmod } = await import(join(top, 'dist/src/kmod/kmod.js'));
  const aliases = instances(2000);
  const kmod = openKmod(openSystem({ roots: { modules: root }, release }), { configPaths: [] });
  const libkmod = openLibkmod();
  // In a process that lives: the first rounds are when V8 compiles. And as long a turn as libkmod's, which leaves the processor's caches full of its own.
  const often = Array.from({ length: 10 }, () => aliases).flat();
  const { ours, theirs } = await inTurns(40, {
    ours: () => perCall(often, (alias) => kmod.lookup(alias).length),
    ...(libkmod ? { theirs: () => perCall(aliases, libkmod) } : {}),
  });
  report('alias look-up in process', ours, 'µs', theirs, libkmod ? 'libkmod' : 'libkmod.so.2 is not here', { target: { ratio: 0.1 } });
}

/** A dry run and the least that an applet can do, against the bare interpreter and against kmod's. */
async function startup() {
  const dryRun = ['-d', root, '-S', release, '-n', 'xfs'];
  const { bare, modprobe, version, theirs } = await inTurns(40, {
    bare: () => timed(process.execPath, ['-e', '0']),
    modprobe: () => timed(process.execPath, [cli, 'modprobe', ...dryRun]),
    version: () => timed(process.execPath, [cli, '--version']),
    ...(real ? { theirs: () => timed(real, dryRun) } : {}),
  });
  report('start: modprobe -n xfs', modprobe, 'ms', bare, 'node -e 0');
  report('start beyond that of Node', beyond(modprobe, bare), 'ms', undefined, 'node -e 0 is taken off', { target: { ours: 10 } });
  report('modprobe -n xfs', modprobe, 'ms', theirs, real ? 'kmod' : 'kmod is not here');
  report('start: --version', version, 'ms', bare, 'node -e 0');
}

/** What every module of the tree needs, asked in one process. Node's own start is not counted. */
async function depends() {
  const names = readFileSync(join(kernel.modules, 'modules.dep'), 'latin1').split('\n').filter(Boolean)
    .map((line) => line.slice(0, line.indexOf(':')).replace(/^.*\//, '').replace(/\.ko.*$/, ''));
  const args = ['-d', root, '-S', release, '-a', '-D', ...names];
  const { ours, bare, theirs } = await inTurns(12, {
    ours: () => timed(process.execPath, [cli, 'modprobe', ...args]),
    bare: () => timed(process.execPath, ['-e', '0']),
    ...(real ? { theirs: () => timed(real, args) } : {}),
  });
  report(`-a -D of ${names.length} modules, beyond Node`, beyond(ours, bare), 'ms', theirs, real ? 'kmod' : 'kmod is not here', { target: { ratio: 3 } });
}

/** The chain of a device of this machine against the whole tree, in process: rules, configuration and indexes are read anew each time. */
async function why() {
  const [{ openSystem }, { openKmod }, { openWhy }, { explain }, { loadMachineRules }, { enumerate }] = await Promise.all(
    ['system', 'kmod/kmod', 'why/read-why', 'why/explanation', 'udev/rule-store', 'udev/enumerate'].map((name) => import(join(top, `dist/src/${name}.js`))),
  );
  const system = openSystem({ roots: { modules: root }, release });
  const devices = (await enumerate(system)).filter(({ modalias }) => modalias);
  const target = (devices.find(({ modalias }) => modalias.startsWith('pci:')) ?? devices[0])?.devpath;
  if (target === undefined) return console.log('why: no device of this machine has a modalias');
  const times = [];
  for (let round = 0; round < 20; round++) {
    const started = process.cpuUsage();
    const kmod = openKmod(system);
    const { rules } = await loadMachineRules(system, { resolveNames: 'never', defaultDirectory: join(top, 'rules') });
    explain(await openWhy(system, kmod, { rules })(target));
    await kmod.close();
    const { user, system: inKernel } = process.cpuUsage(started);
    times.push((user + inKernel) / 1000);
  }
  report('why of a device, in process', times, 'ms', undefined, 'processor time', { target: { ours: 50 } });
}

/** This machine into a file, and a dry-run coldplug of that file against the whole tree: whole processes. */
async function recording() {
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-bench-'));
  try {
    const file = join(scratch, 'machine.rec');
    const { recorded, planned } = await inTurns(15, {
      recorded: () => timed(process.execPath, [cli, 'record', '-o', file]),
      planned: () => timed(process.execPath, [cli, 'udevd', '-n', '--machine', file, '--modules', kernel.modules, '-S', release]),
    });
    const devices = readFileSync(file, 'utf8').match(/^P: /gm)?.length ?? 0;
    report('record of a machine, for 400 devices', recorded.map((ms) => (ms * 400) / devices), 'ms', undefined, `of ${devices} devices`, { target: { ours: 1000 } });
    report('coldplug of a recording, dry run', planned, 'ms', undefined, `${devices} devices, the whole process`, { target: { ours: 150 } });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** depmod and modinfo of whole trees, each beside kmod's. */
async function depmod() {
  const { benchDepmod } = await import('./bench-depmod.mjs');
  const find = (series) => findKernel({ kernel: series, cacheDirectory: defaultCacheDirectory(), onProgress: console.error });
  for await (const { name, ours, unit, theirs, whose, ...options } of benchDepmod({ scratch: join(defaultCacheDirectory(), 'bench'), kernel: find })) {
    report(name, ours, unit, theirs, whose, options);
  }
}

/** What a selection saves at boot. */
async function initramfs() {
  const { benchInitramfs } = await import('./bench-initramfs.mjs');
  for await (const { name, ours, unit, theirs, whose, ...options } of benchInitramfs({ scratch: join(defaultCacheDirectory(), 'bench'), kernel })) {
    report(name, ours, unit, theirs, whose, options);
  }
}

/** A bundle of all modules beside mkfs.erofs, and what opening it costs. */
async function bundle() {
  const { benchBundle } = await import('./bench-bundle.mjs');
  for await (const { name, ours, unit, theirs, whose, ...options } of benchBundle({ scratch: join(defaultCacheDirectory(), 'bench'), kernel })) {
    report(name, ours, unit, theirs, whose, options);
  }
}

/** Parsing the rules of Debian's packages, beside udev's own parser. */
async function rules() {
  const { benchRules } = await import('./bench-rules.mjs');
  for (const { name, ours, unit, theirs, whose, ...options } of await benchRules()) report(name, ours, unit, theirs, whose, options);
}

/** Bursts of uevents, and the memory of the daemon: ours against Debian's udevd, on this machine's devices. Needs root. */
async function events() {
  const { benchEvents } = await import('./bench-udev.mjs');
  if (process.getuid?.() !== 0) return console.log('events: only root may write to uevent files');
  for (const { name, unit, ours, theirs, ...options } of benchEvents()) report(name, ours, unit, theirs, 'udevd', options);
}

/** Coldplug of one machine in the VM, from trigger to settled, and single events: ours against Debian's udevd. */
async function vm() {
  const { benchColdplug } = await import('./bench-vm.mjs');
  for await (const { name, ours, unit, theirs, ...options } of benchColdplug(kernel)) report(name, ours, unit, theirs, 'udevd', options);
}

/** What the kernel asks for: through our helper and daemon, and through kmod's modprobe, in one guest. */
async function helper() {
  const { benchHelper } = await import('./bench-helper.mjs');
  for (const { name, ours, unit, theirs, whose, ...options } of await benchHelper(kernel)) report(name, ours, unit, theirs, whose, options);
}

/** What ours took longer than what is in it, round by round. @param {readonly number[]} ours @param {readonly number[]} within */
function beyond(ours, within) {
  return ours.map((time, round) => time - (within[round] ?? NaN));
}

/**
 * Microseconds a call, over all words.
 * @param {readonly string[]} words
 * @param {(word: string) => number} call
 */
function perCall(words, call) {
  const started = performance.now();
  for (const word of words) call(word);
  return ((performance.now() - started) * 1000) / words.length;
}

/**
 * Milliseconds of a command.
 * @param {string} program
 * @param {readonly string[]} args
 */
function timed(program, args) {
  const env = { ...process.env };
  // Node 20 reads every certificate of this at each start.
  delete env.NODE_EXTRA_CA_CERTS;
  const started = performance.now();
  const { status } = spawnSync(program, args, { stdio: 'ignore', env });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status}`);
  return performance.now() - started;
}

/** Names that patterns of the tree match, always the same ones. */
function instances(count) {
  const patterns = readFileSync(join(kernel.modules, 'modules.alias'), 'latin1').split('\n').filter((line) => line.startsWith('alias '));
  return Array.from({ length: count }, (_, i) => (patterns[(i * 7919) % patterns.length] ?? '').split(' ')[1]
    ?.replaceAll(/\[(.)[^\]]*\]/g, '$1').replaceAll('?', '0').replaceAll('*', '01') ?? '');
}

/** kmod_module_new_from_lookup through koffi: the call costs a fraction of a microsecond. */
function openLibkmod() {
  const koffi = createRequire(import.meta.url)('koffi');
  try {
    const library = koffi.load('libkmod.so.2');
    const context = library.func('void *kmod_new(const char *dirname, const char **config_paths)')(kernel.modules, [null]);
    library.func('int kmod_load_resources(void *ctx)')(context);
    const find = library.func('int kmod_module_new_from_lookup(void *ctx, const char *alias, _Inout_ void **list)');
    const release = library.func('int kmod_module_unref_list(void *list)');
    return (alias) => {
      const list = [null];
      find(context, alias, list);
      if (list[0] !== null) release(list[0]);
      return 1;
    };
  } catch (error) {
    console.error(`libkmod: ${error.message}`);
    return undefined;
  }
}
