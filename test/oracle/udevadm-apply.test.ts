import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { inNamespace, whyNoNamespace } from './udev-namespace.ts';

const reason = whyNoNamespace();
const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
let directory = '';
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-cli-'));
  const { outputFiles } = await build({
    entryPoints: [join(top, 'src/cli.ts')], bundle: true, write: false, platform: 'node', format: 'esm', external: ['koffi', 'chokidar'], logLevel: 'warning',
  });
  writeFileSync(join(directory, 'tskmod.mjs'), outputFiles[0]?.text ?? '');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/**
 * `ours` is our command line; `wait_for TEXT FILE` waits for a line. `state` sorts the links of a record: 252 writes
 * them as its hash table has them, whose order changes from run to run.
 */
const inside = (script: string): string => inNamespace(join(directory, 'tskmod.mjs'), `
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
wait_for() { i=0; until grep -q "$1" "$2" 2>/dev/null; do i=$((i+1)); test $i -lt 200; sleep 0.05; done; }
listeners() { i=0; until [ "$(awk '$2 == 15 && $4 == "00000002"' /proc/net/netlink | wc -l)" -ge "$1" ]; do i=$((i+1)); test $i -lt 200; sleep 0.05; done; }
cat >/run/udev/rules.d/50-udev-default.rules <<'RULES'
KERNEL=="null", ENV{TSM}="y z", TAG+="tsm", SYMLINK+="l/null l/shared", RUN+="/bin/sh -c 'echo $env{TSM} >>/run/ran'"
KERNEL=="zero", ENV{TSM}="zero", SYMLINK+="l/zero l/shared", OPTIONS+="link_priority=5", MODE="0640"
KERNEL=="full", RUN+="/bin/false"
RULES
state() { find /run/udev/tags /dev/l /dev/char -printf '%P %l\\n' | sort; for f in /run/udev/data/*; do echo "$f"; { grep '^S:' "$f" | sort; grep -v '^[IS]:' "$f"; } || true; done; stat -c '%n %a' /dev/null /dev/zero; }
${script}`, { network: true });

describe.skipIf(reason !== undefined)(`udevadm apply${reason === undefined ? '' : ` (${reason})`}`, () => {
  it('leaves what udevadm test of 252 left, which was an apply', () => {
    const [debians, ours] = inside(`
$UDEVADM test -a add /sys/devices/virtual/mem/null >/dev/null 2>&1; $UDEVADM test -a add /sys/devices/virtual/mem/zero >/dev/null 2>&1
state; echo =====
rm -rf /run/udev/data /run/udev/tags /run/udev/links /dev/l /dev/char; chmod 666 /dev/zero
ours udevadm apply -q /sys/devices/virtual/mem/null /dev/zero; state`).split('=====\n');
    expect(ours).toBe(debians);
    expect(ours).toContain('shared ../zero\n');
  });

  it('runs many at a time, for one device and for several that want one link', () => {
    const out = inside(`
pids=
for i in 1 2 3 4; do for d in null zero; do ours udevadm apply -q --no-broadcast /dev/$d & pids="$pids $!"; done; done
for p in $pids; do wait $p; done
wc -l </run/ran; readlink /dev/l/shared; ls /run/udev/links/*shared; find /run/udev -name '.#*'
ours udevadm apply -q -a remove /dev/zero
readlink /dev/l/shared; ls /dev/l /run/udev/data`);
    expect(out).toBe('4\n../zero\nc1:3\nc1:5\n../null\n/dev/l:\nnull\nshared\n\n/run/udev/data:\nc1:3\n');
  });

  it('prints the properties and commands, tells listeners, and fails where a program of RUN does', () => {
    const out = inside(`touch /run/udev/control
"$NODE" "$WORKER" udevadm monitor -u --json >/run/heard & pid=$!
listeners 1
ours udevadm apply /sys/class/mem/null | grep -v -e SEQNUM -e USEC
status=0; ours udevadm apply -q --no-broadcast /dev/full 2>&1 || status=$?; echo "status $status"
wait_for TSM /run/heard; kill $pid; wait $pid; wc -l </run/heard; cat /run/heard`);
    const lines = out.split('\n');
    expect(lines.slice(0, -2)).toEqual([
      'ACTION=add', 'DEVPATH=/devices/virtual/mem/null', 'SUBSYSTEM=mem', 'MAJOR=1', 'MINOR=3', 'DEVNAME=/dev/null', 'DEVMODE=0666', 'TSM=y z',
      'DEVLINKS=/dev/l/null /dev/l/shared', 'TAGS=:tsm:', 'CURRENT_TAGS=:tsm:', "run: '/bin/sh -c 'echo y z >>/run/ran''",
      "apply: WARNING: full: '/bin/false' of /run/udev/rules.d/50-udev-default.rules:3 failed: exit code 1", 'status 1', '1',
    ]);
    expect(JSON.parse(lines.at(-2) ?? '')).toMatchObject({ schema: 1, source: 'udev', action: 'add', devpath: '/devices/virtual/mem/null', properties: { TSM: 'y z' } });
  });
});

