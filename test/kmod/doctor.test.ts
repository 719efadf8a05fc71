// Diagnoses on fixture trees, each with one thing wrong.

import { spawnSync } from 'node:child_process';
import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { diagnose } from '../../src/kmod/doctor.ts';
import { explainFailure } from '../../src/kmod/explain-failure.ts';
import { errnoFailure } from '../../src/kmod/failure.ts';
import { openKmod } from '../../src/kmod/kmod.ts';
import { openSystem } from '../../src/system.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { buildModule, type ModuleSpec } from './elf-builder.ts';
import { cms, signed } from './signed-module.ts';

const RELEASE = '6.12.0-test';
const TREE = `lib/modules/${RELEASE}`;
const VERMAGIC = `vermagic=${RELEASE} SMP modversions `;
const module = (spec: ModuleSpec = {}) => buildModule({ modinfo: [VERMAGIC], ...spec });

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  [`${TREE}/modules.dep`]: 'kernel/w.ko:\nkernel/lib.ko:\nkernel/x.ko: kernel/lib.ko\nkernel/y.ko:\n',
  [`${TREE}/modules.alias`]: 'alias fs-x x\n',
  [`${TREE}/modules.symbols`]: 'alias symbol:lib_do lib\n',
  [`${TREE}/modules.builtin`]: 'kernel/fs/ext4.ko\n',
  [`${TREE}/kernel/w.ko`]: module({ versions: [{ name: 'module_layout', crc: 5 }] }),
  [`${TREE}/kernel/lib.ko`]: module({ exports: [{ name: 'lib_do', crc: 7 }] }),
  [`${TREE}/kernel/x.ko`]: module({ needs: [{ name: 'lib_do' }], versions: [{ name: 'lib_do', crc: 7 }] }),
  [`${TREE}/kernel/y.ko`]: module(),
  'proc/version': 'Linux', 'proc/modules': '', 'proc/sys/kernel/osrelease': `${RELEASE}\n`,
};

/** After the files were made, as depmod is run. */
const INDEXED = new Date(Date.UTC(2099, 0));

type Files = Readonly<Record<string, string | Uint8Array | undefined>>;

function machine(files: Files = {}, release = RELEASE) {
  const merged = Object.fromEntries(Object.entries({ ...FILES, ...files }).filter((entry): entry is [string, string | Uint8Array] => entry[1] !== undefined));
  const root = fixtureRoot(merged);
  const system = openSystem({ root, release, native: openFakeNative(), log: recordingLog() });
  if (`${TREE}/modules.dep` in merged) utimesSync(join(root, TREE, 'modules.dep'), INDEXED, INDEXED);
  return { root, system, kmod: openKmod(system) };
}

/** The diagnosis without its root, as kinds and texts. */
async function diagnosed(name: string, files: Files = {}, release = RELEASE) {
  const { root, system, kmod } = machine(files, release);
  const { status, verdict, findings } = JSON.parse(JSON.stringify(await diagnose(system, kmod, name)).replaceAll(root, '')) as Awaited<ReturnType<typeof diagnose>>;
  return { status, verdict, findings: findings.map(({ kind, level, evidence, propose }) => ({ kind, level, ...(evidence && { evidence }), ...(propose && { propose }) })) };
}

const one = (verdict: string, kind: string, rest: object = {}, status = 'broken') => ({ status, verdict, findings: [{ kind, level: 'problem', ...rest }] });

