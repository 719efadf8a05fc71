import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Applet } from '../../src/applets/applet.ts';
import { udevadmLock } from '../../src/applets/udevadm-lock.ts';
import { udevadmMonitor } from '../../src/applets/udevadm-monitor.ts';
import { udevadmTrigger } from '../../src/applets/udevadm-trigger.ts';
import { udevadmWait } from '../../src/applets/udevadm-wait.ts';
import { runApplet } from '../applets/run-applet.ts';
import { udevadm252, whyNoNamespace } from './udev-namespace.ts';

const reason = whyNoNamespace();

/** Devices of every machine. `c99:99` has gone. */
const DATABASE = {
  'c1:3': 'S:l/null\nI:1234\nE:TSM=one\nE:ID_X=y z\nG:tsa\nQ:tsa\nV:1\n',
  'c1:5': 'I:1234\nE:TSM=two\nG:tsa\nG:tsb\nQ:tsb\nV:1\n',
  'n1': 'I:99\nE:TSM=lo\nG:tsb\nQ:tsb\nV:1\n',
  'c1:8': '',
  '+cpu:cpu0': 'E:TSM=early\nG:tsb\nQ:tsb\nV:1\n',
  'c99:99': 'G:tsb\nV:1\n',
};

/** What one option may be, most of which match something. */
const FILTERS: readonly (readonly string[])[] = [
  [], ['-t', 'subsystems'], ['-t', 'all'], ['-t', 'devices'],
  ...['mem', 'net', 'tty', 'virtio', 'drivers', 'module', 'subsystem', 'n*', 'm?m', '[bn]*', ''].map((name) => ['-s', name]),
  ...['mem', '*', 't*', 'drivers'].map((name) => ['-S', name]),
  ...['dev', 'dev=1:*', 'subsystem=net', 'driver', 'uevent', 'power/control=auto', 'queue/rotational=1', 'foo=', '=x', 'dev=', 'parameters', 'module', 'bind', 'power'].map((match) => ['-a', match]),
  ...['dev', 'dev=1:*', 'subsystem=pci', 'driver', 'uevent', 'mtu=*'].map((match) => ['-A', match]),
  ...['TSM=*', 'TSM=one', 'M*=4', 'SUBSYSTEM=net', 'DEVNAME=*null', 'DEVLINKS=*', 'TAGS=*', 'CURRENT_TAGS=*tsb*', 'USEC_INITIALIZED=*', 'DRIVER=*', '*=*', 'foo', '=', '*='].map((match) => ['-p', match]),
  ...['tsa', 'tsb', 'none', 'ts*'].map((tag) => ['-g', tag]),
  ...['null', 'lo', '*0', '[a-k]*', 'tty1?', '', 'drivers', '*'].map((name) => ['-y', name]),
  ...['null', '/dev/zero', 'nosuch', '/sys/class/net/lo'].map((name) => ['--name-match', name]),
  ...['/class/net/lo', '/sys/bus/pci', '/sys/bus', '/sys/module', '/sys/class/mem', '/dev/null', '/sys/devices/system/cpu', '/sys/devices/pci0000:00', '/sys/devices', 'nosuch'].map((name) => ['-b', name]),
  ...['/dev/null', '/sys/class/net/lo', '/class/net/lo', '/sys/bus/platform', 'nosuch', 'dev-null.device', 'sys-class-mem-null.device', 'dev-nosuch.device', '.device', ''].map((path) => [path]),
  ['--initialized-match'], ['--initialized-nomatch'],
  ...['net', 'tty,mem', 'drivers,module', 'module,block,tpmrm,net,tty,input', 'mem,pci', ',', 'n*,mem'].map((list) => [`--prioritized-subsystem=${list}`]),
];

/** Each alone; each with one that is far from it in the list, which differs from option to option. */
const CASES: readonly (readonly string[])[] = [
  ...FILTERS,
  ...FILTERS.map((filter, i) => [...filter, ...FILTERS[(i * 7 + 31) % FILTERS.length] ?? []]),
  ...FILTERS.map((filter, i) => [...filter, ...FILTERS[(i * 5 + 17) % FILTERS.length] ?? [], ...FILTERS[(i * 11 + 3) % FILTERS.length] ?? []]),
];

