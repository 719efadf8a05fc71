import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { completionApplet } from '../../src/applets/completion.ts';
import { knownValues } from '../../src/applets/completion-values.ts';
import { parseHelpOptions } from '../../src/applets/help-options.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { everyApplet } from './every-applet.ts';
import { runApplet } from './run-applet.ts';

const applets = await everyApplet();
const completion = completionApplet([...applets].filter(([words]) => !words.includes(' ')).map(([, applet]) => ({ name: applet.name, summary: applet.summary, load: async () => applet })));

/** Taken for old callers, and told to nobody. */
const UNTOLD: Readonly<Record<string, readonly string[]>> = {
  modprobe: ['--remove-dependencies', '--resolve-alias', '--showconfig', '--dump-modversions'],
  udevd: ['--listening-fd', '--exec-delay', '-e', '--timeout-signal', '-s'],
  'udevadm control': ['--log-priority', '--reload-rules', '--env'],
  'udevadm monitor': ['--environment', '-e'],
  'udevadm settle': ['--seq-start', '-s', '--seq-end', '-e'],
};

describe('the tables of options', () => {
  it.each([...applets])('%s: its help names every option, and no other', async (words, applet) => {
    const { stdout } = await runApplet(applet, ['--help'], { root: fixtureRoot({}) });
    const told = new Set(parseHelpOptions(stdout).flatMap(({ spellings }) => spellings));
    const taken = applet.options.flatMap(({ long, short }) => [`--${long}`, ...(short === undefined ? [] : [`-${short}`])]);
    const untold = taken.filter((spelling) => !told.has(spelling));
    expect({ untold, unknown: [...told].filter((spelling) => !taken.includes(spelling)) }).toEqual({ untold: UNTOLD[words] ?? [], unknown: [] });
  });

  it.each([...applets])('%s: completion-values.ts knows what its options take', (_, applet) => {
    expect(applet.options.filter(({ long, argument }) => (argument === 'required' || argument === 'optional') && knownValues(long, applet.name) === undefined)).toEqual([]);
  });
});

describe('tskmod completion words', () => {
  const machine = () => {
    const root = fixtureRoot({
      'proc/modules': 'xfs 4096 0 - Live 0x0\nlibcrc32c 4096 1 xfs, Live 0x0\n',
      'sys/devices/virtual/block/loop0/uevent': 'MAJOR=7\nMINOR=0\nDEVNAME=loop0\nDEVTYPE=disk\n',
      'sys/bus/pci/uevent': '',
      'lib/modules/6.12.0-test/modules.dep': 'kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\nkernel/lib/libcrc32c.ko:\n',
    });
    mkdirSync(join(root, 'sys/dev/block'), { recursive: true });
    mkdirSync(join(root, 'sys/class/block'), { recursive: true });
    symlinkSync('../../devices/virtual/block/loop0', join(root, 'sys/dev/block/7:0'));
    writeFileSync(join(root, 'sys/bus/pci/uevent'), '');
    return root;
  };
  const ask = async (...words: string[]) => (await runApplet(completion, ['words', ...words], { root: machine() })).stdout.replaceAll(/\S*(?=\/dev\/)/g, '');

  it.each([
    [['modprobe', ''], 'none\nlibcrc32c\nxfs\n'],
    [['tsmodprobe', '-ra', 'xfs', ''], 'none\nxfs\nlibcrc32c\n'],
    [['/usr/sbin/tsrmmod', 'x'], 'none\nxfs\n'],
    [['tskmod', 'kmod', 'rm'], 'none\n'],
    [['tskmod', 'kmod', 'static-nodes', '--form'], 'none\n--format=\thuman: for people (default)\n'],
    [['tskmod', 'kmod', 'static-nodes', '-f', 't'], 'none\ntmpfiles\n'],
    [['tsudevadm', 'info', '-q', 'all', ''], 'none\n/dev/loop0\n'],
    [['tsudevadm', 'info', '--name=lo'], 'none\n--name=loop0\n'],
    [['tsudevadm', 'info', '/sys/'], 'files\n'],
    [['tsudevadm', 'trigger', '-s', ''], 'none\nblock\npci\n'],
    [['tsmodprobe', '-S', ''], 'none\n6.12.0-test\n'],
    [['tsmodprobe', '--', '--all'], 'none\n'],
    [['tsmodprobe', '-nvC', ''], 'files\n'],
    [['tsmodprobe', '-d', ''], 'directories\n'],
    [['tskmod', 'no-such', ''], 'none\n'],
    [[], 'none\n'],
  ])('%j', async (words, answer) => {
    if (words.length === 0) expect(await ask()).toMatch(/^none\n(.+\n){15,}$/);
    else expect(await ask(...words)).toBe(answer);
  });
});