describe.skipIf(reason !== undefined)('udevadm trigger --settle', () => {
  it('waits for its own events from Debian\'s udevd, and reports with exit code 1 what nobody did', () => {
    const out = inside(`ln -s "$UDEVADM" /run/systemd-udevd; /run/systemd-udevd --daemon 2>/run/udevd.log
ours udevadm trigger --wait-daemon -v -w -y null | sort
test -e /run/udev/data/c1:3
$UDEVADM control --exit; i=0; while ours udevadm trigger --wait-daemon -n 2>/dev/null; do i=$((i+1)); test $i -lt 20; done
status=0; ours udevadm trigger -w -y null 2>&1 || status=$?; echo "status $status"`);
    expect(out).toBe(`/sys/devices/virtual/mem/null
settle /sys/devices/virtual/mem/null
trigger: udev never answered for /sys/devices/virtual/mem/null
trigger: udev has nothing left to do: their events were lost, or no udev works on /run/udev
status 1
`);
  });
});

describe.skipIf(reason !== undefined)('udevadm monitor', () => {
  it('prints the kernel\'s events as 252\'s does, and ends well on a signal', () => {
    const out = inside(`touch /run/udev/control
$UDEVADM monitor -k -p -s net >/run/theirs & theirs=$!
"$NODE" "$WORKER" udevadm monitor -k -p -s net >/run/ours & ours=$!
i=0; until [ "$(awk '$2 == 15 && $4 == "00000001"' /proc/net/netlink | wc -l)" -ge 2 ]; do i=$((i+1)); test $i -lt 200; sleep 0.05; done
ours udevadm trigger -c change --uuid /sys/class/net/lo >/dev/null
wait_for SEQNUM /run/theirs; wait_for SEQNUM /run/ours
kill -INT $ours; wait $ours; echo "status $?"; kill $theirs
for f in theirs ours; do sed 's/\\[.*\\]/[]/' /run/$f | sort; echo ==; done`);
    const [status, theirs, ours] = out.split(/==\n|(?<=^status \d)\n/);
    expect(status).toBe('status 0');
    expect(ours).toBe(theirs);
    expect(ours).toContain('KERNEL[] change   /devices/virtual/net/lo (net)\n');
  });
});

describe.skipIf(reason !== undefined)('udevadm lock', () => {
  it('keeps others out while the command runs, and returns its exit code', () => {
    const out = inside(`[ -b /dev/loop0 ] && : </dev/loop0 || { echo none; exit; }
for command in "exit 7" 'kill -9 $$' "flock -n /dev/loop0 true || echo locked"; do status=0; ours udevadm lock -d /dev/loop0 sh -c "$command" || status=$?; echo $status; done
exec 9</dev/loop0; flock -x 9
status=0; ours udevadm lock -t 0 -d /dev/loop0 true 2>&1 || status=$?; echo $status
exec 9<&-; ours udevadm lock -p -d /dev/loop0`);
    if (out !== 'none\n') expect(out).toBe("7\n1\nlocked\n0\nDevice '/dev/loop0' is currently locked.\n1\n/dev/loop0\n");
  });

  it('gives interfaces the addresses and alternative names that test-builtin net_setup_link of 252 gives them', () => {
    const links = [
      'MACAddressPolicy=persistent', 'MACAddress=02:00:00:00:00:05', 'MACAddress=03-00-00-00-00-07', 'MACAddressPolicy=persistent\nMACAddress=02:00:00:00:00:06',
      'MACAddress=0200.0000.0008\nAlternativeName=foo bar\nAlternativeName=baz v0\nAlternativeNamesPolicy=path mac',
      'MACAddress=02:00:00:00:00:09\nMACAddressPolicy=none\nAlternativeName=gone\nAlternativeName=\nAlternativeName=a/b an-alternative-name-of-40-characters-in-all 123',
      'MACAddress=xx\nMACAddress=02:00:00:00:00:0a\nMACAddress=1:2:3\nMACAddressPolicy=foo',
    ];
    const out = inside(`
mkdir /run/etc /run/systemd /run/systemd/network
cp -a /etc/. /run/etc
echo 0123456789abcdef0123456789abcdef >/run/etc/machine-id
mount --bind /run/etc /etc
echo 'SUBSYSTEM=="net", IMPORT{builtin}="net_setup_link"' >/run/udev/rules.d/50-udev-default.rules
both() {
  for who in theirs ours; do
    ip link add v0 type veth peer name v1
    if [ $who = theirs ]; then $UDEVADM test-builtin net_setup_link /sys/class/net/v0 >/dev/null 2>&1; else ours udevadm apply -q --no-broadcast /sys/class/net/v0 2>/dev/null; fi
    ip -o link show v0 | sed "s/^.*link.ether /$1 $who /; s/ brd ff:ff:ff:ff:ff:ff//; s/ link-netnsid.*//"
    ip link del v0
  done
}
${links.map((link, index) => `printf '%s\\n' '[Match]' 'OriginalName=v*' '[Link]' ${link.split('\n').map((line) => `'${line}'`).join(' ')} >/run/systemd/network/10-a.link; both ${index}`).join('\n')}`);
    const linesOf = (who: string) => out.split('\n').filter((line) => line.includes(` ${who} `)).map((line) => line.replace(` ${who} `, ' '));
    expect(linesOf('ours')).toEqual(linesOf('theirs'));
    expect(linesOf('ours')).toHaveLength(links.length);
    expect(linesOf('ours')[4]).toMatch(/^4 02:00:00:00:00:08\s*\\ +altname bar\\ +altname baz\\ +altname foo/);
  });
});
