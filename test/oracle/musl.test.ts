// The other C library: what ours calls of it is there. No Node for musl is to be had, so that nothing of ours runs on it here.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { unpackedFromSuite } from '../../scripts/debian-package.mjs';
import { messageOf } from '../../src/errors.ts';
import { ElfFile } from '../../src/kmod/elf.ts';
import { reasonOf } from './oracle.ts';

const BINDINGS = join(import.meta.dirname, '../../native-bindings');
/** Called where it is there, and the memory of a daemon is a little larger where it is not. */
const OPTIONAL = ['malloc_trim'];

const musl = unpacked();

describe.skipIf(typeof musl !== 'string')(`musl${typeof musl === 'string' ? '' : ` (${musl.reason})`}`, () => {
  it('has the functions of libc that native-bindings calls', () => {
    const called = new Set(readdirSync(BINDINGS).filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [...readFileSync(join(BINDINGS, name), 'utf8').matchAll(/\bfunction\('([a-z_0-9]+)'/g)].map((match) => match[1] ?? '')));
    expect([...called].filter((name) => ['syscall', 'poll', 'recvmmsg', 'uname'].includes(name)).length).toBe(4);
    const exported = exportsOf(join(String(musl), 'lib/x86_64-linux-musl/libc.so'));
    expect([...called].filter((name) => !exported.has(name)).sort()).toEqual(OPTIONAL);
  });
});

/** The names that a shared library defines: elf(5), Elf64_Sym is name (4), info, other, shndx (2), value, size. */
function exportsOf(file: string): ReadonlySet<string> {
  const elf = new ElfFile(readFileSync(file), file);
  const contents = (name: string): Buffer => {
    const section = elf.section(name);
    return Buffer.from(section === undefined ? [] : elf.contents(section));
  };
  const [symbols, strings] = [contents('.dynsym'), contents('.dynstr')];
  const names = new Set<string>();
  for (let at = 0; at + 24 <= symbols.length; at += 24) {
    const name = symbols.readUInt32LE(at);
    if (symbols.readUInt16LE(at + 6) !== 0) names.add(strings.toString('latin1', name, strings.indexOf(0, name)));
  }
  return names;
}

function unpacked(): string | { readonly reason: string } {
  try {
    return unpackedFromSuite('bookworm', ['musl']);
  } catch (error) {
    return { reason: reasonOf(`Debian's musl: ${messageOf(error)}`) };
  }
}
