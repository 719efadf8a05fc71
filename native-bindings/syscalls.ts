// The system call numbers of each architecture, for the calls that a C library may lack a function for.

import { UnsupportedError } from '../src/errors.ts';

export type SyscallName = 'finit_module' | 'init_module' | 'delete_module' | 'memfd_create' | 'mknodat';

/** `process.arch` of the architectures that this table knows. */
export type Arch = 'x64' | 'arm64' | 'riscv64';

/**
 * x64: arch/x86/entry/syscalls/syscall_64.tbl (asm/unistd_64.h). arm64 and riscv64: include/uapi/asm-generic/unistd.h.
 * No libc has a function for finit_module; the others came to glibc and musl at different times.
 */
const SYSCALL_NUMBERS: Readonly<Record<SyscallName, Readonly<Record<Arch, number>>>> = {
  init_module: { x64: 175, arm64: 105, riscv64: 105 },
  delete_module: { x64: 176, arm64: 106, riscv64: 106 },
  finit_module: { x64: 313, arm64: 273, riscv64: 273 },
  memfd_create: { x64: 319, arm64: 279, riscv64: 279 },
  mknodat: { x64: 259, arm64: 33, riscv64: 33 },
};

/** The number of a system call on an architecture as `process.arch` names it. */
export function syscallNumber(name: SyscallName, arch: string = process.arch): number {
  if (!isArch(arch)) {
    throw new UnsupportedError(`system calls on ${arch} are not known; x64, arm64 and riscv64 are`);
  }
  return SYSCALL_NUMBERS[name][arch];
}

function isArch(arch: string): arch is Arch {
  return arch === 'x64' || arch === 'arm64' || arch === 'riscv64';
}
