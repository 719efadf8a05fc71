// The unit files of packaging/, each under the service manager that it is for: systemd, OpenRC, runit and s6 of Debian, one after
// the other in one guest.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';

import type { VmResult } from '../../src/vm/vm.ts';
import { guestKernel, guestText, runOurs } from './guests.ts';
import { packagesInGuest } from './packages.ts';

const PACKAGING = join(import.meta.dirname, '../../packaging');
const PACKAGES = [
  'openrc', 'librc1', 'libeinfo1', 'runit', 's6', 'libs6-2.11', 'libskarnet2.13', 'libexecline2.9',
  'systemd', 'libsystemd-shared', 'libapparmor1', 'libip4tc2', 'libkmod2', 'libseccomp2', 'libaudit1', 'libcap-ng0', 'libpam0g', 'liblz4-1', 'libgcrypt20', 'libgpg-error0',
];
const PROGRAMS = [
  'sbin/openrc-run', 'sbin/supervise-daemon', 'sbin/rc-service', 'usr/bin/runsvdir', 'usr/bin/runsv', 'usr/bin/sv',
  'usr/bin/s6-svscan', 'usr/bin/s6-supervise', 'usr/bin/s6-svwait', 'usr/bin/s6-svc', 'usr/bin/s6-svstat', 'lib/systemd/systemd', 'bin/systemctl',
];

/**
 * Between two of them nothing is left of udev's: a link to the disk, which only a rule makes, tells whether the coldplug was done when
 * the manager called the service ready.
 */
const SCRIPT = `
step() {
  name=$1 limit=$2
  shift 2
  echo "step $name"
  timeout $limit "$@" > /tmp/step.$name 2>&1
  echo "$name $?" >> /tmp/steps
}
# What holds once the manager has called it ready, after a reload, and after its stop.
ready() {
  step $1-link 5 readlink /dev/disk/by-id/virtio-disk
  tskmod status --json > /tmp/step.$1-status
}
stopped() {
  ps -o pid,args | grep -v grep | grep tskmod.cjs > /tmp/step.$1-left
  rm -rf /run/udev /dev/disk
}
until_there() { for i in $(seq 1 100); do grep -q "$1" "$2" && return; usleep 100000; done; }
ln -s /app/modprobe /usr/bin/tsudevd
mkdir -p /etc/init.d /run/lock

# runit
runsvdir /sv > /tmp/step.runit-log 2>&1 &
manager=$!
until [ -p /sv/tsudevd/supervise/ok ]; do usleep 50000; done
step runit-start 60 sv -w 50 start /sv/tsudevd
ready runit
step runit-reload 10 sv hup /sv/tsudevd
until_there SIGHUP /tmp/step.runit-log
step runit-stop 40 sv -w 30 stop /sv/tsudevd
step runit-down 5 sv status /sv/tsudevd
kill -HUP $manager
wait $manager
stopped runit

# s6
s6-svscan /s6 > /tmp/step.s6-log 2>&1 &
manager=$!
until s6-svok /s6/tsudevd; do usleep 50000; done
step s6-start 60 s6-svwait -U -t 50000 /s6/tsudevd
ready s6
step s6-up 5 s6-svstat -o up,ready /s6/tsudevd
step s6-reload 10 s6-svc -h /s6/tsudevd
until_there SIGHUP /tmp/step.s6-log
step s6-stop 40 s6-svc -wD -T 30000 -d /s6/tsudevd
step s6-down 5 s6-svstat -o up,exitcode /s6/tsudevd
s6-svscanctl -t /s6
wait $manager
stopped s6

# OpenRC
mkdir -p /var/log
for name in daemons exclusive failed hotplugged inactive init.d options scheduled started starting stopping tmp wasinactive; do mkdir -p /run/openrc/$name; done
touch /run/openrc/softlevel
printf '#!/sbin/openrc-run\\nstart() { :; }\\n' > /etc/init.d/devfs
cp /etc/init.d/devfs /etc/init.d/sysfs
chmod +x /etc/init.d/*
step openrc-start 90 rc-service tsudevd start
ready openrc
step openrc-up 10 rc-service tsudevd status
step openrc-reload 10 rc-service tsudevd reload
until_there SIGHUP /tmp/step.openrc-log
step openrc-stop 60 rc-service tsudevd stop
stopped openrc

# systemd, process 1 of a namespace
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
unshare -pfm --mount-proc env container=guest /lib/systemd/systemd --system --unit=nothing.target --log-target=console --log-level=info --show-status=no > /tmp/step.systemd-log 2>&1 &
manager=$!
until init=$(cat /proc/$manager/task/$manager/children) && [ -n "$init" ]; do usleep 50000; done
for i in $(seq 1 200); do nsenter -t \${init% } -p -m systemctl is-active nothing.target > /dev/null 2>&1 && break; usleep 100000; done
step systemd-start 90 nsenter -t \${init% } -p -m systemctl start tsudevd
ready systemd
step systemd-up 10 nsenter -t \${init% } -p -m systemctl show -p ActiveState,SubState,NRestarts,StatusText tsudevd
cat /proc/$(pidof node)/status > /tmp/step.systemd-process
step systemd-reload 30 nsenter -t \${init% } -p -m systemctl reload tsudevd
for i in $(seq 1 100); do nsenter -t \${init% } -p -m systemctl is-active -q tsudevd && break; usleep 100000; done
step systemd-again 10 nsenter -t \${init% } -p -m systemctl show -p ActiveState,SubState,NRestarts tsudevd
step systemd-stop 60 nsenter -t \${init% } -p -m systemctl stop tsudevd
step systemd-down 10 nsenter -t \${init% } -p -m systemctl show -p ActiveState,Result,ExecMainStatus tsudevd
kill -9 $init
wait $manager
stopped systemd
vmctl put /tmp/steps /tmp/step.*
`;

