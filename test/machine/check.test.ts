import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

import { checkApplet } from '../../src/applets/check.ts';
import { diffApplet } from '../../src/applets/diff.ts';
import { type CpioEntry, formatCpio, S_IFREG } from '../../src/image/cpio.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';

const RELEASE = '6.12.0-test';

/** A disk on a RAID and device mapper, a keyboard, a network interface. */
const recording = ({ release = RELEASE, mounts = '/dev/dm-0 / ext4 rw 0 0\\n', cmdline = 'quiet' } = {}): string => String.raw`P: /devices/pci0/a
E: DRIVER=ahci
E: MODALIAS=pci:vA
E: SUBSYSTEM=pci

P: /devices/pci0/a/block/sda
E: DEVNAME=/dev/sda
E: SUBSYSTEM=block
E: ID_SERIAL=x

P: /devices/pci0/k
E: DRIVER=kbd-drv
E: MODALIAS=pci:vK
E: SUBSYSTEM=pci

P: /devices/pci0/k/input/input1
E: SUBSYSTEM=input
A: name=A keyboard
A: capabilities/ev=120013
A: capabilities/key=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe

P: /devices/pci0/n
E: DRIVER=nic
E: MODALIAS=pci:vN
E: SUBSYSTEM=pci

P: /devices/pci0/n/net/eth0
E: SUBSYSTEM=net

P: /devices/virtual/block/dm-0
E: DEVNAME=/dev/dm-0
E: SUBSYSTEM=block
S: disk/by-uuid/1234
E: ID_FS_TYPE=ext4
E: ID_FS_UUID=1234
A: dm/uuid=CRYPT-LUKS2-x
L: slaves/md0=../../md0

P: /devices/virtual/block/md0
E: DEVNAME=/dev/md0
E: SUBSYSTEM=block
A: md/level=raid1
L: slaves/sda=../../../../pci0/a/block/sda

P: /devices/tsmodprobe
E: SUBSYSTEM=tsmodprobe
A: version=1\n
A: proc/cmdline=${cmdline}\n
A: proc/modules=ahci 1 0 - Live 0x0\nlibata 1 1 ahci, Live 0x0\nnic 1 0 - Live 0x0\nkbd 1 0 - Live 0x0\ndm_crypt 1 0 - Live 0x0\nraid1 1 0 - Live 0x0\next4 1 0 - Live 0x0\n
A: proc/mounts=${mounts}
A: proc/sys/kernel/osrelease=${release}\n
L: sys/bus/pci/drivers/ahci/module=../../../../module/ahci
L: sys/bus/pci/drivers/kbd-drv/module=../../../../module/kbd
L: sys/bus/pci/drivers/nic/module=../../../../module/nic
`;

const DEP = {
  ahci: 'ahci.ko: libata.ko', libata: 'libata.ko:', kbd: 'kbd.ko:', nic: 'nic.ko:', 'nic-new': 'nic-new.ko:', 'dm-crypt': 'dm-crypt.ko: dm-mod.ko', 'dm-mod': 'dm-mod.ko:', raid1: 'raid1.ko: md-mod.ko',
  'md-mod': 'md-mod.ko:', ext4: 'ext4.ko:', crc32c_generic: 'crc32c_generic.ko:',
};
const ALIASES: Readonly<Record<string, string>> = {
  'pci:vA': 'ahci', 'pci:vK': 'kbd', 'pci:vN': 'nic', 'fs-ext4': 'ext4', 'md-raid1': 'raid1', crc32c: 'crc32c_generic',
};

type Tree = { readonly release?: string; readonly gone?: readonly string[]; readonly files?: Readonly<Record<string, string | Uint8Array>>; readonly aliases?: Readonly<Record<string, string>>; readonly builtin?: readonly string[] };

