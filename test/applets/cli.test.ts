import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';

import { VERSION } from '../../src/version.ts';
import { fixtureRoot } from '../fixture-root.ts';

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const executable = join(top, 'dist/tskmod.cjs');
const EXAMPLE = ['--root', join(top, 'examples/q35'), '-S', '6.12.117+deb12-amd64'];

// Each test starts a few processes.
vi.setConfig({ testTimeout: 60_000 });

function run(program: string, args: readonly string[], nodeArgs: readonly string[] = []) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeArgs, program, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('dist/tskmod.cjs', () => {
  it('is built: npm ci leaves it', () => {
    expect(existsSync(executable)).toBe(true);
  });

  it.each(['modprobe', 'tsmodprobe'])('is modprobe by a link named %s', (name) => {
    const root = fixtureRoot({});
    symlinkSync(executable, join(root, name));
    expect(run(join(root, name), ['-d', root, 'nosuch'])).toEqual({
      status: 1, stdout: '', stderr: expect.stringContaining(`${name}: FATAL: Module nosuch not found in directory ${root}/lib/modules/`),
    });
  });

  it('takes the applet as its first word too', () => {
    expect(run(executable, ['tsmodprobe', '-V'])).toEqual({ status: 0, stdout: `tsmodprobe ${VERSION}\n`, stderr: '' });
    expect(run(executable, ['nosuch'])).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(/^tskmod: no such applet: 'nosuch'\nUsage: tskmod /) });
  });

  it.each([['18.20.8', 1], ['20.18.3', 1], ['20.19.0', 0], ['24.0.0', 0]])('with Node %s ends with %i', (node, expected) => {
    const pretend = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'${node}'}})`;
    const { status, stderr } = run(executable, ['--version'], ['--import', pretend]);
    expect([status, stderr]).toEqual([expected, expected === 0 ? '' : `tskmod: Node ${node} is too old: 20.19 or newer is needed (packaging/README.md of the package says how to get it)\n`]);
  });

  it('tells a pipe that closed early from success, and prints no stack', () => {
    const { status, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${executable}" udevd --dry-run ${EXAMPLE.map((word) => `"${word}"`).join(' ')} | true`], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('never loads the FFI for pure commands', () => {
    const root = fixtureRoot({});
    const hook = join(root, 'hook.cjs');
    writeFileSync(hook, `process.on('exit', () => require('fs').writeSync(2, String(/koffi/.test(require('fs').readFileSync('/proc/self/maps', 'latin1')))));`);
    const tree = join(top, 'examples/q35');
    for (const args of [['udevd', '--dry-run', ...EXAMPLE], ['modprobe', '-n', '-d', tree, '-S', '6.12.117+deb12-amd64', 'xfs'], ['modprobe', '-R', '-d', tree, '-S', '6.12.117+deb12-amd64', 'fs-xfs']]) {
      expect(run(executable, args, ['-r', hook])).toMatchObject({ status: 0, stderr: 'false' });
    }
  });
});

/** Where a copy of the executable lies, with these files of the code cache beside it. */
function copyWith(cache: ReadonlyMap<string, Buffer>): string {
  const root = fixtureRoot({});
  for (const name of ['tskmod.cjs', 'tskmod.parts']) copyFileSync(join(top, 'dist', name), join(root, name));
  mkdirSync(join(root, 'tskmod.cache'));
  for (const [name, bytes] of cache) writeFileSync(join(root, 'tskmod.cache', name), bytes);
  return root;
}

/** For each part of the executable that `args` load, whether V8 refused the code that was kept of it; undefined where there was none. */
function refused(args: readonly string[], nodeArgs: readonly string[] = []): Record<string, boolean | undefined> {
  const hook = join(fixtureRoot({}), 'hook.cjs');
  writeFileSync(hook, `process.on('exit', () => {
    const { scripts } = require(${JSON.stringify(executable)});
    process._rawDebug(JSON.stringify(Object.fromEntries([...scripts].map(([name, { cachedDataRejected }]) => [name, cachedDataRejected]))));
  });`);
  return JSON.parse(run(executable, args, [...nodeArgs, '-r', hook]).stderr) as Record<string, boolean | undefined>;
}

