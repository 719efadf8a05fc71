import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { buildWorker, inNamespace, steps, whyNoNamespace } from './udev-namespace.ts';

const reason = whyNoNamespace();
let worker = '';
let removeWorker = (): void => undefined;
beforeAll(async () => {
  const built = await buildWorker();
  worker = built.path;
  removeWorker = built.remove;
});
afterAll(() => removeWorker());

/** Waits for a line in a file. */
const WAIT = 'wait_for() { i=0; until grep -q "$1" "$2" 2>/dev/null; do i=$((i+1)); test $i -lt 200; sleep 0.05; done; }\n';
/** Debian's daemon, with the rules that are in /run/udev/rules.d. */
const UDEVD = 'ln -s "$UDEVADM" /run/systemd-udevd; /run/systemd-udevd --daemon 2>/run/udevd.log\n';

describe.skipIf(reason !== undefined)(`the broadcast${reason === undefined ? '' : ` (${reason})`}`, () => {
  it('is heard by Debian\'s udevadm monitor, through its filters by subsystem, type and tag', () => {
    const message = {
      step: 'broadcast', subsystem: 'block', devtype: 'disk', tags: ['tsm'],
      properties: { ACTION: 'add', DEVPATH: '/devices/virtual/block/loop0', SUBSYSTEM: 'block', DEVTYPE: 'disk', SEQNUM: '4711', DEVNAME: '/dev/loop0', MAJOR: '7', MINOR: '0', TAGS: ':tsm:', X: 'a b' },
    } as const;
    const out = inNamespace(worker, `${WAIT}touch /run/udev/control
pids=
for filter in "" "-s block" "-s block/disk" "-t tsm" "-s net" "-t other" "-s block/partition"; do
  timeout 30 $UDEVADM monitor -u -p $filter >"/run/heard$(echo "$filter" | tr ' /' '__')" & pids="$pids $!"
done
i=0; until [ "$(awk '$2 == 15 && $4 == "00000002"' /proc/net/netlink | wc -l)" -ge 7 ]; do i=$((i+1)); test $i -lt 200; sleep 0.05; done
ours ${steps(message)}
for f in /run/heard /run/heard-s_block /run/heard-s_block_disk /run/heard-t_tsm; do wait_for X=a $f; done
kill $pids
for f in /run/heard*; do echo "$f $(grep -c '^X=a b$' "$f" || true)"; done; sed -n '/^UDEV .*add/,$p' /run/heard | sed 's/\\[.*\\]/[]/'`, { network: true });
    const [result, ...lines] = out.split('\n').filter(Boolean);
    expect(result).toBe('{"results":[true],"log":[]}');
    // It prints the properties in an order of its own.
    expect(lines.sort()).toEqual([
      '/run/heard 1', '/run/heard-s_block 1', '/run/heard-s_block_disk 1', '/run/heard-s_block_partition 0', '/run/heard-s_net 0', '/run/heard-t_other 0', '/run/heard-t_tsm 1',
      'UDEV  [] add      /devices/virtual/block/loop0 (block)', ...Object.entries(message.properties).map(([key, value]) => `${key}=${value}`),
    ].sort());
  });

  it('of Debian\'s udevd is read by ours', () => {
    const out = inNamespace(worker, `${WAIT}echo 'KERNEL=="null", ENV{TSM}="y z", TAG+="tsm", SYMLINK+="l/null"' >/run/udev/rules.d/10-test.rules
${UDEVD}
ours ${steps({ step: 'hear', property: 'TSM' })} >/run/heard & pid=$!
wait_for ready /run/heard
$UDEVADM trigger --action=change --sysname-match=null --subsystem-match=mem
wait $pid
$UDEVADM control --exit
cat /run/heard`, { network: true });
    const [, result] = out.split('\n');
    const { SEQNUM, USEC_INITIALIZED, SYNTH_UUID, ...properties } = Object.fromEntries(JSON.parse(result ?? '').results[0]) as Record<string, string>;
    expect([SEQNUM, USEC_INITIALIZED, SYNTH_UUID].map((text) => /^[\d-a-f]+$/.test(text ?? ''))).toEqual([true, true, true]);
    expect(properties).toEqual({
      ACTION: 'change', DEVPATH: '/devices/virtual/mem/null', SUBSYSTEM: 'mem', DEVNAME: '/dev/null', DEVMODE: '0666', MAJOR: '1', MINOR: '3', TSM: 'y z',
      DEVLINKS: '/dev/l/null', TAGS: ':tsm:', CURRENT_TAGS: ':tsm:',
    });
  });
});

describe.skipIf(reason !== undefined)('the control socket', () => {
  it('takes what Debian\'s udevadm control sends, and its ping returns', () => {
    const out = inNamespace(worker, `${WAIT}ours ${steps({ step: 'serve', messages: 8 })} >/run/heard & pid=$!
wait_for ready /run/heard
stat -c '%A' /run/udev/control
$UDEVADM control --log-level=debug --stop-exec-queue --reload --property=KEY=value --children-max=7 --timeout=20
$UDEVADM control --start-exec-queue --timeout=20
$UDEVADM control --ping --timeout=20
$UDEVADM control --exit --timeout=20
wait $pid; tail -1 /run/heard`);
    const [mode, result] = out.split('\n');
    expect(mode).toBe('srw-------');
    expect(JSON.parse(result ?? '').results[0].map(({ type, value }: { type: string; value?: unknown }) => (value === undefined ? type : [type, value]))).toEqual([
      ['log-level', 7], 'stop-queue', 'reload', ['env', 'KEY=value'], ['children-max', 7], 'start-queue', 'ping', 'exit',
    ]);
  });

  it('of Debian\'s udevd takes what ours sends', () => {
    const out = inNamespace(worker, `${UDEVD}
ours ${steps({ step: 'control', messages: [{ type: 'log-level', value: 7 }, { type: 'env', value: 'TSM=1' }, { type: 'ping' }] })}
$UDEVADM control --ping
ours ${steps({ step: 'control', messages: [{ type: 'exit' }] })}
ours ${steps({ step: 'control', messages: [{ type: 'ping' }] })} 2>&1 | grep -o -m 1 "code: 'E.*'"`, { network: true });
    expect(out.split('\n')).toEqual(['{"results":[true],"log":[]}', '{"results":[true],"log":[]}', "code: 'ECONNREFUSED'", '']);
  });
});
