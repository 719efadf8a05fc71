import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { udevadmTest } from '../../src/applets/udevadm-test.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const RULES = `SUBSYSTEM!="block", GOTO="end"
KERNEL=="vd*", ATTR{size}=="8", ENV{ID_A}="1", SYMLINK+="disk/%k", TAG+="systemd", ATTR{ro}="1"
ENV{ID_A}=="2", RUN+="never"
RUN+="helper %k", MODE="0640", GROUP="disk"
LABEL="end"
`;

function machine(rules = RULES): string {
  const root = fixtureRoot({
    'sys/devices/virtual/block/vda/uevent': 'MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n',
    'sys/devices/virtual/block/vda/size': '8\n',
    'sys/devices/virtual/block/vda/ro': '0\n',
    'sys/class/block/x': '',
    'etc/udev/rules.d/10-a.rules': rules,
    'etc/udev/rules.d/50-udev-default.rules': '',
    'etc/group': 'disk:x:6:\n',
  });
  symlinkSync('../../../../class/block', join(root, 'sys/devices/virtual/block/vda/subsystem'));
  symlinkSync('../../devices/virtual/block/vda', join(root, 'sys/class/block/vda'));
  return root;
}

async function run(args: readonly string[], root = machine()) {
  const { status, stdout, stderr } = await runApplet(udevadmTest, args, { root });
  return { status, stdout: stdout.replaceAll(root, ''), stderr: stderr.replaceAll(root, '') };
}

describe('udevadm test', () => {
  it('prints properties and commands, and writes nothing', async () => {
    const root = machine();
    const { status, stdout, stderr } = await run(['/class/block/vda'], root);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.slice(stdout.indexOf('\n\n') + 2)).toBe(`MAJOR=254
MINOR=0
DEVNAME=/dev/vda
DEVTYPE=disk
DEVPATH=/devices/virtual/block/vda
SUBSYSTEM=block
ACTION=add
ID_A=1
DEVLINKS=/dev/disk/vda
TAGS=:systemd:
CURRENT_TAGS=:systemd:
run: 'helper vda'
`);
  });

  it('tells with -v what matched and what it saw', async () => {
    const { stdout } = await run(['-v', '-a', 'change', '/class/block/vda']);
    expect(stdout.slice(0, stdout.indexOf('\n\n') + 1)).toBe(`/etc/udev/rules.d/10-a.rules:1
  FAIL    SUBSYSTEM!="block"  ("block")
/etc/udev/rules.d/10-a.rules:2
  PASS    KERNEL=="vd*"  ("vda")
  PASS    ATTR{size}=="8"  ("8")
  APPLIED TAG+="systemd"  ("systemd")
  APPLIED ENV{ID_A}="1"  ("1")
  APPLIED SYMLINK+="disk/%k"  ("disk/vda")
  APPLIED ATTR{ro}="1"  ("/sys/devices/virtual/block/vda/ro 1")
/etc/udev/rules.d/10-a.rules:3
  FAIL    ENV{ID_A}=="2"  ("1")
/etc/udev/rules.d/10-a.rules:4
  APPLIED GROUP="disk"  ("disk")
  APPLIED MODE="0640"  ("0640")
  APPLIED RUN{program}+="helper %k"  ("helper vda")
`);
  });

  it('prints one object with --json', async () => {
    const { stdout } = await run(['--json', '/class/block/vda']);
    expect(JSON.parse(stdout)).toEqual({
      schema: 1, syspath: '/sys/devices/virtual/block/vda', action: 'add', links: ['disk/vda'], linkPriority: 0, group: 6, mode: '0640', dbPersist: false,
      properties: {
        MAJOR: '254', MINOR: '0', DEVNAME: '/dev/vda', DEVTYPE: 'disk', DEVPATH: '/devices/virtual/block/vda', SUBSYSTEM: 'block', ACTION: 'add', ID_A: '1',
        DEVLINKS: '/dev/disk/vda', TAGS: ':systemd:', CURRENT_TAGS: ':systemd:',
      },
      tags: ['systemd'], currentTags: ['systemd'], seclabels: {},
      run: [{ type: 'program', command: 'helper vda', source: { file: '/etc/udev/rules.d/10-a.rules', line: 4 } }],
    });
  });

  it('says what is wrong with the rules, and goes on', async () => {
    const { status, stderr } = await run(['/class/block/vda'], machine('NONSENSE="x"\nKERNEL=="vda", OWNER="nobody-here"\n'));
    expect([status, stderr]).toEqual([0, '/etc/udev/rules.d/10-a.rules:1 Invalid key \'NONSENSE\'.\n/etc/udev/rules.d/10-a.rules:2 Unknown user \'nobody-here\', ignoring.\n']);
  });

  it('takes our own rules where those of udev are missing', async () => {
    const root = machine('');
    const linksOf = async () => JSON.parse((await run(['--json', '/class/block/vda'], root)).stdout).links.filter((link: string) => link.startsWith('disk/by-diskseq/'));
    writeFileSync(join(root, 'sys/devices/virtual/block/vda/uevent'), 'MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\nDISKSEQ=3\n');
    expect(await linksOf()).toEqual([]);
    rmSync(join(root, 'etc/udev/rules.d/50-udev-default.rules'));
    expect(await linksOf()).toEqual(['disk/by-diskseq/3']);
  });

  it('refuses what is no device, no action and no option', async () => {
    expect(await run(['/class/block/none'])).toEqual({ status: 1, stdout: '', stderr: 'test: Failed to open device \'/class/block/none\': No such device\n' });
    expect((await run(['-a', 'eat', '/class/block/vda'])).stderr).toBe('test: Invalid action \'eat\'\n');
    expect((await run(['-N', 'soon', '/class/block/vda'])).status).toBe(1);
    expect((await run([])).stderr).toBe('test: syspath parameter missing.\n');
    expect((await run(['-a', 'help'])).stdout.split('\n')).toContain('unbind');
  });
});
