// doctor and lint on a real tree with one fault at a time: whole answers.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { debianTree, runOurs } from './oracle.ts';

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-doctor-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const tree = await debianTree('6.1');
const release = typeof tree === 'string' ? '' : tree.release;
const directory = join(scratch, 'lib/modules', release);
const config = join(scratch, 'case.conf');

beforeAll(() => {
  if (typeof tree === 'string') return;
  mkdirSync(dirname(directory), { recursive: true });
  execFileSync('cp', ['-al', tree.directory, directory]);
});

/** A file of the tree as something else, until the test ends; times stay, so that no index is older than it. Links to the real tree are broken first. */
function replace(name: string, content: Uint8Array | undefined, newer = 0): void {
  const file = join(directory, name);
  const { atimeMs, mtimeMs } = statSync(file);
  renameSync(file, `${file}.kept`);
  onTestFinished(() => renameSync(`${file}.kept`, file));
  if (content === undefined) return;
  writeFileSync(file, content);
  utimesSync(file, atimeMs / 1000, mtimeMs / 1000 + newer);
}

const edited = (name: string, from: string, to: string) => Buffer.from(readFileSync(join(directory, name), 'latin1').replaceAll(from, to), 'latin1');

/** The answer with the tree as TREE, and without what the next build of the kernel changes. */
function answer(tool: string, args: readonly string[], modprobeD = ''): readonly [number | null, ...string[]] {
  writeFileSync(config, modprobeD);
  const { status, stdout, stderr } = runOurs('tskmod', [tool, '-d', scratch, '-S', release, '-C', config, ...args]);
  const text = Buffer.from(stdout, 'latin1').toString().replaceAll(directory, 'TREE').replaceAll(scratch, 'ROOT').replaceAll(release, 'RELEASE')
    .replaceAll(/ of \d{4}-\d\d-\d\dT[\d:]+$/gm, ' of DATE').replaceAll(/ and \d+ more /g, ' and N more ').replaceAll(/ where \S+ has /g, ' where OTHER has ');
  return [status, ...text.split('\n').filter(Boolean), ...stderr.split('\n').filter(Boolean)];
}

const check = (name: string, body: () => void) => it(name, (context) => {
  if (typeof tree === 'string') return context.skip(tree);
  body();
});

describe('doctor on a real tree', () => {
  check('has nothing to say of a module that is whole', () => {
    expect(answer('doctor', ['xfs', 'fs-xfs'])).toEqual([
      0,
      'xfs is not loaded, and nothing that can be seen is in its way',
      'xfs (fs-xfs) is not loaded, and nothing that can be seen is in its way',
    ]);
  });

  check('names a dependency that is missing', () => {
    replace('kernel/lib/libcrc32c.ko', undefined);
    expect(answer('doctor', ['xfs'])).toEqual([
      1,
      'the file of libcrc32c is not there: TREE/kernel/lib/libcrc32c.ko',
      '  modules.dep names it',
      'try: depmod -b ROOT -a RELEASE',
    ]);
  });

  check('tells of a damaged module where it is damaged', () => {
    const module = readFileSync(join(directory, 'kernel/fs/ext4/ext4.ko'));
    replace('kernel/fs/ext4/ext4.ko', module.subarray(0, 4000));
    expect(answer('doctor', ['ext4'])).toEqual([
      1,
      'the file of ext4 is damaged',
      `  TREE/kernel/fs/ext4/ext4.ko: at offset 40: expected section headers within the file, found offset ${module.readBigUInt64LE(40)}`,
      'try: ls -l TREE/kernel/fs/ext4/ext4.ko',
    ]);
  });

  check('tells an index that is older than the file', () => {
    replace('kernel/fs/xfs/xfs.ko', readFileSync(join(directory, 'kernel/fs/xfs/xfs.ko')), 1e9);
    expect(answer('doctor', ['xfs'])).toEqual([
      0,
      'xfs is not loaded, and nothing that can be seen is in its way',
      'note: the file of xfs is newer than the indexes: what they say it needs may be wrong',
      '  TREE/kernel/fs/xfs/xfs.ko of DATE',
      '  TREE/modules.dep of DATE',
      'try: depmod -b ROOT -a RELEASE',
    ]);
  });

  check('takes another release where symbols have versions, as the kernel does, and no other flags', () => {
    const name = 'kernel/lib/libcrc32c.ko';
    replace(name, edited(name, `vermagic=${release[0]}`, 'vermagic=9'));
    expect(answer('doctor', ['libcrc32c'])).toEqual([
      0,
      'libcrc32c is not loaded, and nothing that can be seen is in its way',
    ]);
  });

  check('shows both of two vermagics', () => {
    const name = 'kernel/lib/libcrc32c.ko';
    replace(name, edited(name, 'mod_unload modversions', 'mod_unload modversionz'));
    expect(answer('doctor', ['libcrc32c'])).toEqual([
      1,
      'libcrc32c was built with vermagic \'RELEASE SMP preempt mod_unload modversionz\', where OTHER has \'RELEASE SMP preempt mod_unload modversions\'',
      '  TREE/kernel/lib/libcrc32c.ko: vermagic RELEASE SMP preempt mod_unload modversionz',
      'try: modinfo -F vermagic TREE/kernel/lib/libcrc32c.ko',
    ]);
  });

  check('names a symbol that is needed in another version', () => {
    const module = readFileSync(join(directory, 'kernel/fs/xfs/xfs.ko'));
    // A record of __versions: 8 bytes of CRC, 56 of name.
    const at = module.indexOf(Buffer.from('crc32c'.padEnd(56, '\0'))) - 8;
    const version = module.readUInt32LE(at).toString(16).padStart(8, '0');
    module.writeUInt32LE(0x12345678, at);
    replace('kernel/fs/xfs/xfs.ko', module);
    expect(answer('doctor', ['xfs'])).toEqual([
      1,
      'xfs needs symbols in other versions than there are',
      `  symbol crc32c: needed in version 0x12345678, exported by libcrc32c in version 0x${version}`,
      'try: modinfo -F vermagic xfs libcrc32c',
    ]);
  });

  check('finds names like one that nothing has, built-in modules, and trees of other kernels', () => {
    expect(answer('doctor', ['nosuch', 'xfss'])).toEqual([
      1,
      'no module or alias of RELEASE is called nosuch: it was never built, or is in a package that is not installed',
      'no module or alias of RELEASE is called xfss: it was never built, or is in a package that is not installed',
      '  names like it: xfs, affs, bfs',
      'try: modprobe xfs',
    ]);
    expect(answer('doctor', ['unix', 'ext2'])).toEqual([
      0,
      'unix is built into the kernel',
      'ext4 (ext2) is not loaded, and nothing that can be seen is in its way',
    ]);
    expect(answer('doctor', ['-S', '6.99', 'xfs'])).toEqual([
      1,
      'there are no modules of kernel 6.99: ROOT/lib/modules/6.99 does not exist',
      '  there are modules of RELEASE',
      '  kernel RELEASE has xfs',
      'try: ls ROOT/lib/modules',
    ]);
  });

  check('names the line of a configuration that is in the way', () => {
    const lines = 'blacklist xfs\n#tsmodprobe: deny libcrc32c\ninstall dummy /bin/false\n';
    expect(answer('doctor', ['xfs'], lines)).toEqual([
      1,
      'libcrc32c is denied by ROOT/case.conf line 2, and xfs needs it',
      'also: xfs is blacklisted by ROOT/case.conf line 1: no device and no alias loads it, its name does',
      'try: sed -n 2p ROOT/case.conf',
      'try: modprobe xfs',
    ]);
    expect(answer('doctor', ['dummy'], lines)).toEqual([
      1,
      'dummy is never loaded: ROOT/case.conf line 3 runs \'/bin/false\' instead',
      'try: modprobe --ignore-install dummy',
    ]);
  });
});