describe('diagnose', () => {
  it('finds nothing wrong', async () => {
    const nothing = (name: string) => ({ status: 'loadable', verdict: `${name} is not loaded, and nothing that can be seen is in its way`, findings: [] });
    expect(await diagnosed('x')).toEqual(nothing('x'));
    expect(await diagnosed('fs-x')).toEqual(nothing('x (fs-x)'));
  });

  it('says what is loaded or built in', async () => {
    expect(await diagnosed('x', { 'sys/module/x/initstate': 'live\n' })).toEqual({ status: 'loaded', verdict: 'x is loaded', findings: [] });
    expect(await diagnosed('gone', { 'sys/module/gone/initstate': 'live\n' })).toEqual({ status: 'loaded', verdict: 'gone is loaded', findings: [] });
    expect(await diagnosed('ext4')).toEqual({ status: 'builtin', verdict: 'ext4 is built into the kernel', findings: [] });
  });

  it('does not know a name, and names those like it', async () => {
    expect(await diagnosed('exd4')).toEqual(one(
      'no module or alias of 6.12.0-test is called exd4: it was never built, or is in a package that is not installed', 'unknown-name',
      { evidence: ['names like it: ext4'], propose: 'modprobe ext4' }, 'unknown'));
    expect(await diagnosed('pci:v1')).toEqual(one('no module of 6.12.0-test claims pci:v1', 'unknown-name', {}, 'unknown'));
  });

  it('knows a file that the indexes do not', async () => {
    expect(await diagnosed('new-one', { [`${TREE}/updates/new-one.ko`]: module() })).toEqual(one(
      'new_one is there, and the indexes do not know it: they are older, or depmod left it out', 'stale-index',
      { evidence: [`/${TREE}/updates/new-one.ko`], propose: `depmod -a ${RELEASE}` }, 'unknown'));
  });

  it('notes a file that is newer than the indexes', async () => {
    const { root, system, kmod } = machine();
    const later = new Date(Date.UTC(2100, 0));
    utimesSync(join(root, TREE, 'kernel/y.ko'), later, later);
    const { status, findings } = await diagnose(system, kmod, 'y');
    expect([status, findings.map(({ kind, level }) => `${level} ${kind}`)]).toEqual(['loadable', ['note stale-index']]);
  });

  it('misses the indexes', async () => {
    const none = { [`${TREE}/modules.dep`]: undefined, [`${TREE}/modules.alias`]: undefined };
    expect(await diagnosed('x', none)).toEqual(one(`there are no indexes in /${TREE}: nothing in it is found by name`, 'no-indexes', {
      evidence: [`/${TREE}/modules.dep does not exist`, `/${TREE}/kernel/x.ko does`], propose: `depmod -a ${RELEASE}`,
    }, 'unknown'));
  });

  it('misses the tree of the running kernel, and knows the others', async () => {
    expect(await diagnosed('x', { 'proc/sys/kernel/osrelease': '6.11.0\n' }, '6.11.0')).toEqual(one(
      'there are no modules of the running kernel 6.11.0: /lib/modules/6.11.0 does not exist', 'no-tree', {
        evidence: [`there are modules of ${RELEASE}`, `kernel ${RELEASE} has x`, 'a package upgrade may have taken them away; after a reboot the kernel and its modules are one again'],
        propose: 'reboot',
      }, 'unknown'));
    expect((await diagnosed('x', {}, '6.11.0')).verdict).toBe('there are no modules of kernel 6.11.0: /lib/modules/6.11.0 does not exist');
  });

  it.each([
    ['#tsmodprobe: deny x\n', 'x is denied by /etc/modprobe.d/a.conf line 1', 'denied', 'sed -n 1p /etc/modprobe.d/a.conf'],
    ['\n#tsmodprobe: deny lib\n', 'lib is denied by /etc/modprobe.d/a.conf line 2, and x needs it', 'denied', 'sed -n 2p /etc/modprobe.d/a.conf'],
    ['install x /bin/false\n', "x is never loaded: /etc/modprobe.d/a.conf line 1 runs '/bin/false' instead", 'install-command', 'modprobe --ignore-install x'],
    ['blacklist x\n', 'x is blacklisted by /etc/modprobe.d/a.conf line 1: no device and no alias loads it, its name does', 'blacklisted', 'modprobe x'],
  ])('finds the line %j', async (line, verdict, kind, propose) => {
    expect(await diagnosed('x', { 'etc/modprobe.d/a.conf': line })).toEqual(one(verdict, kind, { propose }));
  });

  it('follows an alias to nowhere', async () => {
    expect(await diagnosed('z', { 'etc/modprobe.d/a.conf': 'alias z off\n' })).toEqual(one(
      'z is an alias of off by /etc/modprobe.d/a.conf line 1, and there is no module of that name', 'dead-alias'));
  });

  it('finds the kernel unwilling', async () => {
    expect(await diagnosed('x', { 'proc/modules': undefined })).toEqual(one('this kernel was built without modules', 'no-module-support', { evidence: ['/proc/modules does not exist'] }));
    expect((await diagnosed('x', { 'proc/sys/kernel/modules_disabled': '1\n' })).verdict).toBe('modules are disabled until the next boot');
  });

  it('finds files that are gone or damaged', async () => {
    expect(await diagnosed('y', { [`${TREE}/kernel/y.ko`]: undefined })).toEqual(one(
      `the file of y is not there: /${TREE}/kernel/y.ko`, 'missing-file', { evidence: ['modules.dep names it'], propose: `depmod -a ${RELEASE}` }));
    expect(await diagnosed('y', { [`${TREE}/kernel/y.ko`]: 'no module' })).toEqual(one('the file of y is damaged', 'damaged-file', {
      evidence: [`/${TREE}/kernel/y.ko: at offset 0: expected the ELF magic 7f 45 4c 46, found 6e 6f 20 6d`], propose: `ls -l /${TREE}/kernel/y.ko`,
    }));
  });

  it('finds a file that it cannot read', async () => {
    expect(await diagnosed('y', { [`${TREE}/kernel/y.ko`]: undefined, [`${TREE}/kernel/y.ko/x`]: '' })).toEqual(one(
      `the file of y cannot be read: /${TREE}/kernel/y.ko: Is a directory`, 'unreadable-file', { propose: `ls -l /${TREE}/kernel/y.ko` }));
  });

  it('knows modules of another kernel, by vermagic or by their symbols', async () => {
    const other = (spec: ModuleSpec) => ({ [`${TREE}/kernel/y.ko`]: buildModule(spec) });
    expect(await diagnosed('y', other({ modinfo: ['vermagic=6.1 SMP '] }))).toEqual(one('y was built for kernel 6.1, not for 6.12.0-test', 'wrong-vermagic', {
      evidence: [`/${TREE}/kernel/y.ko: vermagic 6.1 SMP`], propose: `modinfo -F vermagic /${TREE}/kernel/y.ko`,
    }));
    expect((await diagnosed('y', other({ modinfo: ['vermagic=6.1 SMP modversions '], versions: [{ name: 'module_layout', crc: 6 }] }))).findings[0]?.evidence).toEqual([
      `/${TREE}/kernel/y.ko: vermagic 6.1 SMP modversions`, 'symbol module_layout: needed in version 0x00000006, exported by the kernel in version 0x00000005, as w needs it',
    ]);
  });

  it('does not take a module of another kernel for a measure', async () => {
    const stranger = buildModule({ modinfo: ['vermagic=6.1 SMP modversions '], versions: [{ name: 'module_layout', crc: 6 }] });
    const y = module({ versions: [{ name: 'module_layout', crc: 5 }] });
    expect((await diagnosed('y', { [`${TREE}/kernel/w.ko`]: stranger, [`${TREE}/kernel/y.ko`]: y })).status).toBe('loadable');
  });

  it('names symbols, and the module that would have them', async () => {
    const y = (spec: ModuleSpec) => ({ [`${TREE}/kernel/y.ko`]: module(spec) });
    expect(await diagnosed('y', y({ needs: [{ name: 'lib_do' }] }))).toEqual(one('y needs modules that modules.dep does not name', 'unlisted-dependency', {
      evidence: ['symbol lib_do: lib exports it and is not loaded; modules.dep does not say that it is needed'], propose: `depmod -a ${RELEASE}`,
    }));
    expect(await diagnosed('y', { ...y({ needs: [{ name: 'gone' }] }), 'proc/kallsyms': '0 r __ksymtab_other\n' })).toEqual(one(
      'y needs symbols that nobody exports', 'missing-symbol', { evidence: ['symbol gone: neither the kernel nor any module exports it'] }));
    const mismatch = await diagnosed('x', { [`${TREE}/kernel/lib.ko`]: module({ exports: [{ name: 'lib_do', crc: 9 }] }) });
    expect(mismatch).toEqual(one('x needs symbols in other versions than there are', 'symbol-mismatch', {
      evidence: ['symbol lib_do: needed in version 0x00000007, exported by lib in version 0x00000009'], propose: 'modinfo -F vermagic x lib',
    }));
    const symvers = { [`${TREE}/build/Module.symvers`]: '0x0\tks\tvmlinux\tEXPORT_SYMBOL\tNS\n' };
    expect((await diagnosed('y', { ...y({ needs: [{ name: 'ks' }] }), ...symvers })).findings.map(({ kind }) => kind)).toEqual(['missing-namespace']);
  });

  it('asks for signatures where the kernel does', async () => {
    const enforced = { 'sys/module/module/parameters/sig_enforce': 'Y\n' };
    expect((await diagnosed('y', enforced)).findings).toEqual([{
      kind: 'unsigned', level: 'problem', evidence: ['/sys/module/module/parameters/sig_enforce is Y'], propose: 'mokutil --list-enrolled',
    }]);
    const lockdown = { 'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n', 'proc/keys': '1 I--- 1 perm 1f 0 0 asymmetri Build key: 9d: X509.rsa 9d []\n' };
    const file = { [`${TREE}/kernel/y.ko`]: signed(module(), cms()) };
    expect((await diagnosed('y', { ...lockdown, ...file })).findings).toEqual([{
      kind: 'untrusted-signature', level: 'problem', propose: 'mokutil --list-enrolled',
      evidence: [`/${TREE}/kernel/y.ko: signer Test key`, '/proc/keys has no key of that name', '/sys/kernel/security/lockdown is integrity'],
    }]);
    expect((await diagnosed('y', { ...lockdown, ...file, 'proc/keys': '1 asymmetri Test key: 1\n' })).status).toBe('loadable');
  });

  it('notes what the kernel cannot unpack', async () => {
    const xz = (check: string) => spawnSync('xz', ['-c', `--check=${check}`], { input: module() }).stdout;
    const tree = (check: string, kernel: string) => ({ [`${TREE}/modules.dep`]: 'kernel/z.ko.xz:\n', [`${TREE}/kernel/z.ko.xz`]: xz(check), 'sys/module/compression': `${kernel}\n` });
    const kinds = async (check: string, kernel: string) => {
      const { system, kmod } = machine(tree(check, kernel));
      const { status, findings } = await diagnose(system, kmod, 'z');
      return [status, ...findings.map(({ text }) => text)];
    };
    expect(await kinds('crc32', 'xz')).toEqual(['loadable']);
    expect(await kinds('crc64', 'xz')).toEqual(['loadable', 'z is unpacked by modprobe, not by the kernel: its check is CRC64, and the kernel knows CRC32 only']);
    expect(await kinds('crc32', 'zstd')).toEqual(['loadable', 'z is unpacked by modprobe, not by the kernel: it is compressed with xz, and this kernel knows zstd only']);
  });
});