describe('dist/tskmod.cache', () => {
  const directory = join(top, 'dist/tskmod.cache');
  const built = new Map(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
  /** Another Node takes none of it. */
  const isOurs = [...built.values()].every((bytes) => bytes.toString('latin1', 0, 64).includes(` ${process.version} `));
  const changed = (change: (bytes: Buffer) => Buffer) => new Map([...built].map(([name, bytes]) => [name, change(Buffer.from(bytes))]));
  const flipped = (place: (size: number) => number) => changed((bytes) => bytes.fill(~(bytes[place(bytes.length)] ?? 0), place(bytes.length), place(bytes.length) + 1));
  const dryRun = ['modprobe', '-d', join(top, 'examples/q35'), '-S', '6.12.117+deb12-amd64', '-n', 'xfs'];

  it.each<[string, ReadonlyMap<string, Buffer>]>([
    ['as it was built', built],
    ['missing', new Map()],
    ['empty', changed(() => Buffer.alloc(0))],
    ['of another build or Node', flipped(() => 0)],
    ['cut', changed((bytes) => bytes.subarray(0, bytes.length - 1))],
    ['cut to its first half', changed((bytes) => bytes.subarray(0, (bytes.length + 64) / 2))],
    // What is near the end of the code crashes V8 when it is wrong.
    ['damaged', flipped((size) => Math.floor(size * 0.45))],
    ['filled with zeros from somewhere on', changed((bytes) => bytes.fill(0, 4096))],
  ])('changes nothing but the time when it is %s', (_, cache) => {
    const root = copyWith(cache);
    expect(run(join(root, 'tskmod.cjs'), ['modprobe', '-d', root, '-S', '1', '-n', 'nosuch'])).toEqual({
      status: 1, stdout: '', stderr: `modprobe: FATAL: Module nosuch not found in directory ${root}/lib/modules/1\n`,
    });
    expect(run(join(root, 'tskmod.cjs'), ['udevd', '--version'])).toEqual(run(executable, ['udevd', '--version']));
  });

  it('changes nothing but the time when V8 has other flags, and is refused then', () => {
    expect(run(executable, dryRun, ['--stack-size=900'])).toEqual(run(executable, dryRun));
    expect(refused(dryRun, ['--stack-size=900'])).toEqual(isOurs ? { start: true } : {});
  });

  it('is taken by the Node that built it, and by no other', () => {
    expect(refused(dryRun)).toEqual(isOurs ? { start: false } : {});
    expect(Object.values(refused(['udevd', '--dry-run', ...EXAMPLE]))).not.toContain(true);
  });

  it('is used by whoever may only read it', (context) => {
    if (!isOurs) return context.skip('another Node has built dist');
    const root = copyWith(built);
    chmodSync(root, 0o755);
    const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    const node = ['-e', 'console.log([...require(process.argv[1]).scripts.values()].map((script) => script.cachedDataRejected))', join(root, 'tskmod.cjs')];
    const done = spawnSync(process.execPath, [...node, '--version'], { encoding: 'utf8', cwd: '/', ...user });
    expect([done.stdout, done.stderr]).toEqual([expect.stringContaining('[ false ]\n'), '']);
    expect(readdirSync(join(root, 'tskmod.cache'))).toEqual([...built.keys()]);
  });
});

describe('dist/tskmod.parts', () => {
  it('is known to be of another build', () => {
    const root = copyWith(new Map());
    writeFileSync(join(root, 'tskmod.parts'), readFileSync(join(root, 'tskmod.parts'), 'latin1').replace(/./, ' '));
    expect(run(join(root, 'tskmod.cjs'), ['--version'])).toEqual({
      status: 1, stdout: '', stderr: expect.stringContaining(`Error: ${root}/tskmod.parts is not of the same build as ${root}/tskmod.cjs\n`),
    });
  });

  it('serves a process that started before it was replaced', () => {
    const root = copyWith(new Map());
    const hook = join(root, 'hook.cjs');
    // When the executable has read its first part, and not yet the applet's.
    writeFileSync(hook, `process.nextTick(() => {
      require('fs').rmSync('${root}/tskmod.parts');
      require('fs').writeFileSync('${root}/tskmod.parts', '');
    });`);
    expect(run(join(root, 'tskmod.cjs'), ['udevd', '--version'], ['-r', hook])).toEqual(run(executable, ['udevd', '--version']));
  });
});

describe('the captured machine of examples/', () => {
  it('gets its drivers in a dry run, with the reason for each', () => {
    const { status, stdout } = run(executable, ['udevd', '--dry-run', ...EXAMPLE]);
    expect(status).toBe(0);
    const would = stdout.split('\n').filter((line) => line.startsWith('would load ')).map((line) => line.split(' ')[2]);
    expect(would).toEqual(expect.arrayContaining(['e1000e', 'virtio_scsi', 'nvme', 'xhci_pci', 'snd_hda_intel', 'i2c_i801']));
    expect(stdout).toContain('because MODALIAS of /devices/pci0000:00/0000:00:05.0 matches pci:v00008086d000010D3sv*sd*bc*sc*i*');
    expect(stdout).toMatch(/\n81 devices, 36 modaliases \(\d+ without a module\), \d+ modules to load, 0 there already, 0 blacklisted\n$/);
  });
});
