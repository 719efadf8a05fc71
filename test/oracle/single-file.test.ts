// The executable that holds Node and the CLI, beside the CLI as npm installs it.

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { buildModule } from '../kmod/elf-builder.ts';

const TOP = join(import.meta.dirname, '../..');
const CLI = join(TOP, 'dist/tskmod.cjs');
const RELEASE = '6.12.0-test';
const NOBODY = 65534;
const PLACE = '/run/tsmodprobe';
const isRoot = process.getuid?.() === 0;

let directory = '';
let before: readonly string[] = [];
const unpacked = (place: string): readonly string[] => (existsSync(place) ? readdirSync(place) : []);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-single-'));
  chmodSync(directory, 0o755);
  before = unpacked(PLACE);
  const made = spawnSync(process.execPath, [join(TOP, 'scripts/single-file.mjs'), '--no-build', join(directory, 'tskmod')], { encoding: 'utf8' });
  expect([made.status, made.stderr]).toEqual([0, '']);
  for (const name of ['modprobe', 'tsinsmod']) linkSync(join(directory, 'tskmod'), join(directory, name));
  const tree = join(directory, 'lib/modules', RELEASE, 'kernel');
  mkdirSync(tree, { recursive: true });
  writeFileSync(join(tree, 'a.ko.gz'), gzipSync(buildModule({ modinfo: ['alias=x'], exports: [{ name: 's' }] })));
  writeFileSync(join(tree, 'b.ko'), buildModule({ modinfo: ['alias=y'], needs: [{ name: 's' }] }));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  for (const name of unpacked(PLACE)) if (!before.includes(name)) rmSync(join(PLACE, name), { recursive: true });
});

/** Nothing of this machine's Node is in reach. */
const single = (name: string, args: readonly string[], options: { readonly uid?: number; readonly env?: Record<string, string> } = {}) =>
  result(join(directory, name), args, { ...options, env: { PATH: '/nonexistent', ...options.env } });
const cli = (applet: string, args: readonly string[]) => result(process.execPath, [CLI, applet, ...args], {});

function result(program: string, args: readonly string[], options: object) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', cwd: '/', ...options });
  if (error) throw error;
  return { status, stdout, stderr };
}

describe.skipIf(!isRoot)(`the single executable${isRoot ? '' : ' (only root writes to /run)'}`, () => {
  it('answers as the CLI does, by word and by link', () => {
    expect(single('tskmod', ['--version'])).toEqual(result(process.execPath, [CLI, '--version'], {}));
    const output = join(directory, 'out/lib/modules', RELEASE);
    const expected = join(directory, 'expected/lib/modules', RELEASE);
    for (const place of [output, expected]) mkdirSync(place, { recursive: true });
    const where = ['-b', directory, '-C', '/nonexistent', '--no-cache'];
    expect(single('tskmod', ['depmod', ...where, '-o', join(directory, 'out'), RELEASE])).toEqual(cli('depmod', [...where, '-o', join(directory, 'expected'), RELEASE]));
    expect(readdirSync(output)).toEqual(readdirSync(expected));
    for (const name of readdirSync(output)) expect([name, readFileSync(join(output, name))]).toEqual([name, readFileSync(join(expected, name))]);
    expect(single('tskmod', ['depmod', ...where, RELEASE]).status).toBe(0);
    const dryRun = ['-d', directory, '-S', RELEASE, '-C', '/nonexistent', '-n', 'y'];
    expect(single('modprobe', dryRun)).toEqual({ status: 0, stdout: ['a.ko.gz', 'b.ko'].map((name) => `insmod ${directory}/lib/modules/${RELEASE}/kernel/${name} \n`).join(''), stderr: '' });
    expect(single('modprobe', dryRun)).toEqual(cli('modprobe', dryRun));
  });

  it('calls the kernel', () => {
    const file = join(directory, 'lib/modules', RELEASE, 'kernel/b.ko');
    const { status, stderr } = single('tsinsmod', [file]);
    expect([status, stderr.replace(/^tsinsmod/, 'insmod')]).toEqual([1, cli('insmod', [file]).stderr]);
  });

  it('calls it also where /run may hold no programs, as on Debian', () => {
    // The new /run hides the other one; /dev/shm is not this machine's either.
    const script = 'mount -t tmpfs -o noexec,nosuid,nodev tmpfs /run && mount -t tmpfs tmpfs /dev/shm && "$0" probe /dev/null; ls -d /run/tsmodprobe /dev/shm/tsmodprobe 2> /dev/null; true';
    const { status, stdout, stderr } = result('unshare', ['-m', 'sh', '-c', script, join(directory, 'tskmod')], {});
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '/dev/shm/tsmodprobe\n', stderr: cli('probe', ['/dev/null']).stderr });
  });

  it('unpacks once', () => {
    const made = unpacked(PLACE).filter((name) => !before.includes(name));
    expect(made).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/)]);
    expect(readdirSync(join(PLACE, made[0] ?? '')).sort()).toEqual(['docs', 'koffi.node', 'rules', 'tskmod.cache', 'tskmod.cjs', 'tskmod.parts']);
  });

  it('serves another user from a directory of his own, and trusts nobody else\'s', () => {
    const own = join(directory, 'own');
    mkdirSync(own);
    chownSync(own, NOBODY, NOBODY);
    const run = (place: string) => single('tskmod', ['--version'], { uid: NOBODY, env: { XDG_RUNTIME_DIR: place } });
    expect(run(own)).toEqual(single('tskmod', ['--version']));
    expect(readdirSync(join(own, `tsmodprobe-${NOBODY}`)).length).toBe(1);
    const foreign = join(directory, 'foreign');
    mkdirSync(join(foreign, `tsmodprobe-${NOBODY}`), { recursive: true });
    const temporary = join('/tmp', `tsmodprobe-${NOBODY}`);
    const wasThere = existsSync(temporary);
    expect(run(foreign).status).toBe(0);
    expect(readdirSync(join(foreign, `tsmodprobe-${NOBODY}`))).toEqual([]);
    if (!wasThere) rmSync(temporary, { recursive: true });
  });
});
