// Modules of 32 and 64 bits, in both byte orders: depmod, modinfo and modprobe beside both kmods, and extended versions, which these do not read.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { buildModule, type ModuleSpec } from '../kmod/elf-builder.ts';
import { cms, signed } from '../kmod/signed-module.ts';
import { runHere } from './in-process.ts';
import { type Kmod, kmod30, kmod34 } from './oracle.ts';

const RELEASE = '1.2.3';
const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-elf-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const KINDS = [32, 64].flatMap((bits) => [false, true].map((bigEndian) => ({ bits: bits === 32 ? 32 : 64, bigEndian, name: `${bits} bits, ${bigEndian ? 'big' : 'little'} end first` } as const)));
const symbols = Array.from({ length: 300 }, (_, i) => ({ name: `symbol_${i}`, crc: (i * 0x9e3779b1) >>> 0, relative: i % 3 === 0 }));

const MODULES: Readonly<Record<string, ModuleSpec>> = {
  exporter: { exports: [...symbols, { name: 'without_version' }], modinfo: ['license=GPL', 'alias=pci:v00001234d*', 'alias=fs-exporter', 'softdep=pre: other', 'parm=p:a number', 'parmtype=p:uint', 'parmtype=q:bool', 'vermagic=1.2.3 SMP'] },
  user: {
    needs: [...symbols.slice(5, 90).map(({ name }) => ({ name })), { name: 'unknown' }, { name: 'perhaps', weak: true }, { name: 'without_version' }],
    versions: symbols.slice(5, 90).map(({ name, crc }, i) => ({ name, crc: i === 7 ? 1 : crc })), modinfo: ['depends=exporter', 'alias=char-major-10-200', 'alias=devname:net/user'],
  },
  relay: { exports: [{ name: 'relayed', crc: 0xfffffffe }], needs: [{ name: 'symbol_0' }, { name: '.symbol_1' }], versions: [{ name: 'symbol_0', crc: 0 }] },
  last: { needs: [{ name: 'relayed' }], versions: [{ name: 'relayed', crc: 0xfffffffe }, { name: 'module_layout', crc: 0x80000000 }] },
};

function makeTree({ bits, bigEndian, name }: { readonly bits: 32 | 64; readonly bigEndian: boolean; readonly name: string }): { root: string; directory: string; files: string[] } {
  const root = join(scratch, name.replaceAll(/\W+/g, '-'));
  const directory = join(root, 'lib/modules', RELEASE);
  mkdirSync(join(directory, 'kernel'), { recursive: true });
  const files = Object.entries(MODULES).map(([module, spec]) => {
    const file = join(directory, 'kernel', `${module}.ko`);
    const bytes = buildModule({ ...spec, bits, bigEndian, machine: bits === 32 ? 20 : 21 });
    writeFileSync(file, module === 'last' ? signed(bytes, cms()) : bytes);
    return file;
  });
  for (const input of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo']) writeFileSync(join(directory, input), '');
  writeFileSync(join(root, 'symvers'), '0x80000000\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\n');
  return { root, directory, files };
}

const OUTPUTS = ['dep', 'dep.bin', 'alias', 'alias.bin', 'softdep', 'symbols', 'symbols.bin', 'devname'].map((name) => `modules.${name}`);
const outputs = (directory: string) => Object.fromEntries(OUTPUTS.map((name) => [name, readFileSync(join(directory, name), 'latin1')]));

/** Where kmod 30 has another errno than the newest, of a module without versions. */
const newest = (text: string) => text.replaceAll(/(could not get \w+ of .*): No such file or directory/g, '$1: No data available');

describe.each(KINDS.flatMap((kind) => [kmod30, kmod34].map((kmod) => ({ ...kind, kind, kmod, by: kmod.name }))))('modules of $name beside $by', ({ kind, kmod }) => {
  const { root, directory, files } = makeTree(kind);
  const check = (title: string, body: (kmod: Kmod) => Promise<void>) => it(title, async (context) => (kmod.reason === undefined ? body(kmod) : context.skip(kmod.reason)));

  check('are indexed', async () => {
    const args = ['-e', '-E', join(root, 'symvers'), '-C', '/nosuch', '-b', root, RELEASE];
    const theirs = { ...kmod.run('depmod', args), files: outputs(directory) };
    const ours = { ...await runHere('depmod', ['--no-cache', ...(kmod.isNew ? [] : ['--layout', 'post']), ...args]), files: outputs(directory) };
    expect(theirs.stderr).toContain('user.ko needs unknown symbol unknown\n');
    expect(ours).toEqual(theirs);
  });

  check('are described', async () => {
    const theirs = kmod.run('modinfo', files);
    expect(theirs.stdout).toMatch(/parm: {11}p:a number \(uint\)/);
    expect(await runHere('modinfo', files)).toEqual(theirs);
  });

  check('have versions', async () => {
    for (const option of ['--show-exports', '--show-modversions']) {
      for (const file of files) {
        const theirs = kmod.run('modprobe', [option, file]);
        expect(await runHere('modprobe', [option, file])).toEqual({ ...theirs, stderr: newest(theirs.stderr) });
      }
    }
  });
});

it.each(KINDS)('extended versions of modules of $name are read as those of __versions', async (kind) => {
  const extended: Record<string, ModuleSpec> = Object.fromEntries(Object.entries(MODULES).map(([name, { versions, ...spec }]) => [name, { ...spec, ...(versions ? { extendedVersions: versions } : {}) }]));
  const { root, files, directory } = makeTree({ ...kind, name: `${kind.name} as ever` });
  const args = ['--no-cache', '-e', '-E', join(root, 'symvers'), '-C', '/nosuch', '-b', root, RELEASE];
  const answers = async () => [
    await runHere('depmod', args), outputs(directory), ...await Promise.all(files.map((file) => runHere('modprobe', ['--show-modversions', file]))),
  ];
  const expected = await answers();
  for (const [name, spec] of Object.entries(extended)) writeFileSync(join(directory, 'kernel', `${name}.ko`), buildModule({ ...spec, bits: kind.bits, bigEndian: kind.bigEndian }));
  expect(await answers()).toEqual(expected);
});