describe('the unit files of packaging/', () => {
  let scratch = '';
  let result: VmResult | undefined;
  let skipped: string | undefined;

  beforeAll(async () => {
    const kernel = await guestKernel('6.12');
    if (typeof kernel === 'string') {
      skipped = kernel;
      return;
    }
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-managers-'));
    writeFileSync(join(scratch, 'disk.img'), Buffer.alloc(1 << 20));
    const text = (name: string, target: string, content: string) => guestText(scratch, name, target, content);
    const packages = packagesInGuest(PACKAGES, PROGRAMS);
    result = await runOurs(kernel, SCRIPT, {
      boot: 'bzimage', timeoutSeconds: 400, overlays: packages.overlays,
      files: [
        ...packages.files,
        { source: join(PACKAGING, 'runit/tsudevd'), target: '/sv/tsudevd' }, { source: join(PACKAGING, 's6/tsudevd'), target: '/s6/tsudevd' },
        text('openrc', '/etc/init.d/tsudevd', `${readFileSync(join(PACKAGING, 'openrc/tsudevd'), 'utf8')}error_log=/tmp/step.openrc-log\n`),
        { source: join(PACKAGING, 'systemd/tsudevd.service'), target: '/etc/systemd/system/tsudevd.service' },
        // Debian's OpenRC asks for it before all else.
        text('insserv', '/etc/insserv.conf', ''),
        text('target', '/etc/systemd/system/nothing.target', '[Unit]\nDefaultDependencies=no\n'),
      ],
      qemuArguments: ['-drive', `if=none,id=disk,format=raw,snapshot=on,file=${join(scratch, 'disk.img')}`, '-device', 'virtio-blk-pci,drive=disk,serial=disk'],
    });
  }, 450_000);
  afterAll(() => {
    if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
  });

  /** What a step said. Fails with the whole of it where its command did. */
  const said = (context: TestContext, ...steps: readonly string[]): readonly string[] => {
    if (skipped !== undefined) context.skip(skipped);
    const statuses = new Map(textOf('steps').split('\n').map((line) => line.split(' ')).map(([name = '', status = '']) => [name, status]));
    for (const step of steps) expect(statuses.get(step), `${step}: ${textOf(`step.${step}`)}\n${result?.console}`).toBe('0');
    return textOf(`step.${steps.at(-1)}`).split('\n').map((line) => line.trim()).filter(Boolean);
  };
  const textOf = (file: string): string => result?.files.get(file)?.toString('utf8') ?? '';
  /** What holds for every manager: nothing was pending when it called the service ready, and nothing is left after the stop. */
  const expectReadyAndGone = (context: TestContext, name: string): void => {
    expect(said(context, `${name}-start`, `${name}-link`)).toEqual(['../../vda']);
    expect(JSON.parse(textOf(`step.${name}-status`))).toMatchObject({ events: { queued: 0, running: 0, failed: 0 }, pending: [], loading: [] });
    said(context, `${name}-reload`, `${name}-stop`);
    expect(textOf(`step.${name}-left`)).toBe('');
  };

  it('runit starts, reloads and stops it, and knows when it is ready', (context) => {
    expectReadyAndGone(context, 'runit');
    expect(textOf('step.runit-log')).toMatch(/ \d+ modaliases, [\s\S]*\(SIGHUP\)/);
    expect(said(context, 'runit-down')).toEqual([expect.stringMatching(/^down: /)]);
  });

  it('s6 too', (context) => {
    expectReadyAndGone(context, 's6');
    expect(said(context, 's6-up')).toEqual(['true true']);
    expect(textOf('step.s6-log')).toMatch(/ \d+ modaliases, [\s\S]*\(SIGHUP\)/);
    expect(said(context, 's6-down')).toEqual(['false 0']);
  });

  it('OpenRC too', (context) => {
    expectReadyAndGone(context, 'openrc');
    expect(said(context, 'openrc-up').at(-1)).toMatch(/status: started$/);
    expect(textOf('step.openrc-log')).toMatch(/ \d+ modaliases, [\s\S]*\(SIGHUP\)/);
  });

  it('systemd too, in its sandbox', (context) => {
    expectReadyAndGone(context, 'systemd');
    expect(said(context, 'systemd-up')).toEqual(expect.arrayContaining([
      'ActiveState=active', 'SubState=running', 'NRestarts=0', expect.stringMatching(/^StatusText=\d+ devices, \d+ modaliases, /),
    ]));
    expect(said(context, 'systemd-again')).toEqual(expect.arrayContaining(['ActiveState=active', 'NRestarts=0']));
    expect(said(context, 'systemd-down')).toEqual(expect.arrayContaining(['ActiveState=inactive', 'Result=success', 'ExecMainStatus=0']));
    expect(textOf('step.systemd-process')).toMatch(/^NoNewPrivs:\t1$/m);
  });
});
