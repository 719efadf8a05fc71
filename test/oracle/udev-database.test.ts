import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Step, StepDevice } from './udev-worker.ts';
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

const char = (sysname: string, minor: number, properties: Readonly<Record<string, string>> = {}): StepDevice => ({
  devnum: { type: 'char', major: 1, minor }, devname: sysname, ifindex: undefined, subsystem: 'mem', sysname, devpath: `/devices/virtual/mem/${sysname}`, properties,
});
const NULL = char('null', 3, { DEVMODE: '0666' });
const ZERO = char('zero', 5, { DEVMODE: '0666' });
const FULL = char('full', 7, { DEVMODE: '0666' });

/** All that udev leaves, one line an entry: mode, owner, name, target or text; times do not count, nor the order of what is a set. */
const DUMP = `
dump() {
  for f in $(find /run/udev /dev/null /dev/zero /dev/full /dev/kmsg /dev/l /dev/char /dev/disk /dev/nested -mindepth 0 2>/dev/null | grep -v rules.d | sort); do
    if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"; else stat -c '%a %u %g %F %n' "$f"; fi
  done
  for f in /run/udev/data/*; do echo "$f:"; grep -v ^I: "$f" | sort || true; done
}
`;

const LONG = `nested/${'n'.repeat(100)}/${'m'.repeat(100)}/${'o'.repeat(100)}`;

describe.skipIf(reason !== undefined)(`what events leave in /run/udev and /dev${reason === undefined ? '' : ` (${reason})`}`, () => {
  const rules = [
    `KERNEL=="null", SYMLINK+="l/a l/b disk/by-x/n kmsg ${LONG}", TAG+="t1", TAG+="t2", ENV{A}="b c", ENV{.hidden}="x", OPTIONS+="link_priority=-7"`,
    'KERNEL=="zero", SYMLINK+="l/a", ENV{Z}="1", MODE="0640", GROUP="5", OPTIONS+="db_persist"',
    'KERNEL=="full", SYMLINK+="l/b"',
  ].join('\n');
  const events: readonly Step[] = [
    {
      step: 'event', id: 'c1:3', device: NULL, links: ['l/a', 'l/b', 'disk/by-x/n', 'kmsg', LONG], priority: -7, properties: { A: 'b c', '.hidden': 'x' }, tags: ['t1', 't2'],
    },
    { step: 'event', id: 'c1:5', device: ZERO, links: ['l/a'], properties: { Z: '1' }, mode: 0o640, group: 5, persist: true },
    { step: 'event', id: 'c1:7', device: FULL, links: ['l/b'] },
    { step: 'event', id: 'c1:11', device: char('kmsg', 11, { DEVMODE: '0644' }) },
  ];

  it('is what udev 252 leaves: nodes, links, claims, tags and records with their modes', () => {
    const theirs = inNamespace(worker, `${DUMP}cat >/run/udev/rules.d/10-test.rules <<'RULES'\n${rules}\nRULES
for d in null zero full kmsg; do $UDEVADM test /sys/class/mem/$d >/dev/null 2>&1; done
dump`);
    const ours = inNamespace(worker, `${DUMP}ours ${steps(...events)} >/dev/null; dump`);
    expect(ours.split('\n')).toEqual(theirs.split('\n'));
    expect(ours).toContain('/dev/l/a -> ../zero');
  });

  it('is what udev 252 leaves after the best claimant is gone', () => {
    const theirs = inNamespace(worker, `${DUMP}cat >/run/udev/rules.d/10-test.rules <<'RULES'\n${rules.replace(' kmsg ', ' ')}\nRULES
for d in null zero full; do $UDEVADM test /sys/class/mem/$d >/dev/null 2>&1; done
$UDEVADM test --action=remove /sys/class/mem/zero >/dev/null 2>&1
dump`);
    const [first, second, third] = events;
    if (first?.step !== 'event' || second?.step !== 'event' || third?.step !== 'event') throw new Error('no events');
    const ours = inNamespace(worker, `${DUMP}ours ${steps(
      { ...first, links: ['l/a', 'l/b', 'disk/by-x/n', LONG] }, second, third, { step: 'remove', device: ZERO, links: ['l/a'] },
    )} >/dev/null; rm /run/udev/data/c1:5; dump`);
    expect(ours.split('\n')).toEqual(theirs.split('\n'));
    expect(ours).toContain('/dev/l/a -> ../null');
  });
});

