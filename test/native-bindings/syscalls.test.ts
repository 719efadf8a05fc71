import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { syscallNumber } from '../../native-bindings/syscalls.ts';
import { UnsupportedError } from '../../src/errors.ts';

const NAMES = ['init_module', 'delete_module', 'finit_module', 'memfd_create'] as const;

describe('syscallNumber', () => {
  it.for([
    { arch: 'x64', header: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h' },
    { arch: 'arm64', header: '/usr/include/asm-generic/unistd.h' },
    { arch: 'riscv64', header: '/usr/include/asm-generic/unistd.h' },
  ])('agrees for $arch with the header of the kernel', ({ arch, header }, context) => {
    if (!existsSync(header)) context.skip(`${header} is not installed (linux-libc-dev)`);
    const text = readFileSync(header, 'utf8');
    const expected = NAMES.map((name) => Number(new RegExp(`#define __NR_${name}\\s+(\\d+)`).exec(text)?.[1]));
    expect(NAMES.map((name) => syscallNumber(name, arch))).toEqual(expected);
  });

  it('refuses an architecture that it does not know', () => {
    expect(() => syscallNumber('finit_module', 'ia32')).toThrow(UnsupportedError);
  });
});
