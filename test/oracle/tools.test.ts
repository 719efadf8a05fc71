// The small tools beside both kmods, as far as they get without a kernel that takes modules: what they refuse, and in which words.

import { describe, expect, it } from 'vitest';

import { kmod30, kmod34, type Run, runOurs } from './oracle.ts';

/** Names are those of no module; nothing here reaches the kernel. */
const COMMAND_LINES = [
  'lsmod -Z', 'lsmod --nosuch', 'lsmod too many', 'insmod', 'insmod -', 'insmod /nosuch.ko', 'insmod -f /nosuch.ko a=1', 'insmod -Z', 'insmod --nosuch', 'insmod -fv', 'rmmod',
  'rmmod nosuch', 'rmmod nosuch /no-such', 'rmmod -Z', 'rmmod -v', 'rmmod /etc/passwd nosuch.ko', 'kmod', 'kmod nosuch', 'kmod static-nodes', 'kmod static-nodes -f nosuch',
  'kmod static-nodes -f tmpfiles', 'kmod static-nodes -Z', 'kmod static-nodes --form=devname', 'kmod static-nodes --output', 'kmod static-nodes --out=/nosuch/x', 'kmod static-nodes --format',
  'kmod static-nodes -f', 'kmod static-nodes extra', 'kmod --nosuch', 'kmod -Z', 'kmod help extra',
  'rmmod --force', 'rmmod --syslog=1', 'rmmod --verb nosuch', 'insmod --nosuch=1 x', 'lsmod --verbose=1', 'kmod list extra',
  'modprobe --re x', 'modprobe --wait', 'modprobe --wait=xx -r nosuch', 'modprobe --first-time=1 x', 'modprobe --res', 'modprobe --set-version', 'modprobe --dirn', 'modprobe --conf', 'modprobe --dump-modversions', 'modprobe --syslog=1', 'modprobe -w', 'modprobe -S',
  'modinfo --basedir', 'modinfo --fi', 'modinfo --author=1 x', 'modinfo -b', 'modinfo --null=1',
  'depmod --basedir', 'depmod --symvers', 'depmod --filesyms', 'depmod --symbol-prefix', 'depmod --config', 'depmod --nosuch', 'depmod --dry-run=1', 'depmod -b /nosuch bogus', 'depmod -b /nosuch 1.2.3 relative.ko', 'depmod -b /nosuch --a', 'depmod -Z', 'depmod -E',
];

/** What kmod 34 has changed: lsmod knows options, and insmod does not take -p and -s for nothing. */
const OF_34 = new Set(['lsmod -Z', 'lsmod --nosuch', 'lsmod too many', 'lsmod --verbose=1', 'kmod list extra', 'insmod -fv']);

/** Usage texts are our own; kmod 30's getopt says its whole path, its library the place in its sources. */
function withoutUsage({ status, stdout, stderr }: Run): Run {
  return {
    status, stdout: stdout.replace(/^(?:kmod - |Usage:)[^]*/m, 'USAGE'),
    stderr: stderr.replaceAll(/^\S*\/(\w+):/gm, '$1:').replaceAll(/\.\.\/libkmod\/\S+ \w+\(\) /g, '').replaceAll(/^[\w-]+: ERROR: could not open '\/sys\/module\/.*\n/gm, '').replace(/Usage:[^]*/, ''),
  };
}

describe.each([kmod30, kmod34].map((kmod) => ({ name: kmod.name, kmod })))('the small tools beside $name', ({ kmod }) => {
  it.for(COMMAND_LINES)('%s', (line, context) => {
    if (kmod.reason !== undefined) return context.skip(kmod.reason);
    if (!kmod.isNew && OF_34.has(line)) return context.skip('differs since kmod 34, which is followed');
    const [tool = '', ...args] = line.split(' ');
    expect(withoutUsage(runOurs(tool, args))).toEqual(withoutUsage(kmod.run(tool, args)));
  });
});