describe.skipIf(reason !== undefined)('updateNode and removeNode', () => {
  it('make a missing node where /dev is no devtmpfs, with the kernel\'s mode or 0600, and take it away again', () => {
    const gone = { ...NULL, devname: 'made/null', devnum: { type: 'char', major: 1, minor: 300 } } as const;
    const out = inNamespace(worker, `ours ${steps({ step: 'event', id: 'c1:300', device: gone })} | tail -1
stat -c '%a %t:%T %n' /dev/made/null
ours ${steps({ step: 'event', id: 'c1:300', device: { ...gone, properties: {} }, group: 5, mode: 0o660 })} >/dev/null
stat -c '%a %g %n' /dev/made/null
ours ${steps({ step: 'remove', device: gone, links: [] })} >/dev/null
test ! -e /dev/made/null`);
    expect(out.split('\n')).toEqual(['{"results":[true],"log":[]}', '666 1:12c /dev/made/null', '660 5 /dev/made/null', '']);
  });

  it('leave alone the node of another device, a link in its place, and a node whose device lives', () => {
    const out = inNamespace(worker, `ours ${steps({ step: 'event', id: 'c1:5', device: { ...ZERO, devname: 'null' }, mode: 0o600 })}
ln -s null /dev/link; ours ${steps({ step: 'event', id: 'c1:3', device: { ...NULL, devname: 'link' }, mode: 0o600 })}
ours ${steps({ step: 'remove', device: NULL, links: [] })} >/dev/null
stat -c '%a %n' /dev/null`);
    expect(out.split('\n')).toEqual([
      '{"results":[false],"log":["warn: /dev/null is not the char device 1:5: left alone"]}',
      '{"results":[false],"log":["warn: /dev/link is not the char device 1:3: left alone"]}', '666 /dev/null', '',
    ]);
  });

  it('make no node on a devtmpfs, where a missing node is a device that went', () => {
    const out = inNamespace(worker, `mkdir /mnt/tree; mount -t devtmpfs none /mnt/tree && mount --move /mnt/tree /dev
ours ${steps({ step: 'node', device: { ...NULL, devname: 'made', devnum: { type: 'char', major: 1, minor: 300 } } })}
test ! -e /dev/made`);
    expect(out).toBe('{"results":[false],"log":[]}\n');
  });

  it('say what a read-only /dev refuses, and go on', () => {
    const out = inNamespace(worker, `rm -rf /dev/char; mount -o remount,ro,bind /dev
ours ${steps({ step: 'event', id: 'c1:3', device: NULL, links: ['l'], mode: 0o600 })}
cat /run/udev/data/c1:3`);
    const [result, ...record] = out.split('\n');
    expect(JSON.parse(result ?? '')).toEqual({
      results: [false],
      log: [expect.stringMatching(/^warn: \/dev\/null: EROFS/), expect.stringMatching(/^warn: \/dev\/l: EROFS/), expect.stringMatching(/^warn: \/dev\/char\/1:3: EROFS/)],
    });
    expect(record).toEqual(['S:l', 'I:1', 'V:1', '']);
  });
});

describe.skipIf(reason !== undefined)('a full /run', () => {
  it('costs the record and a line in the log; the links are made, and nothing half-written stays', () => {
    const out = inNamespace(worker, `mount -t tmpfs -o size=4k,nr_inodes=6 none /run
mkdir -p /run/udev/data; head -c 4096 /dev/urandom >/run/fill || true
ours ${steps({ step: 'event', id: 'c1:3', device: NULL, links: ['l/x'], properties: { A: 'b' } })}
find /run -type f; readlink /dev/l/x /dev/char/1:3`);
    const [result, ...rest] = out.split('\n');
    expect(JSON.parse(result ?? '')).toMatchObject({ results: [true], log: expect.arrayContaining([expect.stringMatching(/^warn: cannot write \/run\/udev\/data\/c1:3: ENOSPC/)]) });
    expect(rest.filter((line) => line !== '/run/udev/links/l\\x2fx/.lock')).toEqual(['/run/fill', '../null', '../null', '']);
  });
});

