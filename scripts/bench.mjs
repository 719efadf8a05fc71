// npm run bench: our speed beside the real tools', as ratios in one run, because machines differ and are noisy.
//   npm run bench [-- lookups|startup|depends|why|depmod|bundle|initramfs|rules|events|vm]...

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
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

const wanted = process.argv.slice(2);
const benches = { lookups, startup, depends, why, depmod, bundle, initramfs, rules, events, vm };
console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}, modules of ${release}`);
for (const [name, bench] of Object.entries(benches)) if (wanted.length === 0 || wanted.includes(name)) await bench();

/** Alias look-ups a second in one process: ours against libkmod's, called through the same FFI. */
async function lookups() {
  const { openSystem } = await import(join(top, 'dist/src/system.js'));
  const { openKmod } = await import(join(top, 'dist/src/kmod/kmod.js'));
  const aliases = instances(2000);
  const kmod = openKmod(openSystem({ roots: { modules: root }, release }), { configPaths: [] });
  const ours = perCall(aliases, (alias) => kmod.lookup(alias).length);
  const libkmod = openLibkmod();
  if (!libkmod) return report('alias look-up', ours, 'µs', undefined, 'libkmod.so.2 is not here');
  const theirs = perCall(aliases, libkmod);
  report('alias look-up in process', ours, 'µs', theirs, 'libkmod');
}

/** A dry run and the least that an applet can do, against the bare interpreter and against kmod's. */
async function startup() {
  const bare = fastest(process.execPath, ['-e', '0']);
  const dryRun = ['-d', root, '-S', release, '-n', 'xfs'];
  for (const [name, args] of [['modprobe -n xfs', ['modprobe', ...dryRun]], ['--version', ['--version']]]) {
    const ours = fastest(process.execPath, [cli, ...args]);
    report(`start-up: ${name}`, ours, 'ms', bare, 'node -e 0');
    console.log(`${''.padEnd(34)}${`+${(ours - bare).toFixed(1)} ms`.padStart(12)}  beyond bare Node`);
    if (name === 'modprobe -n xfs' && real) report(name, ours, 'ms', fastest(real, dryRun), 'kmod');
  }
}

/** What every module of the tree needs, asked in one process. Node's own start is not counted. */
async function depends() {
  const names = readFileSync(join(kernel.modules, 'modules.dep'), 'latin1').split('\n').filter(Boolean)
    .map((line) => line.slice(0, line.indexOf(':')).replace(/^.*\//, '').replace(/\.ko.*$/, ''));
  const args = ['-d', root, '-S', release, '-a', '-D', ...names];
  const ours = fastest(process.execPath, [cli, 'modprobe', ...args], 10) - fastest(process.execPath, ['-e', '0']);
  report(`-a -D of ${names.length} modules`, ours, 'ms', real && fastest(real, args, 10), real ? 'kmod' : 'kmod is not here');
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
  let best = Infinity;
  for (let i = 0; i < 20; i++) {
    const started = process.cpuUsage();
    const kmod = openKmod(system);
    const { rules } = await loadMachineRules(system, { resolveNames: 'never', defaultDirectory: join(top, 'rules') });
    explain(await openWhy(system, kmod, { rules })(target));
    await kmod.close();
    const { user, system: inKernel } = process.cpuUsage(started);
    best = Math.min(best, (user + inKernel) / 1000);
  }
  report('why of a device, in process', best, 'ms', 50, 'the limit of');
}

/** depmod and modinfo of whole trees, each beside kmod's. */
async function depmod() {
  const { benchDepmod } = await import('./bench-depmod.mjs');
  const find = (series) => findKernel({ kernel: series, cacheDirectory: defaultCacheDirectory(), onProgress: console.error });
  for await (const { name, ours, unit, theirs, whose } of benchDepmod({ scratch: join(defaultCacheDirectory(), 'bench'), kernel: find })) {
    report(name, ours, unit, theirs, whose);
  }
}

/** What a selection saves at boot. */
async function initramfs() {
  const { benchInitramfs } = await import('./bench-initramfs.mjs');
  for await (const { name, ours, unit, theirs, whose } of benchInitramfs({ scratch: join(defaultCacheDirectory(), 'bench'), kernel })) {
    report(name, ours, unit, theirs, whose);
  }
}

/** A bundle of all modules beside mkfs.erofs, and what opening it costs. */
async function bundle() {
  const { benchBundle } = await import('./bench-bundle.mjs');
  for await (const { name, ours, unit, theirs, whose } of benchBundle({ scratch: join(defaultCacheDirectory(), 'bench'), kernel })) {
    report(name, ours, unit, theirs, whose);
  }
}

/** Parsing the rules of Debian's packages, beside udev's own parser. */
async function rules() {
  const { benchRules } = await import('./bench-rules.mjs');
  for (const { name, ours, unit, theirs, whose } of benchRules()) report(name, ours, unit, theirs, whose);
}

/** Bursts of uevents, and the memory of the daemon: ours against Debian's udevd, on this machine's devices. Needs root. */
async function events() {
  const { benchEvents } = await import('./bench-udev.mjs');
  if (process.getuid?.() !== 0) return console.log('events: only root may write to uevent files');
  // Of a rate more is better: a ratio above 1 is ours.
  for (const { name, unit, ours, theirs } of benchEvents()) report(name, ours, unit, theirs, 'udevd');
}

/** Coldplug of one machine in the VM: ours against Debian's udevd, from start to settled. */
async function vm() {
  const { benchColdplug } = await import('./bench-vm.mjs');
  for (const { name, ours, theirs } of await benchColdplug(kernel)) report(name, ours, 'ms', theirs, 'udevd');
}

/** @param {string} name @param {number} ours @param {string} unit @param {number | undefined} theirs @param {string} whose */
function report(name, ours, unit, theirs, whose) {
  const compared = theirs === undefined ? whose : `${whose} ${theirs.toFixed(2)} ${unit}, ratio ${(ours / theirs).toFixed(3)}`;
  console.log(`${name.padEnd(34)}${`${ours.toFixed(2)} ${unit}`.padStart(12)}  ${compared}`);
}

/**
 * Microseconds a call: the fastest of several rounds over all words.
 * @param {readonly string[]} words
 * @param {(word: string) => number} call
 */
function perCall(words, call) {
  let best = Infinity;
  for (let round = 0; round < 7; round++) {
    const started = performance.now();
    for (const word of words) call(word);
    best = Math.min(best, ((performance.now() - started) * 1000) / words.length);
  }
  return best;
}

/**
 * Milliseconds of a command: the fastest of many, since everything else on the machine only adds.
 * @param {string} program
 * @param {readonly string[]} args
 */
function fastest(program, args, runs = 40) {
  const env = { ...process.env };
  // Node 20 reads every certificate of this at each start.
  delete env.NODE_EXTRA_CA_CERTS;
  let best = Infinity;
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    const { status } = spawnSync(program, args, { stdio: 'ignore', env });
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status}`);
    best = Math.min(best, performance.now() - started);
  }
  return best;
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
