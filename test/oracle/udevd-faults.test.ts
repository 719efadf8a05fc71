// The daemon as a process on this machine's devices, in a namespace of its own, when things go wrong (issue: faults): nothing is lost, and the log says why.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { inNamespace, whyNoNamespace } from './udev-namespace.ts';

const executable = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/tskmod.cjs');
const reason = whyNoNamespace() ?? (existsSync(executable) ? undefined : 'npm run build');

/** `start` returns when the daemon listens, `walked N` when it has worked off its Nth walk, `field A.B` is of its status. */
const SHELL = `
start() { "$NODE" "$WORKER" udevd -S no --log-target=stderr -d "$@" 2>>/run/log; }
run() { "$NODE" "$WORKER" udevd -S no "$@" 2>>/run/log & PID=$!; }
walked() { until [ "$(grep -c 'NOTICE: .* modalias' /run/log)" -ge "$1" ]; do sleep 0.02; done; }
logged() { until grep -q "$1" /run/log; do sleep 0.02; done; }
idle() { while [ -e /run/udev/queue ]; do sleep 0.02; done; }
rules() { cat >"/run/udev/rules.d/$1.rules"; }
status() { "$NODE" -e '
  let text = "";
  require("node:net").connect("/run/udev/tsudevd.status").on("data", (c) => { text += c; }).on("end", () => console.log(process.argv[1].split(".").reduce((v, k) => v[k], JSON.parse(text))));
' "$1"; }
stop() { $UDEVADM control --exit --timeout=20; while [ -e /run/udev/control ]; do sleep 0.02; done; }
# Of a monitor's messages those of this daemon: another udev of this machine may speak as well.
of_us() { awk 'BEGIN { RS = ""; ORS = "\\n\\n" } /\\nSAID_BY=us/' "$1"; }
# Records without the time of their first event.
records() { for f in /run/udev/data/*; do echo "\${f##*/}: $(grep -v ^I: $f | sort | tr '\\n' ' ')"; done; }
`;

/** Of the synthetic events that we count. */
const uuid = '3f2504e0-4f89-41d3-9a0c-0305e82c3301';

const inside = (script: string): string[] => inNamespace(executable, SHELL + script, { processes: true }).trim().split('\n');