/** `gone` are files that the indexes still have; built-in modules are in no other index. */
function tree({ release = RELEASE, gone = [], files = {}, aliases = ALIASES, builtin = [] }: Tree = {}): string {
  const at = `lib/modules/${release}`;
  const own = Object.keys(DEP).filter((module) => !builtin.includes(module));
  return fixtureRoot({
    [`${at}/modules.dep`]: own.map((module) => `${DEP[module as keyof typeof DEP]}\n`).join(''),
    [`${at}/modules.alias`]: Object.entries(aliases).filter(([, module]) => !builtin.includes(module)).map(([alias, module]) => `alias ${alias} ${module.replaceAll('-', '_')}\n`).join(''),
    [`${at}/modules.softdep`]: 'softdep ext4 pre: crc32c\n',
    [`${at}/modules.builtin`]: builtin.map((module) => `kernel/${module}.ko\n`).join(''),
    ...Object.fromEntries(own.filter((module) => !gone.includes(module)).map((module) => [`${at}/${module}.ko`, buildModule({ modinfo: ['license=GPL'] })])),
    ...files,
  });
}

const fileOf = (text: string): string => join(fixtureRoot({ 'a.rec': text }), 'a.rec');
const check = (place: string, text = recording(), ...options: readonly string[]) => runApplet(checkApplet, [place, '--machine', fileOf(text), ...options], { root: fixtureRoot({}) });

