import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { udevadmTestRules } from '../../src/applets/udevadm-test-rules.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';
import type { Ran } from './run-applet.ts';

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const RULES = `KERNEL=="vda", SYMLINK+="disk/one", GROUP="disk", ENV{ID_A}="$attr{serial}"
SUBSYSTEM=="net", NAME="x"
KERNEL=="vda", IMPORT{builtin}="blkid", SYMLINK+="by-uuid/$env{ID_FS_UUID}"
KERNEL=="vda", PROGRAM=="helper %k", ENV{ID_RESULT}="%c"
`;
const DEVICE = 'P: /devices/virtual/block/vda\nN: vda\nE: MAJOR=1\nE: MINOR=2\nE: SUBSYSTEM=block\nA: serial=S 1\n';
const GOOD = `${DEVICE}
case: a disk
builtin: blkid
  ID_FS_UUID=0a
program: helper vda
  said

expect:
links: disk/one by-uuid/0a
group: disk
mode: 0660
properties:
  ID_A=S 1
  ID_FS_UUID=0a
  ID_RESULT=said
`;
const BAD = `${DEVICE}\ncase: a disk\nexpect:\nlinks: disk/one disk/two\nmode: 0600\n`;

async function run(files: Readonly<Record<string, string>>, argv: readonly string[]): Promise<Ran> {
  const root = fixtureRoot(files);
  const { status, stdout, stderr } = await runApplet(udevadmTestRules, argv.map((word) => word.replace('ROOT', root)), { root });
  return { status, stdout: stdout.replaceAll(`${root}/`, ''), stderr: stderr.replaceAll(`${root}/`, '') };
}

describe('udevadm test-rules', () => {
  it('runs the cases of a directory with the rules beside them', async () => {
    expect(await run({ 'c/10-a.rules': RULES, 'c/a.case': GOOD, 'c/no-case.txt': 'x' }, ['ROOT/c'])).toEqual({
      status: 0, stderr: '',
      stdout: 'ok    c/a.case:8: a disk\n\n1 of 4 rules never matched:\n  c/10-a.rules:2  never ran\n1 cases, all as expected\n',
    });
  });

  it('shows what is not as expected side by side, and what had no answer', async () => {
    expect(await run({ 'r/10-a.rules': RULES, 'c/sub/b.case': BAD }, ['--rules', 'ROOT/r', 'ROOT/c'])).toEqual({
      status: 1, stderr: '',
      stdout: `FAIL  c/sub/b.case:8: a disk
            expected  found
      link  disk/two  -
      mode  0600      0660
      no answer for "builtin: blkid"
      no answer for "program: helper vda"

3 of 4 rules never matched:
  r/10-a.rules:2  never ran
  r/10-a.rules:3
  r/10-a.rules:4
1 cases, 1 failed
`,
    });
  });

  it('counts how often rules ran and matched, those in TypeScript too', async () => {
    const { stdout } = await run({
      'c/10-a.rules': RULES, 'c/20-b.rules.mjs': 'export const rule = (device) => (device.sysname === "vda" ? { tags: ["t"] } : undefined);', 'c/a.case': `${GOOD}tags: t\n`,
    }, ['--coverage', 'ROOT/c']);
    expect(stdout.slice(stdout.indexOf('\n\n') + 2)).toBe(`    ran  matched
      1        1  c/10-a.rules:1
      0        0  c/10-a.rules:2
      1        1  c/10-a.rules:3
      1        1  c/10-a.rules:4
      1        1  c/20-b.rules.mjs:1

1 of 5 rules never matched
1 cases, all as expected
`);
  });

  it('prints one JSON object', async () => {
    const { status, stdout } = await run({ 'c/10-a.rules': RULES, 'c/b.case': BAD }, ['--json', 'ROOT/c']);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      schema: 1, failed: 1, errors: [],
      cases: [{
        file: 'c/b.case', line: 8, title: 'a disk', devpath: '/devices/virtual/block/vda', action: 'add', ok: false, messages: [],
        differences: [{ line: 10, what: 'link', expected: 'disk/two' }, { line: 11, what: 'mode', expected: '0600', actual: '0660' }],
        unanswered: ['builtin: blkid', 'program: helper vda'],
      }],
      rules: {
        total: 4, neverMatched: [2, 3, 4].map((line) => ({ file: 'c/10-a.rules', line })),
        lines: [[1, 1, 1], [2, 0, 0], [3, 1, 0], [4, 1, 0]].map(([line, ran, matched]) => ({ file: 'c/10-a.rules', line, ran, matched })),
      },
    });
  });

  it('takes devices and rules from other files', async () => {
    const { status, stdout } = await run({
      'c/own.rules': 'ENV{X}="beside"', 'r/10-a.rules': 'KERNEL=="vda", ATTRS{board}=="b", ENV{X}="$id"', 'c/m.umockdev': `${DEVICE}\nP: /devices/virtual/block\nE: SUBSYSTEM=s\nA: board=b\n`,
      'c/a.case': 'rules: ../r\ndevices: m.umockdev\n\ncase: x\nexpect:\nproperty: X=block\n\ncase: y\nrules: own.rules\nexpect:\nproperty: X=beside\n',
    }, ['ROOT/c']);
    expect({ status, stdout: stdout.split('\n').slice(0, 2) }).toEqual({ status: 0, stdout: ['ok    c/a.case:4: x', 'ok    c/a.case:8: y'] });
  });

  it('names file and line of what it cannot read, and runs the rest', async () => {
    const ran = await run({ 'c/10-a.rules': RULES, 'c/a.case': GOOD, 'c/b.case': `${DEVICE}nonsense\n`, 'c/c.case': `${DEVICE}case: x\ndevice: /devices/y\nexpect:\nlinks: none\n` }, ['ROOT/c']);
    expect({ status: ran.status, stderr: ran.stderr, first: ran.stdout.split('\n')[0] }).toEqual({
      status: 2, first: 'ok    c/a.case:8: a disk',
      stderr: 'c/b.case:7: neither "key: value" nor a line of a captured device\nc/c.case:7: the case "x" is of /devices/y, and there is no such device\n',
    });
  });

  it('fails with 2 for bad rules and bad arguments', async () => {
    expect(await run({ 'c/10-a.rules': 'nonsense\n', 'c/a.case': `${DEVICE}case: x\nexpect:\nlinks: none\n` }, ['ROOT/c'])).toMatchObject({ status: 2, stderr: 'c/10-a.rules:1: Invalid key/value pair, ignoring.\n' });
    expect(await run({}, [])).toMatchObject({ status: 2, stderr: 'test-rules: a directory of cases, or a file, is needed\n' });
    expect(await run({ 'c/x': '' }, ['ROOT/c'])).toMatchObject({ status: 2, stderr: expect.stringContaining('there is no file *.case in ') });
    expect((await run({}, ['ROOT/missing'])).status).toBe(2);
  });

  it('leaves nothing behind', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('tsudev-rules-'));
    await run({ 'c/10-a.rules': RULES, 'c/a.case': GOOD }, ['ROOT/c']);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('tsudev-rules-')).length).toBeLessThanOrEqual(before.length);
  });
});

