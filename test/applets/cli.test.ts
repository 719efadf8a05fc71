import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { VERSION } from '../../src/version.ts';
import { fixtureRoot } from '../fixture-root.ts';

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const executable = join(top, 'dist/tskmod.cjs');
const EXAMPLE = ['--root', join(top, 'examples/q35'), '-S', '6.12.117+deb12-amd64'];

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

describe('dist/tskmod.cache', () => {
  const cache = readFileSync(join(top, 'dist/tskmod.cache'));
  const flipped = (at: number) => Buffer.from(cache).fill(~(cache[at] ?? 0), at, at + 1);

  it.each<[string, Buffer | undefined]>([
    ['as it was built', cache],
    ['missing', undefined],
    ['empty', Buffer.alloc(0)],
    ['of another build or Node', flipped(0)],
    ['cut', cache.subarray(0, cache.length - 1)],
    ['cut to its first half', cache.subarray(0, (cache.length + 64) / 2)],
    // What is near the end of the code crashes V8 when it is wrong.
    ['damaged', flipped(Math.floor(cache.length * 0.45))],
    ['filled with zeros from somewhere on', Buffer.concat([cache.subarray(0, 4096), Buffer.alloc(cache.length - 4096)])],
  ])('changes nothing but the time when it is %s', (_, bytes) => {
    const root = fixtureRoot({});
    const copy = join(root, 'tskmod.cjs');
    copyFileSync(executable, copy);
    if (bytes) writeFileSync(join(root, 'tskmod.cache'), bytes);
    expect(run(copy, ['modprobe', '-d', root, '-S', '1', '-n', 'nosuch'])).toEqual({
      status: 1, stdout: '', stderr: `modprobe: FATAL: Module nosuch not found in directory ${root}/lib/modules/1\n`,
    });
  });

  it('is taken by the Node that built it', () => {
    const program = `process.argv.splice(1, 0, 'tskmod', '-V');
      const { script } = require(${JSON.stringify(executable)});
      console.log(script.cachedDataRejected);`;
    expect(run('-e', [program])).toEqual({ status: 0, stdout: `tsmodprobe ${VERSION}\nfalse\n`, stderr: '' });
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