describe('lint on a real tree', () => {
  check('has nothing to say of lines that do what they say', () => {
    expect(answer('lint', [], 'options dummy numdummies=2\nsoftdep xfs pre: crc32c_generic\nalias my-name xfs\n')).toEqual([
      0,
      '1 file read: nothing to say',
    ]);
  });

  check('names what each wrong line does not do', () => {
    const lines = [
      'blacklist libcrc32c', 'options dummy numdumies=2', 'options nosuch a=1', 'alias pci:v0000 nosuch', 'softdep xfs pre: nosuch2', 'optoins dummy a=1',
      'install nosuch3 /bin/true', 'blacklist unix', 'alias broken[ x', 'options dummy',
    ];
    expect(answer('lint', [], `${lines.join('\n')}\n`)).toEqual([
      1,
      'ROOT/case.conf:1: warning: blacklist only stops loads by alias: libcrc32c is still loaded with act_connmark, act_csum, act_ct and N more (need it), and by `modprobe libcrc32c`; to refuse it always: `#tsmodprobe: deny libcrc32c`, or for kmod too `install libcrc32c /bin/false`',
      'ROOT/case.conf:2: error: no effect: dummy has no parameter numdumies (did you mean numdummies?)',
      'ROOT/case.conf:3: warning: no effect: there is no module nosuch',
      'ROOT/case.conf:4: warning: dead: there is no module nosuch',
      'ROOT/case.conf:5: warning: nosuch2 is passed over: no module and no alias has that name',
      'ROOT/case.conf:6: error: line skipped: unknown directive \'optoins\' (did you mean options?)',
      'ROOT/case.conf:7: note: modprobe then reports success, and nosuch3 is not loaded; `#tsmodprobe: deny nosuch3` refuses it with a reason, and needs no shell',
      'ROOT/case.conf:8: error: no effect: unix is built into the kernel (initcall_blacklist= on the kernel command line can stop its initialisation)',
      'ROOT/case.conf:9: error: line skipped: it must read \'alias PATTERN MODULE\'; the brackets in \'broken[\' do not match',
      'ROOT/case.conf:10: error: line skipped: it must read \'options MODULE PARAMETER…\'',
      '1 file read: 5 errors, 4 warnings, 1 note',
    ]);
  });

  check('reads parameters out of the file, and tells that it cannot', () => {
    replace('kernel/drivers/net/dummy.ko', Buffer.from('damaged'));
    expect(answer('lint', [], 'options dummy numdummies=2\n')).toEqual([
      1,
      'TREE/kernel/drivers/net/dummy.ko: warning: could not be read, so that its options were not checked: TREE/kernel/drivers/net/dummy.ko: at offset 0: expected the ELF magic 7f 45 4c 46, found 64 61 6d 61',
      '1 file read: 0 errors, 1 warning, 0 notes',
    ]);
  });
});
