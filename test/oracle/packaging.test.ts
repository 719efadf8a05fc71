// The files of packaging/ for systemd, as the programs that read them judge them.

import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, describe, onTestFinished } from 'vitest';

const TOP = join(import.meta.dirname, '../..');
const UNIT = join(TOP, 'packaging/systemd/tsudevd.service');
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

describe.skipIf(!hasSystemd)(`tsudevd.service${hasSystemd ? '' : ' (systemd is not installed)'}`, () => {
  it('has nothing that systemd-analyze verify complains of', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-unit-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const verify = (text: string) => {
      writeFileSync(join(directory, 'tsudevd.service'), text);
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(directory, 'tsudevd.service')], { encoding: 'utf8' });
      return { status, said: stderr.split('\n').filter((line) => line.includes('tsudevd.service')) };
    };
    // It looks for the program as well, which is not installed here.
    const unit = readFileSync(UNIT, 'utf8').replaceAll('=tsudevd', '=/bin/true');
    expect(verify(unit)).toEqual({ status: 0, said: [] });
    expect(verify(`${unit}\n[Service]\nNoSuchSetting=1\n`).said).toEqual([expect.stringContaining('NoSuchSetting')]);
  });
});

const hasTmpfiles = spawnSync('systemd-tmpfiles', ['--version']).status === 0 && process.getuid?.() === 0;

describe.skipIf(!hasTmpfiles)(`tmpfiles.d/tsmodprobe.conf${hasTmpfiles ? '' : ' (systemd is not installed, or we are not root)'}`, () => {
  it('has systemd-tmpfiles make the directories, and kmod static-nodes the nodes of a kernel', () => {
    const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-tmpfiles-'));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const tree = join(root, 'modules/lib/modules', release());
    mkdirSync(tree, { recursive: true });
    for (const directory of ['etc', 'dev', 'run/tmpfiles.d']) mkdirSync(join(root, directory), { recursive: true });
    // Without it the indexes would be computed, of no modules.
    writeFileSync(join(tree, 'modules.dep'), '');
    writeFileSync(join(tree, 'modules.devname'), '# Device nodes to trigger on-demand module loading.\ntun net/tun c10:200\nfuse fuse c10:229\nloop loop-control c10:237\nbtrfs btrfs-control b7:9\n');
    const run = (program: string, args: readonly string[]) => {
      const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
      expect({ status, stderr }, `${program} ${args.join(' ')}`).toEqual({ status: 0, stderr: '' });
    };
    const nodes = join(root, 'run/tmpfiles.d/static-nodes.conf');
    run(process.execPath, [join(TOP, 'dist/tskmod.cjs'), 'kmod', 'static-nodes', '--modules', join(root, 'modules'), '--format=tmpfiles', `--output=${nodes}`]);
    writeFileSync(join(root, 'run/tmpfiles.d/tsmodprobe.conf'), readFileSync(join(TOP, 'packaging/tmpfiles.d/tsmodprobe.conf')));
    run('systemd-tmpfiles', [`--root=${root}`, '--create', '--boot', 'tsmodprobe.conf', 'static-nodes.conf']);
    const made = (path: string) => {
      const { mode, rdev } = lstatSync(join(root, path));
      return `${mode.toString(8)} ${rdev >> 8}:${rdev & 0xff}`;
    };
    const paths = ['run/udev', 'run/tsmodprobe', 'var/cache/tsmodprobe', 'dev/net', 'dev/net/tun', 'dev/fuse', 'dev/loop-control', 'dev/btrfs-control'];
    expect(paths.map((path) => `${path} ${made(path)}`)).toEqual([
      'run/udev 40755 0:0', 'run/tsmodprobe 40755 0:0', 'var/cache/tsmodprobe 40755 0:0', 'dev/net 40755 0:0',
      'dev/net/tun 20600 10:200', 'dev/fuse 20600 10:229', 'dev/loop-control 20600 10:237', 'dev/btrfs-control 60600 7:9',
    ]);
  });
});
