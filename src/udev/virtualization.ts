// What CONST{virt} and CONST{arch} say: which virtual machine or container this is, and which processor, in systemd's words.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import type { System } from '../system.ts';

/** Node's names of processors, and systemd's (systemd.unit(5), ConditionArchitecture=). */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  arm: 'arm', arm64: 'arm64', ia32: 'x86', x64: 'x86-64', loong64: 'loongarch64', mips: 'mips', mipsel: 'mips-le', ppc: 'ppc',
  ppc64: 'ppc64-le', riscv64: 'riscv64', s390: 's390', s390x: 's390x',
};

/** How the firmware of virtual machines begins its names (/sys/class/dmi/id). */
const FIRMWARE: readonly (readonly [prefix: string, virtualization: string])[] = [
  ['KVM', 'kvm'], ['OpenStack', 'kvm'], ['KubeVirt', 'kvm'], ['Amazon EC2', 'amazon'], ['QEMU', 'qemu'], ['VMware', 'vmware'], ['VMW', 'vmware'],
  ['innotek GmbH', 'oracle'], ['VirtualBox', 'oracle'], ['Oracle Corporation', 'oracle'], ['Xen', 'xen'], ['Bochs', 'bochs'],
  ['Parallels', 'parallels'], ['BHYVE', 'bhyve'], ['Hyper-V', 'microsoft'], ['Apple Virtualization', 'apple'], ['Google Compute Engine', 'google'],
];

export function architecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

/** A container counts before the machine that it runs on; `none` where neither shows. Source: systemd-detect-virt(1). */
export function virtualization(system: System): string {
  return container(system) ?? machine(system) ?? 'none';
}

function container({ roots: { proc, run } }: System): string | undefined {
  if (existsSync(join(proc, 'vz')) && !existsSync(join(proc, 'bc'))) return 'openvz';
  const named = text(join(run, 'systemd', 'container')) ?? environmentOfInit(proc);
  if (named !== undefined && named !== '') return named === 'oci' ? 'docker' : named;
  if (/microsoft|WSL/i.test(text(join(proc, 'sys', 'kernel', 'osrelease')) ?? '')) return 'wsl';
  if (existsSync(join(run, '.containerenv')) || existsSync(join(run, '..', '.dockerenv'))) return 'docker';
  return undefined;
}

function environmentOfInit(proc: string): string | undefined {
  const entry = (text(join(proc, '1', 'environ')) ?? '').split('\0').find((line) => line.startsWith('container='));
  return entry?.slice('container='.length);
}

function machine({ roots: { sys, proc } }: System): string | undefined {
  const firmware = firmwareName(sys);
  if (firmware !== undefined && firmware !== 'qemu' && firmware !== 'kvm') return firmware;
  if (text(join(sys, 'hypervisor', 'type')) === 'xen') return isDom0(proc) ? undefined : 'xen';
  const flags = text(join(proc, 'cpuinfo')) ?? '';
  if (/^User Mode Linux$|vendor_id\s*: User Mode Linux/m.test(flags)) return 'uml';
  // A guest sees the clock of KVM where QEMU has KVM under it.
  const clocks = text(join(sys, 'devices', 'system', 'clocksource', 'clocksource0', 'available_clocksource')) ?? '';
  if (clocks.includes('kvm-clock')) return 'kvm';
  if (clocks.includes('hyperv_clocksource')) return 'microsoft';
  if (firmware !== undefined) return firmware;
  return /^flags\s*:.*\bhypervisor\b/m.test(flags) ? 'vm-other' : undefined;
}

function firmwareName(sys: string): string | undefined {
  for (const name of ['product_name', 'sys_vendor', 'board_vendor', 'bios_vendor', 'product_version']) {
    const value = text(join(sys, 'class', 'dmi', 'id', name));
    const known = value === undefined ? undefined : FIRMWARE.find(([prefix]) => value.startsWith(prefix));
    if (known) return known[1];
  }
  return undefined;
}

/** The machine that owns the others is no guest. */
function isDom0(proc: string): boolean {
  return /\bcontrol_d\b/.test(text(join(proc, 'xen', 'capabilities')) ?? '');
}

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}