describe('explainFailure', () => {
  const explained = async (name: string, code: string, kernel: readonly string[], files: Files = {}) => {
    const { system, kmod } = machine(files);
    return explainFailure(system, kmod, { ...errnoFailure(code, 'finit_module'), kernel }, { module: name, path: kmod.source.resolve(`kernel/${name}.ko`) });
  };

  it('names the module that has the symbol', async () => {
    expect(await explained('x', 'ENOENT', ['x: Unknown symbol lib_do (err -2)'])).toEqual(['symbol lib_do: lib exports it and is not loaded']);
  });

  it('takes the kernel\'s word for a symbol that no index has', async () => {
    expect(await explained('y', 'ENOENT', ['y: Unknown symbol gone (err -2)'])).toEqual(['symbol gone: neither the kernel nor any module exports it']);
  });

  it('names another kernel, and of its symbols those that the kernel named', async () => {
    const foreign = buildModule({ modinfo: ['vermagic=6.1 SMP modversions '], versions: [{ name: 'module_layout', crc: 6 }, { name: 'lib_do', crc: 6 }] });
    expect(await explained('y', 'ENOEXEC', ['y: disagrees about version of symbol module_layout'], { [`${TREE}/kernel/y.ko`]: foreign, 'sys/module/lib/initstate': 'live\n' })).toEqual([
      'module y: built for kernel 6.1, not for 6.12.0-test', 'symbol module_layout: needed in version 0x00000006, exported by the kernel in version 0x00000005, as w needs it',
    ]);
  });

  it('names another kernel without versions', async () => {
    expect(await explained('y', 'ENOEXEC', [], { [`${TREE}/kernel/y.ko`]: buildModule({ modinfo: ['vermagic=6.1 '] }) })).toEqual(['module y: built for kernel 6.1, not for 6.12.0-test']);
  });

  it('is silent about the rest', async () => {
    expect(await explained('x', 'EINVAL', ["x: `many' invalid for parameter `n'"])).toEqual([]);
    expect(await explained('x', 'EPERM', [])).toEqual([]);
    expect(await explained('nosuch', 'ENOEXEC', [])).toEqual([]);
  });
});