describe('check', () => {
  it('is content with all modules, and names what does it', async () => {
    const place = tree();
    expect(await check(place)).toEqual({
      status: 0, stderr: '',
      stdout: `${place}: modules of kernel 6.12.0-test
ok       root      /dev/dm-0   ahci, dm_mod, dm_crypt, md_mod, raid1, ext4
ok       keyboard  A keyboard  kbd
ok       network   eth0        nic
It boots: root, keyboard, network in reach.
`,
    });
  });

  it.each<[string, Tree, readonly string[]]>([
    ['a driver', { gone: ['ahci'] }, ['ahci missing: pci a (pci:vA), driven by ahci there']],
    ['what a driver needs', { gone: ['libata'] }, ['libata missing: pci a (pci:vA), driven by ahci there']],
    ['the index entry, too', { aliases: { ...ALIASES, 'pci:vA': 'nothing' }, gone: ['ahci'] }, ['ahci missing: pci a (pci:vA), driven by ahci there']],
    ['the RAID', { gone: ['md-mod'] }, ['md_mod missing: software RAID (md_mod)', 'md_mod missing: software RAID raid1 (md-raid1)']],
    ['the encryption', { gone: ['dm-crypt'] }, ['dm_crypt missing: encryption (dm_crypt)']],
    ['the file system', { gone: ['ext4'] }, ['ext4 missing: file system ext4 (fs-ext4)']],
    ['a softdep of it', { gone: ['crc32c_generic'] }, ['crc32c_generic missing: softdep of ext4 (crc32c)']],
    ['a blacklist of the image', { files: { 'etc/modprobe.d/a.conf': 'blacklist ahci\n' } }, ['ahci is blacklisted by PLACE/etc/modprobe.d/a.conf:1: pci a (pci:vA), driven by ahci there']],
  ])('misses %s', async (_, changes, expected) => {
    const place = tree(changes);
    const { status, stdout, stderr } = await check(place);
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    expect(stdout.split('\n').filter((line) => line.startsWith('    ')).map((line) => line.trim().replace(place, 'PLACE'))).toEqual(expected);
    expect(stdout).toMatch(/^MISSING  root .*\n(?:.*\n)*It does not boot: root out of reach\.\n$/m);
  });

  it('takes what is built in, the driver of another kernel, and guesses of another kernel only', async () => {
    expect(await check(tree({ builtin: ['ahci', 'ext4'] }))).toMatchObject({ status: 0 });
    const other = { release: '6.13.0-test', aliases: { ...ALIASES, 'pci:vN': 'nic-new' }, gone: ['nic'] };
    const { status, stdout } = await check(tree(other));
    expect(status).toBe(0);
    expect(stdout).toContain('modules of kernel 6.13.0-test, recorded with 6.12.0-test\n');
    expect(stdout).toContain('nic_new: pci n, driven by nic there\n');
    const builtinThere = recording().replace('L: sys/bus/pci/drivers/nic/module=../../../../module/nic\n', '');
    const { 'pci:vN': _, ...aliases } = ALIASES;
    const guessed = await check(tree({ ...other, aliases }), builtinThere);
    expect(guessed).toMatchObject({ status: 0, stdout: expect.stringContaining('likely   network   eth0\n           built in there, and taken to be built in here, too: nic\n') });
  });

  /** An initramfs of a tree, with files more. */
  const initramfs = (files: Readonly<Record<string, string>>, changes: Tree = {}): string => {
    const root = tree(changes);
    const entries: CpioEntry[] = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(({ parentPath, name }) => (
      { path: relative(root, join(parentPath, name)), mode: S_IFREG | 0o644, data: readFileSync(join(parentPath, name)) }
    ));
    entries.push(...Object.entries({ init: '', ...files }).map(([path, text]) => ({ path, mode: S_IFREG | 0o755, data: Buffer.from(text) })));
    return join(fixtureRoot({ 'initrd.img': formatCpio(entries) }), 'initrd.img');
  };
  const missed = async (image: string, text: string, ...options: readonly string[]) => {
    const { status, stdout, stderr } = await check(image, text, ...options);
    expect(stderr).toBe('');
    return [status, ...stdout.split('\n').filter((line) => line.startsWith('    ')).map((line) => line.trim())];
  };

  it('wants of an initramfs the programs for what the root disk is made of', async () => {
    expect(await missed(initramfs({}), recording())).toEqual([1, 'cryptsetup missing: program for encryption', 'mdadm missing: program for software RAID']);
    expect(await missed(initramfs({ 'sbin/mdadm': '', 'usr/lib/systemd/systemd-cryptsetup': '' }), recording())).toEqual([0]);
    const lvm = recording().replace('CRYPT-LUKS2-x', 'LVM-abc');
    expect(await missed(initramfs({ 'sbin/mdadm': '' }), lvm)).toEqual([1, 'lvm missing: program for LVM']);
    // A recording of umockdev has no such attributes.
    const told = recording({ cmdline: 'root=/dev/dm-0 rd.luks.uuid=1 rd.lvm.lv=vg/root' }).replace(/^A: (?:dm|md)\/.*\n/gm, '');
    expect(await missed(initramfs({}), told)).toEqual([1, 'cryptsetup missing: program for encryption', 'lvm missing: program for LVM']);
    expect(await missed(tree(), recording())).toEqual([0]);
  });

  it('names firmware that is not there', async () => {
    const at = `lib/modules/${RELEASE}`;
    const files = { [`${at}/nic.ko`]: buildModule({ modinfo: ['license=GPL', 'firmware=nic/a.fw', 'firmware=nic/b.fw', 'firmware=nic/c-*.fw'] }) };
    const [none, some, all] = [{ 'sbin/mdadm': '', 'sbin/cryptsetup': '' }, { 'lib/firmware/nic/a.fw.xz': '' }, { [`lib/firmware/updates/${RELEASE}/nic/b.fw`]: '' }];
    const seen = (more: Readonly<Record<string, string>>) => missed(initramfs({ ...none, ...more }, { gone: ['nic'], files }), recording(), '--need', 'network');
    expect(await seen({})).toEqual([0, 'nic may want firmware that is not there (2 of 3): nic/a.fw, nic/b.fw']);
    expect(await seen(some)).toEqual([0, 'nic may want firmware that is not there (1 of 3): nic/b.fw']);
    expect(await seen({ ...some, ...all })).toEqual([0]);
    // Modules alone are used with the firmware of some system.
    expect(await missed(tree({ gone: ['nic'], files }), recording())).toEqual([0]);
    expect(JSON.parse((await check(initramfs(none, { gone: ['nic'], files }), recording(), '--json')).stdout).targets[2].firmware).toEqual([{ module: 'nic', missing: ['nic/a.fw', 'nic/b.fw'], all: 3 }]);
  });

  it.each<[string, string, readonly string[]]>([
    ['NFS that / is mounted from', recording({ mounts: 'server:/x / nfs4 rw,vers=4.2 0 0\\n' }), ['nfs missing: file system nfs (nfs)', 'nfsv4 missing: NFS version 4 (nfsv4)', 'nfsmount missing: program for NFS']],
    ['NFS of the command line', recording({ mounts: 'rootfs / rootfs rw 0 0\\n', cmdline: 'root=/dev/nfs nfsroot=1.2.3.4:/x ip=dhcp' }), ['nfs missing: file system nfs (nfs)', 'nfsv3 missing: NFS version 3 (nfsv3)', 'nfsmount missing: program for NFS']],
    ['iSCSI', recording({ mounts: 'rootfs / rootfs rw 0 0\\n', cmdline: 'netroot=iscsi:1.2.3.4::::iqn.x root=LABEL=r' }), ['iscsi_tcp missing: iSCSI (iscsi_tcp)', 'iscsistart missing: program for iSCSI']],
    ['a network block device', recording({ mounts: 'rootfs / rootfs rw 0 0\\n', cmdline: 'root=nbd:1.2.3.4:x' }), ['nbd missing: network block device (nbd)', 'nbd-client missing: program for network block devices']],
  ])('wants the interface and more for a root on %s', async (_, recorded, expected) => {
    const text = recorded.replace('A: proc/modules=', `A: proc/modules=${['nfs', 'nfsv3', 'nfsv4', 'iscsi_tcp', 'nbd'].map((module) => String.raw`${module} 1 0 - Live 0x0\n`).join('')}`);
    expect(await missed(initramfs({}), text)).toEqual([1, ...expected]);
    expect(await missed(initramfs({}, { gone: ['nic'] }), text)).toEqual([1, 'nic missing: pci n (pci:vN), driven by nic there', ...expected, 'nic missing: pci n (pci:vN), driven by nic there']);
  });

  it('judges by what is needed', async () => {
    const place = tree({ gone: ['kbd', 'nic'] });
    expect(await check(place)).toMatchObject({ status: 1, stdout: expect.stringContaining('It does not boot: keyboard, network out of reach.') });
    expect(await check(place, recording(), '--need', 'root')).toMatchObject({ status: 0, stdout: expect.stringContaining('It boots: root in reach.') });
    const json = await check(place, recording(), '--json', '--need', 'network');
    expect(JSON.parse(json.stdout)).toEqual({
      schema: 1, kind: 'check', image: place, release: RELEASE, recordedRelease: RELEASE, isInitramfs: false, needs: ['network'], boots: false,
      targets: [
        { goal: 'keyboard', name: 'A keyboard', ok: false, links: [{ devpath: '/devices/pci0/k', driver: 'kbd-drv', alias: 'pci:vK', why: 'pci k', module: 'kbd', status: 'missing', missing: ['kbd'] }] },
        { goal: 'network', name: 'eth0', ok: false, links: [{ devpath: '/devices/pci0/n', driver: 'nic', alias: 'pci:vN', why: 'pci n', module: 'nic', status: 'missing', missing: ['nic'] }] },
      ],
    });
  });

  it.each<[string, string, readonly string[]]>([
    ['the command line', recording({ mounts: 'rootfs / rootfs rw 0 0\\n', cmdline: 'root=UUID=1234 quiet' }), []],
    ['/dev/root', recording({ mounts: '/dev/root / ext4 rw 0 0\\n', cmdline: 'root=/dev/dm-0' }), []],
    ['--root', recording({ mounts: 'overlay / overlay rw 0 0\\n' }), ['--root', '/dev/disk/by-uuid/1234']],
  ])('finds the root disk by %s', async (_, text, options) => {
    expect(await check(tree(), text, ...options)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^ok +root +\/dev\/dm-0 /m) });
  });

  it('says what it cannot tell, with status 2', async () => {
    const place = tree();
    const file = fileOf(recording({ mounts: 'rootfs / rootfs rw 0 0\\n' }));
    const run = (...argv: readonly string[]) => runApplet(checkApplet, argv, { root: fixtureRoot({}) });
    const said = async (...argv: readonly string[]) => {
      const { status, stdout, stderr } = await run(...argv);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      return stderr;
    };
    expect(await said(place, '--machine', file)).toBe('check: the recording does not say which disk / is on: name it with --root\n');
    expect(await said(place, '--machine', file, '--root', 'LABEL=x')).toBe('check: no disk of the recording is LABEL=x\n');
    expect(await said(place)).toBe('check: --machine is needed: a recording (tskmod record)\n');
    expect(await said('--machine', file)).toBe('check: one image or directory is needed, not 0\n');
    expect(await said(place, '--machine', file, '--need', 'sound')).toBe("check: --need takes root, keyboard, network, not 'sound'\n");
    expect(await said(place, '--machine', file, '-S', '5.0')).toBe(`check: ${place}: no modules of kernel 5.0, but of 6.12.0-test\n`);
    expect(await said(fixtureRoot({}), '--machine', file)).toMatch(/: there are no modules in it\n$/);
    expect(await said('/nonexistent', '--machine', file)).toBe("check: ENOENT: no such file or directory, stat '/nonexistent'\n");
  });
});