describe.skipIf(reason !== undefined)('static nodes', () => {
  it('are made from modules.devname, and rules give them owner, group, mode and tags', () => {
    const out = inNamespace(worker, `mkdir -p /run/tree/lib/modules/test
echo 'fuse sx/fuse c10:229
loop loop-control2 c10:237
blk sb b7:9' >/run/tree/lib/modules/test/modules.devname
ours ${steps({ step: 'static', wishes: [
  { path: 'sx/fuse', mode: 0o666, tags: ['uaccess'] }, { path: 'loop-control2', group: 5, tags: [] }, { path: 'missing', mode: 0o600, tags: ['uaccess'] }, { path: '../etc/passwd', mode: 0o777, tags: [] },
] })} '{"roots":{"modules":"/run/tree"},"release":"test"}'
stat -c '%a %u %g %t:%T %n' /dev/sx /dev/sx/fuse /dev/loop-control2 /dev/sb
find /run/udev/static_node-tags -type l -print -exec readlink {} \\;`);
    expect(out.split('\n')).toEqual([
      '{"results":[["sx/fuse","loop-control2","sb"]],"log":[]}', '755 0 0 0:0 /dev/sx', '1666 0 0 a:e5 /dev/sx/fuse', '1660 0 5 a:ed /dev/loop-control2',
      '1600 0 0 7:9 /dev/sb', '/run/udev/static_node-tags/uaccess/sx\\x2ffuse', '/dev/sx/fuse', '',
    ]);
  });
});

describe.skipIf(reason !== undefined)('renameInterface', () => {
  it('renames in the kernel, and says which name is taken', () => {
    const out = inNamespace(worker, `ip link add tsm0 type bridge; ip link add tsm1 type bridge
i=$(cat /sys/class/net/tsm0/ifindex)
ours "[{\\"step\\":\\"rename\\",\\"ifindex\\":$i,\\"sysname\\":\\"tsm0\\",\\"name\\":\\"tslan0\\"},{\\"step\\":\\"rename\\",\\"ifindex\\":$i,\\"sysname\\":\\"tsm0\\",\\"name\\":\\"tslan0\\"},{\\"step\\":\\"rename\\",\\"ifindex\\":$i,\\"sysname\\":\\"tslan0\\",\\"name\\":\\"tsm1\\"},{\\"step\\":\\"rename\\",\\"ifindex\\":9999,\\"sysname\\":\\"x\\",\\"name\\":\\"y\\"}]"
ls /sys/class/net | grep ^ts`, { network: true });
    const [result, ...names] = out.split('\n');
    expect(JSON.parse(result ?? '').results).toEqual(['renamed', expect.stringMatching(/^(?:renamed|unchanged)$/), 'collision', 'gone']);
    expect(names).toEqual(['tslan0', 'tsm1', '']);
  });
});

describe('many processes that claim the same links at once', () => {
  it('leave each link to one of them, all claims, and nothing else', async () => {
    const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-links-'));
    try {
      mkdirSync(join(root, 'dev'));
      writeFileSync(join(root, 'dev/.keep'), '');
      const links = ['disk/by-id/shared', 'other/shared', 'x'];
      await Promise.all([0, 1, 2, 3, 4, 5].map((minor) => runWorker({
        step: 'churn', device: { ...NULL, devname: `n${minor}`, devnum: { type: 'char', major: 1, minor } }, links: [...links, `own/${minor}/l`], rounds: 25,
      }, root)));
      const ids = [0, 1, 2, 3, 4, 5].map((minor) => `c1:${minor}`);
      for (const link of links) {
        expect(readdirSync(join(root, 'run/udev/links', link.replaceAll('/', '\\x2f'))).sort()).toEqual(['.lock', ...ids]);
        expect(readlinkSync(join(root, 'dev', link))).toMatch(/^(?:\.\.\/)*n[0-5]$/);
      }
      expect(readdirSync(join(root, 'dev')).sort()).toEqual(['.keep', 'char', 'disk', 'other', 'own', 'x']);
      expect(readdirSync(join(root, 'dev/own'), { recursive: true }).length).toBe(12);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

async function runWorker(step: Step, root: string): Promise<void> {
  const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const child = spawn(process.execPath, [worker, JSON.stringify([step]), JSON.stringify({ root })], { env: { ...process.env, NODE_PATH: join(top, 'node_modules') } });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (out += chunk.toString()));
  const status = await new Promise((resolve) => child.on('close', resolve));
  expect([status, JSON.parse(out.trim() || '{}')]).toEqual([0, { results: [null], log: [] }]);
}