describe('udevadm test-rules --capture', () => {
  it('writes a case that holds', async () => {
    const root = fixtureRoot({
      'etc/udev/rules.d/10-a.rules': 'KERNEL=="vda", ATTRS{board}=="b", SYMLINK+="disk/$attr{serial}", GROUP="disk", IMPORT{builtin}="path_id"\nKERNEL=="vda", RUN+="x", TAG+="t"\n',
      'etc/group': 'disk:x:6:\n', 'proc/cmdline': 'quiet\n',
      'sys/devices/b/uevent': '', 'sys/devices/b/board': 'b\n', 'sys/devices/b/block/vda/uevent': 'MAJOR=1\nMINOR=2\nDEVNAME=vda\n', 'sys/devices/b/block/vda/serial': 'S1\n',
      'sys/devices/b/block/vda/queue/rotational': '0\n', 'sys/devices/b/block/vda/stat': '1 2 3\n', 'run/udev/data/b1:2': 'E:ID_OLD=1\nG:old\n',
    });
    mkdirSync(join(root, 'sys/class/block'), { recursive: true });
    symlinkSync('../../../../class/block', join(root, 'sys/devices/b/block/vda/subsystem'));
    const { status, stdout, stderr } = await runApplet(udevadmTestRules, ['--capture', join(root, 'sys/devices/b/block/vda')], { root });
    expect({ status, stderr, stdout: stdout.replaceAll(root, '') }).toEqual({
      status: 0, stderr: '',
      stdout: `P: /devices/b/block/vda
N: vda
E: MAJOR=1
E: MINOR=2
E: DEVNAME=/dev/vda
E: SUBSYSTEM=block
E: ID_OLD=1
E: TAGS=:old:
E: CURRENT_TAGS=:old:
A: queue/rotational=0
A: serial=S1

P: /devices/b
A: board=b

case: block vda, add
action: add
cmdline: quiet
builtin: path_id
status: 1

expect:
links: none
tags: t
mode: none
run: x
properties:
`,
    });
    writeFileSync(join(root, 'a.case'), stdout);
    expect(await runApplet(udevadmTestRules, [join(root, 'a.case')], { root })).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('rules/', () => {
  it('do to each device what their cases say, and every line is needed', async () => {
    const { status, stdout, stderr } = await runApplet(udevadmTestRules, ['--json', '--rules', join(top, 'rules'), join(top, 'rules/tests')], { root: fixtureRoot({}) });
    const { cases, rules } = JSON.parse(stdout) as { cases: { ok: boolean; title: string }[]; rules: { total: number; neverMatched: unknown[] } };
    expect({ status, stderr, failed: cases.filter(({ ok }) => !ok), never: rules.neverMatched }).toEqual({ status: 0, stderr: '', failed: [], never: [] });
    expect(rules.total).toBeGreaterThan(100);
  });
});