describe('diff', () => {
  const NEW = '6.13.0-test';
  const modinfo = (release: string, parameters: readonly string[]) => ({ [`lib/modules/${release}/modules.builtin.modinfo`]: parameters.map((name) => `ext4.parm=${name}:about\0`).join('') });
  const before = () => tree({ builtin: ['ext4'], files: { ...modinfo(RELEASE, ['old', 'kept']), 'etc/modprobe.d/a.conf': 'options ext4 old=1\n' } });
  const after = () => tree({ release: NEW, builtin: ['ext4', 'ahci', 'libata'], gone: ['kbd'], aliases: { ...ALIASES, 'pci:vN': 'nic-new' }, files: modinfo(NEW, ['kept', 'new']) });
  const run = (...argv: readonly string[]) => runApplet(diffApplet, [...argv, '--machine', fileOf(recording({ cmdline: 'ext4.old=2' }))], { root: fixtureRoot({}) });

  it('tells what another kernel changes', async () => {
    const [a, b] = [before(), after()];
    expect(await run(a, b, '-v')).toEqual({
      status: 1, stderr: '',
      stdout: `6.12.0-test (${a}) -> 6.13.0-test (${b})

lose their driver:
  kbd  /devices/pci0/k (kbd-drv there)

have others:
  -nic +nic_new  /devices/pci0/n (nic there)

modules:
  ahci    a module -> built in
  kbd     a module -> not there
  libata  a module -> built in

parameters that vanish:
  ext4.old  set in ${a}/etc/modprobe.d/a.conf:1, kernel command line

parameters that are new:
  ext4.new

2 devices, 3 modules and 2 parameters differ
`,
    });
  });

  it('is an object for programs, and nothing where nothing differs', async () => {
    const a = before();
    const { status, stdout } = await run(a, after(), '--json');
    const { devices, modules, vanished, added } = JSON.parse(stdout) as Record<string, unknown>;
    expect({ status, devices, modules, vanished, added }).toEqual({
      status: 1,
      devices: [
        { devpath: '/devices/pci0/k', modalias: 'pci:vK', driver: 'kbd-drv', change: 'lost', before: ['kbd'], after: [] },
        { devpath: '/devices/pci0/n', modalias: 'pci:vN', driver: 'nic', change: 'changed', before: ['nic'], after: ['nic_new'] },
      ],
      modules: [{ module: 'ahci', before: 'module', after: 'builtin' }, { module: 'kbd', before: 'module', after: 'missing' }, { module: 'libata', before: 'module', after: 'builtin' }],
      vanished: [{ module: 'ext4', parameter: 'old', setIn: [`${a}/etc/modprobe.d/a.conf:1`, 'kernel command line'] }],
      added: [{ module: 'ext4', parameter: 'new' }],
    });
    expect(await run(a, a)).toEqual({ status: 0, stderr: '', stdout: `6.12.0-test (${a}) -> 6.12.0-test (${a})\n\n0 devices, 0 modules and 0 parameters differ\n` });
    expect(await run(a)).toEqual({ status: 2, stdout: '', stderr: 'diff: two images or directories are needed, not 1\n' });
  });
});
