import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { unpackedPackage } from '../../scripts/debian-package.mjs';
import { inNamespace, whyNoNamespace } from './udev-namespace.ts';

const reason = whyNoNamespace();
const executable = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/tskmod.cjs');

/** A database of all devices of this machine, made by Debian's udev with Debian's rules, and some of ours for links and tags. */
const DATABASE = `
cp ${unpackedRules()}/*.rules /run/udev/rules.d/
cat >/run/udev/rules.d/99-test.rules <<'RULES'
KERNEL=="null", SYMLINK+="tsm/null", TAG+="t1", ENV{QUOTE}="it's", OPTIONS+="link_priority=7", OPTIONS+="db_persist"
KERNEL=="zero|full", SYMLINK+="tsm/$kernel tsm/shared", TAG+="t1", TAG+="t2"
RULES
for d in $($UDEVADM info -e | sed -n 's/^P: //p'); do $UDEVADM test /sys$d >/dev/null 2>&1; done
ours_info() { "$NODE" ${executable} udevadm info "$@"; }
`;

function unpackedRules(): string {
  return reason === undefined ? join(unpackedPackage('udev'), 'lib/udev/rules.d') : '';
}

/** Sets are in no order in 252; J: and B: are of 257; counters go on. */
function comparable(text: string): readonly string[] {
  const sorted = (line: string, key: string, separator: string): string => {
    const at = line.indexOf(key);
    // With -x the quotes are around the whole.
    return at < 0 ? line : line.slice(0, at + key.length) + line.slice(at + key.length).replaceAll("'", '').split(separator).sort().join(separator);
  };
  /** The answer of `-q symlink` is a line of links and nothing else. */
  const sortedLinks = (line: string): string => (/^(?:\/dev\/)?tsm\/\S+(?: \S+)+$/.test(line) ? line.split(' ').sort().join(' ') : line);
  const lines = text.split('\n').filter((line) => !/^[│ ┆]*[JB]: |runtime_\w+_time|ATTRS?\{(?:stat|cpuidle\/|statistics\/|inflight|memory_use|meminfo|numastat|vmstat|uptime|since_epoch|time)/.test(line))
    .map((line) => sorted(sorted(sorted(sortedLinks(line), 'DEVLINKS=', ' '), 'CURRENT_TAGS=', ':'), 'TAGS=', ':'));
  // Links come in a block, whose first place decides.
  return lines.flatMap((line, index) => {
    const isLink = (text_: string | undefined): boolean => text_ !== undefined && /^[│ ┆]*S: /.test(text_);
    if (!isLink(line)) return [line];
    if (isLink(lines[index - 1])) return [];
    const end = lines.findIndex((each, at) => at > index && !isLink(each));
    return lines.slice(index, end).sort();
  });
}

/** Names of units as paths, in place of systemd's knowledge of them: none runs in the namespace. */
const UNITS = [
  'dev-zero.device', String.raw`dev-\x7aero.device`, 'sys-class-mem-zero.device', 'sys-devices-virtual-mem-zero.device', 'dev-tsm-null.device', 'dev-none.device', 'zero.device', '.device',
  'x.service', 'dev--zero.device', String.raw`dev-zero\x.device`, 'dev-zero@a.device', 'a/b.device', 'dev-..-dev-zero.device', String.raw`dev-\x2fzero.device`, '-.-.device', 'sys.device',
];

const SEPARATOR = '\n=====\n';

/** What 252 and ours print for the same arguments, in the same namespace. */
function both(...argumentLists: readonly string[]): readonly (readonly [theirs: string, ours: string])[] {
  const script = argumentLists.map((args) => ['$UDEVADM info', 'ours_info'].map((tool) => `${tool} ${args} 2>&1 || echo "status $?"; printf '${SEPARATOR.replaceAll('\n', '\\n')}'`).join('\n')).join('\n');
  const outputs = inNamespace('', DATABASE + script).split(SEPARATOR);
  return argumentLists.map((_, index) => [outputs[2 * index] ?? '', outputs[2 * index + 1] ?? ''] as const);
}

describe.skipIf(reason !== undefined)(`udevadm info${reason === undefined ? '' : ` (${reason})`}`, () => {
  it('tells of every device and subsystem of this machine what Debian\'s tells', () => {
    for (const [theirs, ours] of both('-e', '-t', '-t /dev/null')) expect(comparable(ours)).toEqual(comparable(theirs));
  });

  it('answers every query as Debian\'s does', () => {
    const queries = [
      '/dev/zero', '-n zero', '-p /sys/class/mem/zero', '/sys/class/net/lo', '-q property -n null', '-q property /sys/class/net/lo', '-x -q property -n null',
      '-P A_ -q property -n zero', '-q property --property=MAJOR,MINOR --value -n null', '-q name -n null', '-q name -r -n null', '-q name -p /sys/class/net/lo',
      '-q path -n null -n zero', '-q symlink -n null', '-q symlink -r -n null', '-q symlink -p /sys/class/net/lo', '-d /etc/passwd', '-w1 -q name -n null',
      '-q path /dev/null /dev/zero', '/sys/module/loop', '-q bad -n null', '-n nope', '', '-x --value -n null',
      ...UNITS.map((name) => `-q property '${name}'`),
    ];
    const answers = both(...queries);
    expect(answers.map(([, ours], index) => [queries[index], comparable(ours)])).toEqual(answers.map(([theirs], index) => [queries[index], comparable(theirs)]));
  });

  it('walks up the attributes as Debian\'s does', () => {
    // 257 shows attributes that can only be written, and has no blank line at the end.
    const shown = (text: string): readonly string[] => comparable(text.trimEnd()).filter((line) => !line.endsWith('=="(not readable)"'));
    for (const [theirs, ours] of both('-a -n null', '-a -p /sys/class/tty/tty0', '-a -p /sys/devices/system/cpu/cpu0', '-a /sys/class/net/lo')) {
      expect(shown(ours)).toEqual(shown(theirs));
    }
  });

  it('cleans up what Debian\'s cleans up, and leaves locks', () => {
    const script = (tool: string): string => `rm -rf /run/udev; cp -a /run/saved /run/udev; ${tool} -c; find /run/udev | grep -v -e rules.d -e '\\.lock$' | sort; printf '${SEPARATOR.replaceAll('\n', '\\n')}'`;
    const [theirs, ours] = inNamespace('', `${DATABASE}mkdir -p /run/udev/watch /run/udev/static_node-tags/uaccess; ln -s b8:0 /run/udev/watch/1; ln -s /dev/x /run/udev/static_node-tags/uaccess/x
cp -a /run/udev /run/saved
${script('$UDEVADM info')}
${script('ours_info')}`).split(SEPARATOR);
    expect(ours?.split('\n')).toEqual(theirs?.split('\n'));
    expect(ours).toContain('/run/udev/data/c1:3\n');
  });
});
