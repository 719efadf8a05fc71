// modinfo beside Debian's kmod, on every module of real trees and on what is damaged or unusual.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { moduleNameOfPath } from '../../src/kmod/alias.ts';
import { compressionOf, decompress } from '../../src/kmod/compression.ts';
import { cms, der, ECDSA_SHA256, signed } from '../kmod/signed-module.ts';
import { debianTree, type Kmod, kmod30, kmod34, type Run, run, runOurs, type Tree } from './oracle.ts';

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-modinfo-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const trees = new Map<string, Tree | string>();
for (const series of ['6.12', '6.1']) trees.set(series, await debianTree(series));

/** The newest kmod prints the build id; kmod 30 knows nothing of it. */
const withoutBuildId = (run: Run): Run => ({ ...run, stdout: run.stdout.replaceAll(/^build-id:.*\n/gm, '').replaceAll(/\0build-id=[^\0]*/g, '') });

/** getopt says the name as it was called, with its directory; kmod 34 has a line of its library before its own for a damaged stream. */
const withoutDirectory = (run: Run): Run => ({ ...run, stderr: run.stderr.replaceAll(/^\S*\/modinfo: /gm, 'modinfo: ').replaceAll(/^libkmod: ERROR: \w+: (?:xz|zstd): .*\n/gm, '') });

function compareWith(kmod: Kmod, args: readonly string[]): void {
  const [ours, theirs] = [withoutBuildId(runOurs('modinfo', args)), withoutDirectory(kmod.run('modinfo', args))];
  // A diff of megabytes helps nobody: the first line that differs does.
  const lines = ours.stdout.split('\n');
  const at = theirs.stdout.split('\n').findIndex((line, index) => line !== lines[index]);
  expect({ args: args.slice(0, 20), at, ours: lines[at], status: ours.status, stderr: ours.stderr })
    .toEqual({ args: args.slice(0, 20), at: -1, ours: undefined, status: theirs.status, stderr: theirs.stderr });
  expect(ours.stdout.length).toBe(theirs.stdout.length);
}

const FIELDS = [['-a'], ['-d'], ['-l'], ['-p'], ['-n'], ['-0'], ['-0', '-p'], ['-m'], ['-m', '-n'], ...['alias', 'depends', 'parm', 'parmtype', 'filename', 'name',
  'vermagic', 'sig_id', 'signer', 'sig_key', 'sig_hashalgo', 'signature', 'softdep', 'firmware', 'License', 'nosuch', ''].map((field) => ['-F', field])];

const CASES = [kmod30, kmod34].flatMap((kmod) => [...trees].map(([series, tree]) => ({ name: kmod.name, kmod, series, tree })));

describe.each(CASES)('modinfo beside $name on the tree of $series', ({ kmod, tree }) => {
  const reason = kmod.reason ?? (typeof tree === 'string' ? tree : undefined);
  const compare = (args: readonly string[]) => compareWith(kmod, args);
  const check = (name: string, body: (tree: Tree) => void) => it(name, (context) => {
    if (reason !== undefined || typeof tree === 'string') return context.skip(reason);
    body(tree);
  });

  check('every module by its file', ({ directory }) => {
    const files = modulesOf(directory);
    expect(files.length).toBeGreaterThan(3000);
    compare(files);
  });

  check('every option on modules, aliases and built-in modules, together with names that nothing knows', ({ root, release, directory }) => {
    const builtin = readFileSync(join(directory, 'modules.builtin'), 'latin1').split('\n').filter(Boolean).map(moduleNameOfPath);
    const some = modulesOf(directory).filter((_, index) => index % 300 === 0).map(moduleNameOfPath);
    const names = [...some, 'fs-ext4', 'crypto-crc32c', 'symbol:crc32c', 'nosuch', 'a]b', 'a[b', 'pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00',
      'snd-pcm', 'snd_pcm', 'ext4.ko', 'kernel/fs/ext4/ext4', '', ...builtin];
    for (const options of [[], ...FIELDS]) compare([...options, '-b', root, '-k', release, '--', ...names]);
  });

  check('directories as they are typed', ({ root, release }) => {
    const [here, base] = [process.cwd(), basename(root)];
    try {
      process.chdir(dirname(root));
      for (const typed of [base, `./${base}/`, `./${base}/../${base}`, `${root}//`]) compare(['-b', typed, '-k', release, '-F', 'filename', 'xfs', 'nosuch']);
    } finally {
      process.chdir(here);
    }
  });

  check('command lines that are wrong', ({ root, release }) => {
    const lines = ['', '-Z', '--nosuch', '-F', '--field', '--fie', '-b', '--set', '--null=1', '-k', 'nosuch', '-b /nosuch ext4', '--auth nosuch'];
    for (const line of lines) compare(line.split(' ').filter(Boolean));
    compare(['ext4', '-n', '-b', root, '-k', release]);
    compare(['--base', root, '--set', release, '--fi', 'license', 'ext4']);
  });

  check('files that are damaged, unusual or compressed', ({ directory }) => {
    const cases = filesMadeOf(plainModule(directory, 'ext4'));
    const paths = Object.entries(cases).map(([name, bytes]) => {
      writeFileSync(join(scratch, name), bytes);
      return join(scratch, name);
    });
    for (const path of paths) compare([path]);
    compare(['-0', ...paths]);
    compare(['-F', 'signer', ...paths]);
  });

  check('differs where the newest kmod does, or where kmod says nothing', ({ directory }) => {
    const module = plainModule(directory, 'ext4');
    const signerOf = (name: string, bytes: Uint8Array) => {
      writeFileSync(join(scratch, name), bytes);
      return [runOurs, kmod.run].map((tool) => tool('modinfo', ['-F', 'sig_hashalgo', join(scratch, name)]).stdout);
    };
    expect(signerOf('ski.ko', signed(module, cms({ subjectKeyIdentifier: Buffer.from([1, 2]) })))[0]).toBe('sha256\n');
    expect(signerOf('unreadable.ko', signed(module, Buffer.from('no CMS')))).toEqual(['unknown\n', '']);
  });
});