describe.skipIf(reason !== undefined)(`tsudevd, when things go wrong${reason === undefined ? '' : ` (${reason})`}`, () => {
  it('loses none of 20 000 events that come at once, and tells of all in their order', () => {
    const [order, unique, received] = inside(`
echo 'ENV{SAID_BY}="us"' | rules 10-a
start --no-coldplug
$UDEVADM monitor --udev --property >/run/monitor & MONITOR=$!
until grep -q UDEV /run/monitor; do sleep 0.02; done
"$NODE" -e '
  const { openSync, writeSync } = require("node:fs");
  const files = ["null", "zero", "full", "random"].map((name) => openSync("/sys/devices/virtual/mem/" + name + "/uevent", "w"));
  for (let i = 0; i < 20000; i++) writeSync(files[i % 4], "change ${uuid} N=" + i);
'
while ! grep -q ^SYNTH_ARG_N=19999 /run/monitor || [ -e /run/udev/queue ]; do sleep 0.1; done
# The monitor may still have to print what it has got; where some are lost, that ends too.
tries=0; until [ "$(of_us /run/monitor | grep ^SYNTH_ARG_N= | sort -u | wc -l)" -eq 20000 ] || [ $((tries += 1)) -gt 50 ]; do sleep 0.2; done
kill $MONITOR
of_us /run/monitor | awk -F= '/^DEVPATH=/ { path = $2 } /^SYNTH_ARG_N=/ { if ($2 + 0 < last[path] + 0) bad++; last[path] = $2; print $2 >"/run/numbers" } END { print "disorder " bad + 0 }'
sort -u /run/numbers | wc -l
status resyncs
stop`);
    expect([order, unique, received]).toEqual(['disorder 0', '20000', '0']);
  });

  it('goes on after SIGKILL in the middle of a coldplug: the database is that of an undisturbed one', () => {
    const [before, made, whole, links] = inside(`
rules 50-udev-default <<'RULES'
SUBSYSTEM=="mem|tty", RUN+="/bin/sleep 0.02", SYMLINK+="by-test/$kernel", TAG+="seen"
ENV{SUB}="$env{SUBSYSTEM}"
RULES
start; walked 1; idle; stop
records >/run/whole; cp -a /run/udev/data /run/data; rm -r /run/udev/data /run/udev/tags /run/udev/links /run/udev/tsudevd.devices /dev/by-test
run -c 2; until [ "$(ls /run/udev/data 2>/dev/null | wc -l)" -gt 20 ]; do sleep 0.01; done
kill -9 $PID; wait $PID || true
ls /run/udev/data | wc -l
start; walked 2; idle
status events.made
records >/run/after
cmp /run/whole /run/after && wc -l </run/after
ls /dev/by-test | wc -l
stop`).map(Number);
    expect(before).toBeGreaterThan(20);
    expect(whole).toBeGreaterThan(before ?? 0);
    expect(links).toBeGreaterThan(5);
    // The restart made up what was missing, and did not do all again. (Modules, buses and drivers have events and no records.)
    expect(made).toBeGreaterThan(0);
  });

  it('is not held up by programs that hang, fork or flood, and says which', () => {
    const lines = inside(`
rules 10-bad <<'RULES'
KERNEL=="null", ACTION=="change", RUN+="/bin/sh -c 'sleep 4321 & exec sleep 4321'"
KERNEL=="zero", ACTION=="change", RUN+="/bin/sh -c 'sleep 4322 & echo left'"
KERNEL=="full", ACTION=="change", PROGRAM="/bin/sh -c 'head -c 30000000 /dev/zero | tr \\\\000 x; head -c 9000000 /dev/zero | tr \\\\000 y >&2'", ENV{LENGTH}="got"
KERNEL=="random", ACTION=="change", ENV{DONE}="1", RUN+="/bin/sh -c 'head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2'"
RULES
start --no-coldplug -t 1
for d in null zero full random; do echo change >/sys/devices/virtual/mem/$d/uevent; done
until [ -e /run/udev/data/c1:8 ]; do sleep 0.02; done
[ -e /run/udev/queue ] && echo 'others pass'
idle
# The group of the first is killed. Who left his group is his own master, and held nobody up.
pgrep -c -x -f 'sleep 4321' || true
pkill -x -f 'sleep 4322' && echo 'grandchild lives'
status events.done; status programs.timedOut
stop
grep -oE "failed: timed out.*|wrote more than [0-9]+ bytes|more than 4096 bytes" /run/log | sort -u`);
    expect(lines).toEqual(['others pass', '0', 'grandchild lives', '4', '1', 'failed: timed out after 1s', 'more than 4096 bytes', 'wrote more than 16383 bytes']);
  });

  it('keeps what a full /run does not take, and writes it when there is room', () => {
    const lines = inside(`
rules 10-a <<'RULES'
KERNEL=="null", ENV{A}="1", TAG+="t", SYMLINK+="l/a"
RULES
mount -t tmpfs -o size=64k none /mnt/empty; mkdir /mnt/empty/rules.d; cp /run/udev/rules.d/* /mnt/empty/rules.d; mount --bind /mnt/empty /run/udev
start --no-coldplug
dd if=/dev/zero of=/run/udev/fill bs=4k 2>/dev/null || true
i=0; while mkdir /run/udev/d$i 2>/dev/null; do i=$((i+1)); [ $i -lt 2000 ] || break; done
echo change >/sys/devices/virtual/mem/null/uevent
logged 'cannot write .*c1:3'
readlink /dev/l/a
[ -s /run/udev/data/c1:3 ] || echo 'not yet'
rm -r /run/udev/fill /run/udev/d*
mkdir -p /run/udev/data
logged 'are written now'
grep -c E:A=1 /run/udev/data/c1:3; ls /run/udev/tags/t
stop
grep -oE 'ENOSPC' /run/log | sort -u`);
    expect(lines).toEqual(['../null', 'not yet', '1', 'c1:3', 'ENOSPC']);
  });

  it('takes 10 000 devices of which some are pipes and loops, in bounded time and memory', () => {
    const [devices, records, seconds, kilobytes] = inside(`
"$NODE" -e '
  const fs = require("node:fs");
  fs.mkdirSync("/run/sys/bus/x", { recursive: true });
  for (let i = 0; i < 10000; i++) {
    const dir = "/run/sys/devices/x" + Math.floor(i / 100) + "/y" + i;
    fs.mkdirSync(dir, { recursive: true });
    fs.writeFileSync(dir + "/uevent", "MODALIAS=x:y" + i + "\\n");
    fs.symlinkSync("/run/sys/bus/x", dir + "/subsystem");
    fs.symlinkSync(dir, dir + "/self");
  }
'
mkdir -p /run/sys/devices/bad; mkfifo /run/sys/devices/bad/uevent /run/sys/devices/x1/y100/attr; ln -s /run/sys/bus/x /run/sys/devices/bad/subsystem
rules 10-a <<'RULES'
ENV{N}="$kernel"
ATTR{attr}!="z", ENV{FIFO}="1"
ATTRS{self/self/attr}=="z", ENV{LOOP}="1"
RULES
run --sysfs /run/sys; walked 1; idle
# Events of other tests reach this namespace too.
ls /run/udev/data | grep -c '^+x:y'
grep -l FIFO /run/udev/data/* | wc -l
# Of its processor: a busy machine gives it less.
awk -v hz=$(getconf CLK_TCK) '{ print int(($14 + $15) / hz) }' /proc/$PID/stat
awk '/VmHWM/ { print $2 }' /proc/$PID/status
stop`).map(Number);
    expect([devices, records]).toEqual([10_000, 0]);
    expect(kilobytes).toBeLessThan(300_000);
    expect(seconds).toBeLessThan(40);
  });

  it('has whole rules at any time while they are replaced under load', () => {
    const lines = inside(`
write() { printf 'ENV{SAID_BY}="us"\\nKERNEL=="null", ENV{A}="%s"\\nKERNEL=="null", ENV{B}="%s"\\n' $1 $1 >/run/udev/new; mv /run/udev/new /run/udev/rules.d/10-a.rules; }
write 0
start --no-coldplug
logged . || true
$UDEVADM monitor --udev --property >/run/monitor & MONITOR=$!
until grep -q UDEV /run/monitor; do sleep 0.02; done
"$NODE" -e '
  const fs = require("node:fs");
  const write = (n) => { fs.writeFileSync("/run/udev/new", "ENV{SAID_BY}=\\"us\\"\\nKERNEL==\\"null\\", ENV{A}=\\"" + n + "\\"\\nKERNEL==\\"null\\", ENV{B}=\\"" + n + "\\"\\n"); fs.renameSync("/run/udev/new", "/run/udev/rules.d/10-a.rules"); };
  for (let i = 1; i <= 300; i++) { for (let k = 0; k < 10; k++) fs.writeFileSync("/sys/devices/virtual/mem/null/uevent", "change ${uuid} N=" + i + "x" + k); write(i); }
  fs.writeFileSync("/run/udev/rules.d/10-a.rules", "KERNEL==");
'
logged '10-a.rules is faulty'
echo "change ${uuid} N=last" >/sys/devices/virtual/mem/null/uevent
until of_us /run/monitor | grep -q ^SYNTH_ARG_N=last; do sleep 0.1; done; kill $MONITOR
# Other events of this device, which another test may make, have no number.
of_us /run/monitor | awk -F= '/^ACTION=/ { a = b = "" } /^A=/ { a = $2 } /^B=/ { b = $2 } /^SYNTH_ARG_N=/ { print $2, (a == b ? "whole" : "torn") }' | sort -u >/run/events
wc -l </run/events; grep -c whole /run/events
stop`);
    expect(lines).toEqual(['3001', '3001']);
  });

  it('lets programs inherit nothing, spares itself and not them, and keeps only the capabilities that it needs', () => {
    const lines = inside(`
rules 10-a <<'RULES'
KERNEL=="null", PROGRAM="/bin/sh -c 'ls /proc/self/fd | tr \\\\012 .; cat /proc/self/oom_score_adj | tr \\\\012 .; umask | tr \\\\012 .; pwd | tr \\\\012 .'", ENV{SAW}="$result"
RULES
bash -c 'exec 9</dev/null 251</dev/null; exec "$NODE" "$WORKER" udevd -S no --no-coldplug 2>>/run/log' & PID=$!
until [ -S /run/udev/control ]; do sleep 0.02; done
echo change >/sys/devices/virtual/mem/null/uevent
until grep -q SAW /run/udev/data/c1:3 2>/dev/null; do sleep 0.02; done
grep -o 'SAW=.*' /run/udev/data/c1:3
awk '/CapEff|CapPrm/ { print $1 $2 }' /proc/$PID/status
cat /proc/$PID/oom_score_adj; cat /proc/self/oom_score_adj
stop`);
    const [saw, permitted, effective, own, ours] = lines;
    expect(saw).toBe(`SAW=0.1.2.3.${ours}.0022./.`);
    expect(Number.parseInt(permitted?.slice(7) ?? '', 16) & ~0x0d2310ff & 0x3fffffff).toBe(0);
    expect([effective?.slice(7), own]).toEqual([permitted?.slice(7), own === ours ? ours : '-1000']);
  });
});
