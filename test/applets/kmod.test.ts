// kmod and its own commands on fixture roots.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import type { Applet } from '../../src/applets/applet.ts';
import { kmodApplet } from '../../src/applets/kmod.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const echo: Applet = {
  name: 'modprobe', summary: '', options: [],
  run: async (argv, context) => {
    context.stdout(`${context.program} ${argv.join(' ')}\n`);
    return 3;
  },
};
const kmod = kmodApplet((name) => (name === 'modprobe' ? { name, summary: echo.summary, load: () => Promise.resolve(echo) } : undefined));

const DEVNAME = '# Device nodes to trigger on-demand module loading.\nfuse fuse c10:229\nloop loop-control c10:237\nsnd_timer snd/timer c116:33\nx sub/dir/disk b7:0\n';
const TREE = 'lib/modules/6.12.0-test';

describe('kmod', () => {
  it('calls the other tools with all that follows', async () => {
    expect(await runApplet(kmod, ['modprobe', '-n', '--help', 'xfs'], { root: fixtureRoot({}) })).toEqual({ status: 3, stdout: 'modprobe -n --help xfs\n', stderr: '' });
  });

  it('lists the loaded modules', async () => {
    const root = fixtureRoot({ 'proc/modules': 'xfs 5 0 - Live 0x0\n' });
    expect(await runApplet(kmod, ['list'], { root })).toEqual({ status: 0, stderr: '', stdout: 'Module                  Size  Used by\nxfs                        5  0\n' });
  });

  it('helps where it is not understood', async () => {
    const root = fixtureRoot({});
    const help = await runApplet(kmod, ['help'], { root });
    expect([help.status, help.stderr]).toEqual([0, '']);
    expect(await runApplet(kmod, ['--help'], { root })).toEqual(help);
    expect(await runApplet(kmod, [], { root })).toEqual({ status: 1, stdout: help.stdout, stderr: 'missing command\n' });
    expect(await runApplet(kmod, ['foo', '-x'], { root })).toEqual({ status: 1, stdout: help.stdout, stderr: "invalid command 'foo'\n" });
    expect(await runApplet(kmod, ['depmod'], { root })).toEqual({ status: 1, stdout: help.stdout, stderr: "invalid command 'depmod'\n" });
    expect(await runApplet(kmod, ['-x', 'list'], { root })).toEqual({ status: 1, stdout: '', stderr: "kmod: invalid option -- 'x'\n" });
  });
});

describe('kmod static-nodes', () => {
  it.each([
    [[], [
      'Module: fuse\n\tDevice node: /dev/fuse\n\t\tType: character device\n\t\tMajor: 10\n\t\tMinor: 229\n',
      'Module: loop\n\tDevice node: /dev/loop-control\n\t\tType: character device\n\t\tMajor: 10\n\t\tMinor: 237\n',
      'Module: snd_timer\n\tDevice node: /dev/snd/timer\n\t\tType: character device\n\t\tMajor: 116\n\t\tMinor: 33\n',
      'Module: x\n\tDevice node: /dev/sub/dir/disk\n\t\tType: block device\n\t\tMajor: 7\n\t\tMinor: 0\n',
    ]],
    [['-f', 'tmpfiles'], [
      'c! /dev/fuse 0600 - - - 10:229\n', 'c! /dev/loop-control 0600 - - - 10:237\n', 'd /dev/snd 0755 - - -\n', 'c! /dev/snd/timer 0600 - - - 116:33\n',
      'd /dev/sub/dir 0755 - - -\n', 'b! /dev/sub/dir/disk 0600 - - - 7:0\n',
    ]],
    [['--format=devname'], [DEVNAME.slice(DEVNAME.indexOf('\n') + 1)]],
  ])('prints what %j asks for', async (options, stdout) => {
    const root = fixtureRoot({ [`${TREE}/modules.devname`]: DEVNAME });
    expect(await runApplet(kmod, ['static-nodes', ...options], { root })).toEqual({ status: 0, stderr: '', stdout: stdout.join('') });
  });

  it('writes to a file, and makes its directory', async () => {
    const root = fixtureRoot({ [`${TREE}/modules.devname`]: DEVNAME });
    const output = join(root, 'run/tmpfiles.d/static-nodes.conf');
    expect(await runApplet(kmod, ['static-nodes', '--format=tmpfiles', '--output', output], { root })).toEqual({ status: 0, stderr: '', stdout: '' });
    expect(readFileSync(output, 'utf8')).toMatch(/^c! \/dev\/fuse 0600 - - - 10:229\n/);
  });

  it('prints objects with --json', async () => {
    const root = fixtureRoot({ [`${TREE}/modules.devname`]: 'fuse fuse c10:229\n' });
    const { stdout } = await runApplet(kmod, ['static-nodes', '--json'], { root });
    expect(JSON.parse(stdout)).toEqual({ schema: 1, kind: 'static-node', module: 'fuse', name: 'fuse', type: 'c', major: 10, minor: 229 });
  });

  it('does not mind a tree without static nodes', async () => {
    const root = fixtureRoot({});
    expect(await runApplet(kmod, ['static-nodes'], { root })).toEqual({
      status: 0, stdout: '', stderr: `Warning: ${join(root, TREE, 'modules.devname')} not found - ignoring\n`,
    });
  });

  it('goes on behind a bad line, and tells', async () => {
    const root = fixtureRoot({ [`${TREE}/modules.devname`]: 'fuse fuse p10:229\nshort\nloop loop-control c10:237\n' });
    expect(await runApplet(kmod, ['static-nodes', '-f', 'devname'], { root })).toEqual({
      status: 1, stdout: 'loop loop-control c10:237\n', stderr: 'Error: invalid devname entry: fuse fuse p10:229\nError: invalid devname entry: short\n',
    });
  });

  it('refuses a format that it does not know', async () => {
    const { status, stderr } = await runApplet(kmod, ['static-nodes', '-f', 'xml'], { root: fixtureRoot({}) });
    expect([status, stderr]).toEqual([1, "Unknown format: 'xml'.\n"]);
  });
});