function filesMadeOf(module: Buffer): Record<string, Uint8Array> {
  const unsigned = module.subarray(0, module.lastIndexOf('~Module signature appended~'));
  const edited = (from: string, to: string) => {
    const at = module.indexOf(from);
    const copy = Buffer.from(module);
    copy.write(to, at, 'latin1');
    return at < 0 ? module : copy;
  };
  const xz = compress('xz', ['-c', '--check=crc32'], module);
  const ecdsa = der(0x30, der(0x02, Buffer.from([1])), der(0x02, Buffer.from([2])));
  return {
    'empty.ko': Buffer.alloc(0), 'five.ko': module.subarray(0, 5), 'header.ko': module.subarray(0, 64), 'half.ko': module.subarray(0, module.length >> 1),
    'garbage.ko': Buffer.from('not a module at all'), 'a.b-c.ko': module, 'unsigned.ko': unsigned,
    'rsa.ko': signed(unsigned, cms({ serial: Buffer.from([0, 0x90, 1]) })), 'ecdsa.ko': signed(unsigned, cms({ algorithm: ECDSA_SHA256, signature: ecdsa })),
    'sha512.ko': signed(unsigned, cms({ digest: '2.16.840.1.101.3.4.2.3', signature: Buffer.alloc(40, 7) })), 'sha1.ko': signed(unsigned, cms({ digest: '1.3.14.3.2.26' })),
    'organization.ko': signed(unsigned, cms({ issuer: [['2.5.4.6', 0x13, Buffer.from('DE')], ['2.5.4.10', 0x0c, Buffer.from('Org')]] })),
    'several.ko': signed(unsigned, cms({ issuer: [['2.5.4.10', 0x0c, Buffer.from('Org')], ['2.5.4.3', 0x0c, Buffer.from('Name')], ['2.5.4.6', 0x13, Buffer.from('DE')]] })),
    'pgp.ko': signed(unsigned, Buffer.from([1, 2]), { idType: 0, algo: 1, hash: 6, signer: Buffer.from('me'), keyId: Buffer.from([9]) }),
    'x509.ko': signed(unsigned, Buffer.alloc(20, 1), { idType: 1, hash: 3 }), 'bad-type.ko': signed(unsigned, Buffer.from([1]), { idType: 3 }),
    'long-signature.ko': signed(unsigned, cms(), { signatureLength: 0x7fffffff }),
    'no-equals.ko': edited('license=GPL', 'licenseXGPL'), 'bad-parameter.ko': edited('license=GPL', 'parm=abcdef'), 'no-key.ko': edited('license=GPL', '=icenseXGPL'),
    'padding.ko': edited('license=GPL', '\0\0\0\0\0\0\0\0\0\0\0'), 'type-only.ko': edited('license=GPL', 'parmtype=a:'), 'same-name.ko': edited('license=GPL', 'parm=a:\0\0\0\0'),
    'xz.ko.xz': xz, 'cut.ko.xz': xz.subarray(0, xz.length >> 1), 'stub.ko.xz': xz.subarray(0, 10), 'named-plain.ko': xz, 'named-xz.ko.xz': module,
    'garbage.ko.xz': compress('xz', ['-c'], Buffer.from('not a module at all')), 'zst.ko.zst': compress('zstd', ['-q', '-c'], module),
    'no-extension': module, 'upper.KO': module,
  };
}

function modulesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => /\.ko(?:\.xz)?$/.test(name)).sort().map((name) => join(directory, name));
}

function plainModule(directory: string, name: string): Buffer {
  const path = modulesOf(directory).find((file) => moduleNameOfPath(file) === name) ?? '';
  const bytes = readFileSync(path);
  const compression = compressionOf(bytes);
  return Buffer.from(compression === undefined ? bytes : decompress(bytes, compression, { file: path }));
}

function compress(program: string, args: readonly string[], input: Uint8Array): Buffer {
  const file = join(scratch, 'to-compress');
  writeFileSync(file, input);
  const { status, stdout, stderr } = run(program, [...args, '-k', file]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return Buffer.from(stdout, 'latin1');
}