/** [applet, arguments]: what both refuse in the same words. Nothing of this works on a device. */
const REFUSED: readonly (readonly [Applet, readonly string[]])[] = [
  [udevadmTrigger, ['-t', 'foo']], [udevadmTrigger, ['-c', 'foo']], [udevadmTrigger, ['-s']], [udevadmTrigger, ['--bogus']], [udevadmTrigger, ['-c', 'help']],
  [udevadmTrigger, ['-n', '--wait-daemon=xx']], [udevadmTrigger, ['-n', '--wait-daemon=1']],
  [udevadmMonitor, ['-s']], [udevadmMonitor, ['--bogus']], [udevadmMonitor, ['-x']],
  [udevadmWait, []], [udevadmWait, ['-t', 'foo', '/dev/null']], [udevadmWait, ['-t', '', '/dev/null']], [udevadmWait, ['--initialized=xx', '/dev/null']],
  [udevadmWait, ['nosuch']], [udevadmWait, ['/etc/passwd']], [udevadmWait, ['--initialized=no', '/dev/../dev/null']], [udevadmWait, ['-t', '0', '/dev/nosuch']],
  [udevadmWait, ['-t', '0.1', '--removed', '/dev/null']], [udevadmWait, ['--removed', '/dev/nosuch']], [udevadmWait, ['--initialized=no', '/dev/null']],
  [udevadmWait, ['-t', '100ms', '--initialized=off', '/sys/class/net/nosuch']], [udevadmWait, ['-t', '1min 2s', '--initialized=off', '/sys/class/net/lo']],
  [udevadmLock, []], [udevadmLock, ['true']], [udevadmLock, ['-d', '/dev/null', 'true']], [udevadmLock, ['-d', '/dev/nosuch', 'true']],
  [udevadmLock, ['-d', '/etc/passwd', 'true']], [udevadmLock, ['-t', 'x', '-d', '/dev/null', 'true']],
];

const SCRIPT = `
mount --make-rprivate /
mount -t tmpfs none /run
cp -r "$1" /run/udev
U=$2; shift 2
while IFS= read -r line; do
  printf '\\036'
  eval "$U $line" 2>&1
  printf 'status %s\\n' $?
done
`;

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-trigger-'));
  mkdirSync(join(directory, 'udev/data'), { recursive: true });
  for (const [id, text] of Object.entries(DATABASE)) {
    writeFileSync(join(directory, 'udev/data', id), text);
    for (const [, tag = ''] of text.matchAll(/^G:(.*)$/gm)) {
      mkdirSync(join(directory, 'udev/tags', tag), { recursive: true });
      writeFileSync(join(directory, 'udev/tags', tag, id), '');
    }
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What Debian's udevadm says of each command line, and its status. */
function debians(lines: readonly (readonly string[])[]): readonly string[] {
  const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
  const { status, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', SCRIPT, 'sh', join(directory, 'udev'), udevadm252()], {
    encoding: 'utf8', input: lines.map((words) => `${words.map(quote).join(' ')}\n`).join(''), maxBuffer: 1 << 28,
    env: { ...process.env, SYSTEMD_LOG_COLOR: '0' },
  });
  if (status !== 0) throw new Error(`no namespace for udevadm: ${stderr}`);
  return stdout.split('\x1e').slice(1);
}

async function ours(applet: Applet, argv: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runApplet(applet, argv, { root: '/', roots: { run: directory } });
  return `${stderr}${stdout}status ${status}\n`;
}

describe.skipIf(reason !== undefined)(`udevadm trigger -n -v beside 252's${reason === undefined ? '' : ` (${reason})`}`, () => {
  it('lists the same devices in the same order, for some hundred filters', async () => {
    const expected = debians(CASES.map((argv) => ['trigger', '-n', '-v', ...argv]));
    const differing: unknown[] = [];
    for (const [i, argv] of CASES.entries()) {
      const said = await ours(udevadmTrigger, ['-n', '-v', ...argv]);
      if (said !== expected[i]) differing.push({ argv, ours: said, debians: expected[i] });
    }
    expect(differing).toEqual([]);
    expect(expected.filter((text) => text.includes('\n/sys/') || text.startsWith('/sys/')).length).toBeGreaterThan(100);
  });
});

describe.skipIf(reason !== undefined)('what udevadm refuses', () => {
  it('is refused with the same words and status', async () => {
    const expected = debians(REFUSED.map(([{ name }, argv]) => [name, ...argv]));
    const said: string[] = [];
    for (const [applet, argv] of REFUSED) said.push(await ours(applet, argv));
    expect(said).toEqual(expected);
  });
});
