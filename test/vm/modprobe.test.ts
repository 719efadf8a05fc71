import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';

import { compressionOf, decompress } from '../../src/kmod/compression.ts';
import type { Kernel } from '../../src/vm/kernel.ts';
import { debianKernel, runOurs, whyNoVm } from './guests.ts';

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-modprobe-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The plain bytes of a module of a tree, whatever it is compressed with. */
function plainModule(kernel: Kernel, name: string): Buffer {
  const dep = readFileSync(join(kernel.modules ?? '', 'modules.dep'), 'utf8');
  const path = new RegExp(`^(\\S*/${name}\\.ko\\S*):`, 'm').exec(dep)?.[1] ?? '';
  const bytes = readFileSync(join(kernel.modules ?? '', path));
  const compression = compressionOf(bytes);
  return Buffer.from(compression === undefined ? bytes : decompress(bytes, compression, { file: path }));
}

function compress(program: string, args: readonly string[], input: Uint8Array): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, maxBuffer: 1 << 28 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program}: ${stderr.toString()}`);
  return stdout;
}

/** dummy needs nothing and takes a parameter: one file of it for each way in which a module can lie there. */
function variants(dummy: Buffer, foreign: Buffer): Readonly<Record<string, Uint8Array>> {
  const xz = compress('xz', ['-c', '--check=crc32'], dummy);
  return {
    'plain.ko': dummy,
    'crc32.ko.xz': xz,
    // The kernel's own decompressor knows no CRC64, xz's default.
    'crc64.ko.xz': compress('xz', ['-c', '--check=crc64'], dummy),
    'zstd.ko.zst': compress('zstd', ['-c', '-q'], dummy),
    'gzip.ko.gz': gzipSync(dummy),
    'cut.ko': dummy.subarray(0, dummy.length >> 1),
    'cut.ko.xz': xz.subarray(0, xz.length >> 1),
    'foreign.ko': foreign,
    'garbage.ko': Buffer.from('not a module at all'),
  };
}

/** A step of the guest: runs, and writes what came of it under a name. */
const step = (name: string, command: string) => `
{ ${command}; } > /tmp/out 2>&1; printf '== ${name} %d\\n' $? >> /tmp/steps; cat /tmp/out >> /tmp/steps
`;

/** Inserts one variant, as the only module of a tree of its own, with a parameter that shows: two network devices. */
const insert = (name: string, file: string) => {
  const dummy = `dummy${file.slice(file.indexOf('.'))}`;
  return step(name, [
    'tree=/tmp/v/lib/modules/$(uname -r)', 'mkdir -p $tree', `cp /variants/${file} $tree/${dummy}`, `echo ${dummy}: > $tree/modules.dep`,
    'tsmodprobe -C /dev/null -d /tmp/v dummy numdummies=2', 'status=$?', 'ls -d /sys/class/net/dummy* 2> /dev/null | wc -l',
    '[ $status != 0 ] || tsmodprobe -d /tmp/v -r dummy', 'rm -rf /tmp/v', 'exit_code $status',
  ].join('; '));
};

const SCRIPT = `
exit_code() { return $1; }
${insert('plain', 'plain.ko')}
${insert('xz', 'crc32.ko.xz')}
${insert('xz-crc64', 'crc64.ko.xz')}
${insert('zst', 'zstd.ko.zst')}
${insert('gz', 'gzip.ko.gz')}
${insert('truncated', 'cut.ko')}
${insert('truncated-xz', 'cut.ko.xz')}
${insert('other-kernel', 'foreign.ko')}
${insert('garbage', 'garbage.ko')}
${step('unknown', 'tsmodprobe nosuchmodule')}
${step('xfs', 'tsmodprobe xfs && cat /sys/module/xfs/initstate /sys/module/libcrc32c/initstate')}
${step('xfs-again', 'tsmodprobe xfs')}
${step('xfs-first-time', 'tsmodprobe --first-time xfs')}
${step('in-use', 'tsmodprobe -r libcrc32c')}
${step('remove', 'tsmodprobe -r -v xfs; s=$?; [ -d /sys/module/xfs ] && echo still there; [ -d /sys/module/libcrc32c ] && echo still there; exit_code $s')}
${step('remove-again', 'tsmodprobe -r xfs')}
${step('remove-first-time', 'tsmodprobe -r --first-time xfs')}
${step('bad-parameter', 'tsmodprobe dummy numdummies=many')}
${step('unknown-parameter', 'tsmodprobe dummy nosuch=1; s=$?; tsmodprobe -r dummy; exit_code $s')}
${step('missing-symbol', 'mkdir -p /tmp/m/lib/modules/$(uname -r); cp /xfs.ko /tmp/m/lib/modules/$(uname -r)/xfs.ko; cp $(find /lib/modules -name "libcrc32c.ko*") /lib/modules/$(uname -r)/modules.symbols /tmp/m/lib/modules/$(uname -r); (cd /tmp/m/lib/modules/$(uname -r); for f in xfs.ko libcrc32c.ko*; do echo $f:; done > modules.dep); tsmodprobe -C /dev/null -d /tmp/m xfs')}
${step('json', 'tsmodprobe --json dummy; tsmodprobe -r dummy')}
${step('builtin', 'tsmodprobe --first-time 8250')}
vmctl put /tmp/steps
`;

type Step = { readonly status: number; readonly text: string };

function parseSteps(text: string): Map<string, Step> {
  return new Map(text.split(/^== /m).slice(1).map((part) => {
    const [head = '', ...lines] = part.split('\n');
    const [name = '', status] = head.split(' ');
    return [name, { status: Number(status), text: lines.join('\n') }];
  }));
}

describe.each([['6.12', '6.1'], ['6.1', '6.12']])('tsmodprobe on %s', (series, other) => {
  it('inserts and removes, and gives the kernel\'s reason where it cannot', async (context) => {
    const reason = whyNoVm();
    if (reason !== undefined) return context.skip(reason);
    const [kernel, foreign] = [await debianKernel(series), await debianKernel(other)];
    if (typeof kernel === 'string') return context.skip(kernel);
    if (typeof foreign === 'string') return context.skip(foreign);
    const directory = join(scratch, series);
    mkdirSync(directory);
    const files = Object.entries(variants(plainModule(kernel, 'dummy'), plainModule(foreign, 'dummy'))).map(([name, bytes]) => {
      const source = join(directory, name);
      writeFileSync(source, bytes);
      return { source, target: `/variants/${name}` };
    });
    writeFileSync(join(directory, 'xfs.ko'), plainModule(kernel, 'xfs'));
    files.push({ source: join(directory, 'xfs.ko'), target: '/xfs.ko' });
    const result = await runOurs(kernel, SCRIPT, { files });
    expect(result.exitCode, result.console).toBe(0);
    const steps = parseSteps(result.files.get('steps')?.toString('utf8') ?? '');
    const { release } = kernel;
    const file = (name: string) => `/tmp/v/lib/modules/${release}/${name}`;
    const failed = (text: string | RegExp) => ({ status: 1, text: typeof text === 'string' ? `modprobe: ${text}\n` : expect.stringMatching(text) });
    const inserted = { status: 0, text: '2\n' };
    expect(Object.fromEntries(steps)).toEqual({
      plain: inserted, xz: inserted, 'xz-crc64': inserted, zst: inserted, gz: inserted,
      truncated: failed(/^modprobe: ERROR: could not insert 'dummy': Exec format error: Invalid ELF .+\n0\n$/),
      'truncated-xz': failed(new RegExp(`^modprobe: ERROR: could not insert 'dummy': ${file('dummy.ko.xz').replaceAll(/[.+]/g, String.raw`\$&`)}: at offset \\d+: expected .+\\n0\\n$`)),
      'other-kernel': failed(/^modprobe: ERROR: could not insert 'dummy': Exec format error: .*(?:disagrees about version of symbol module_layout|this_module section size must match).*\n(?:modprobe: ERROR: symbol \w+: neither the kernel nor any module exports it\n)*0\n$/),
      garbage: failed("ERROR: could not insert 'dummy': Exec format error: Invalid ELF header len 19\n0"),
      unknown: failed(`FATAL: Module nosuchmodule not found in directory /lib/modules/${release}`),
      xfs: { status: 0, text: 'live\nlive\n' },
      'xfs-again': { status: 0, text: '' },
      'xfs-first-time': failed("ERROR: could not insert 'xfs': Module already in kernel"),
      'in-use': failed('FATAL: Module libcrc32c is in use.'),
      remove: { status: 0, text: 'rmmod xfs\nrmmod libcrc32c\n' },
      'remove-again': { status: 0, text: '' },
      'remove-first-time': failed('FATAL: Module xfs is not in kernel.'),
      'bad-parameter': failed("ERROR: could not insert 'dummy': Invalid argument: dummy: `many' invalid for parameter `numdummies'"),
      'unknown-parameter': { status: 0, text: '' },
      'missing-symbol': failed([
        "ERROR: could not insert 'xfs': Unknown symbol in module, or unknown parameter: xfs: Unknown symbol crc32c (err -2)",
        'modprobe: ERROR: symbol crc32c: libcrc32c exports it and is not loaded; modules.dep does not say that it is needed',
      ].join('\n')),
      json: { status: 0, text: expect.stringMatching(/^\{"schema":1,"kind":"result","target":"dummy".*"outcome":"inserted".*\}\n$/) },
      builtin: failed("ERROR: could not insert '8250': Module already in kernel"),
    });
  });
});
