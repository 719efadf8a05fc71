// Modules that were damaged by seed, plain and as gzip, xz and zstd write them: modinfo, modprobe --show-* and depmod say so, and nothing else happens.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { buildModule } from '../kmod/elf-builder.ts';
import { random } from '../random.ts';
import { runHere } from './in-process.ts';
import { kmod30, kmod34, reasonOf } from './oracle.ts';

const ROUNDS = 250;
const RELEASE = '1.2.3';

const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-damaged-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const names = Array.from({ length: 60 }, (_, i) => `symbol_${(i * 7919) % 1000}`);
const module = buildModule({
  exports: names.map((name, i) => ({ name, crc: i, relative: i % 2 === 0 })), needs: [{ name: 'printk' }, { name: 'other', weak: true }], versions: [{ name: 'printk', crc: 7 }],
  modinfo: ['license=GPL', 'alias=pci:v00001234d*', 'softdep=pre: other', 'parm=p:a number', 'parmtype=p:int', ...names.map((name) => `alias=${name}:*`)],
});

const FORMATS: readonly (readonly [extension: string, command: readonly string[]])[] = [
  ['.ko', ['cat']], ['.ko.gz', ['gzip', '-c']], ['.ko.xz', ['xz', '-c', '--check=crc32']],
  ['.ko.zst', ['zstd', '-q', '-c', `--stream-size=${module.length}`]], ['.ko.zst', ['zstd', '-q', '-c', '-19', '--no-check']], ['.ko.zst', ['zstd', '-q', '-c', '--fast=5']],
];

/** One to four changes: a bit, some bytes, a piece left out, a piece twice, an end cut off. */
function damaged(whole: Buffer, next: (below: number) => number): Buffer {
  let bytes = Buffer.from(whole);
  for (let changes = next(4); changes >= 0 && bytes.length > 0; changes--) {
    const [at, length] = [next(bytes.length), 1 + next(16)];
    switch (next(5)) {
      case 0: bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8)); break;
      case 1: for (let i = 0; i < length && at + i < bytes.length; i++) bytes[at + i] = next(3) === 0 ? 255 : next(256); break;
      case 2: bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]); break;
      case 3: bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]); break;
      default: bytes = bytes.subarray(0, next(3) === 0 ? at : Math.max(0, bytes.length - length));
    }
  }
  return bytes;
}

describe('damaged modules', () => {
  it.for(FORMATS.map(([extension, command], index) => ({ extension, command, index, title: `${extension} of ${command.join(' ')}` })))('$title', { timeout: 120_000 }, async ({ extension, command, index }, context) => {
    let whole: Buffer;
    try {
      whole = execFileSync(command[0] ?? '', command.slice(1), { input: module });
    } catch (error) {
      return context.skip(reasonOf(`${command[0]} does not run here: ${String(error)}`));
    }
    const root = join(scratch, String(index));
    const directory = join(root, 'lib/modules', RELEASE);
    mkdirSync(directory, { recursive: true });
    const next = random(41 + index);
    const files = Array.from({ length: ROUNDS }, (_, round) => {
      const file = join(directory, `m${round}${extension}`);
      writeFileSync(file, round === 0 ? whole : damaged(whole, next));
      return file;
    });
    // Whatever is thrown but our own errors ends the test. Each file has an answer or a line that names it.
    let answered = 0;
    for (const file of files) {
      const said = await runHere('modinfo', [file]);
      if (said.status === 0) answered++;
      else expect(said).toEqual({ status: 1, stdout: expect.any(String), stderr: expect.stringMatching(/could not get modinfo from 'm\d+': /) });
      for (const option of ['--show-exports', '--show-modversions']) {
        const shown = await runHere('modprobe', [option, file]);
        if (shown.status !== 0) expect(shown).toEqual({ status: 1, stdout: '', stderr: expect.stringContaining(file) });
      }
    }
    expect(answered).toBeGreaterThan(0);
    expect(answered).toBeLessThan(ROUNDS);
    const { status, stderr } = await runHere('depmod', ['--no-cache', '-C', '/nosuch', '-b', root, RELEASE]);
    expect({ status, other: stderr.split('\n').filter((line) => line !== '' && !/failed to load symbols from|could not open modules\.|Unmatched bracket|7-bit ASCII|has devname/.test(line)) }).toEqual({ status: 0, other: [] });
    const dep = readFileSync(join(directory, 'modules.dep'), 'latin1').split('\n').filter(Boolean);
    expect(dep.length).toBe(ROUNDS);
  });
});

/** Files that are no modules, or not whole. */
const FILES: Readonly<Record<string, () => Uint8Array>> = {
  'whole.ko': () => module, 'half.ko': () => module.subarray(0, module.length >> 1), 'header.ko': () => module.subarray(0, 64), 'less.ko': () => module.subarray(0, 40), 'four.ko': () => Buffer.from('1234'),
  'empty.ko': () => Buffer.alloc(0), 'text.ko': () => Buffer.from('no module at all'), 'whole.ko.xz': () => packed('xz', module), 'half.ko.xz': () => packed('xz', module).subarray(0, 500),
  'text.ko.xz': () => packed('xz', Buffer.from('no module at all')), 'whole.ko.zst': () => packed('zstd', module),
};

function packed(program: 'xz' | 'zstd', bytes: Uint8Array): Buffer {
  return execFileSync(program, ['-c', ...(program === 'xz' ? ['--check=crc32'] : ['-q', `--stream-size=${bytes.length}`])], { input: bytes });
}

describe.each([kmod30, kmod34].map((kmod) => ({ name: kmod.name, kmod })))('modprobe --show-exports and --show-modversions beside $name', ({ kmod }) => {
  it.for([...Object.keys(FILES), 'directory.ko', 'nosuch.ko'])('of %s', async (name, context) => {
    if (kmod.reason !== undefined) return context.skip(kmod.reason);
    const file = join(scratch, name);
    const bytes = FILES[name]?.();
    if (bytes) writeFileSync(file, bytes);
    if (name === 'directory.ko') mkdirSync(file, { recursive: true });
    for (const option of ['--show-exports', '--show-modversions']) {
      const theirs = kmod.run('modprobe', [option, file]);
      // A line from inside of the library may come before.
      expect(await runHere('modprobe', [option, file])).toEqual({ ...theirs, stderr: theirs.stderr.replaceAll(/^\w+: ERROR: .*\n/gm, '') });
    }
  });
});
