// What of the running kernel itself is in the way of any module.

import { existsSync } from 'node:fs';

import type { Finding } from './doctor.ts';
import type { DiagnosedTree } from './doctor-tree.ts';
import { readText } from './tree-images.ts';

/** Nothing where the modules are meant for another kernel than the one that runs. */
export function kernelFindings({ system, running }: DiagnosedTree): Finding[] {
  if (!running) return [];
  const { proc, config } = system.roots;
  // Without /proc/version there is no /proc, which says nothing.
  if (existsSync(`${proc}/version`) && !existsSync(`${proc}/modules`)) {
    return [{ kind: 'no-module-support', level: 'problem', text: 'this kernel was built without modules', evidence: [`${proc}/modules does not exist`] }];
  }
  const disabled = `${proc}/sys/kernel/modules_disabled`;
  if (readText(system, disabled)?.trim() !== '1') return [];
  return [{
    kind: 'modules-disabled', level: 'problem', text: 'modules are disabled until the next boot',
    evidence: [`${disabled} is 1`], propose: `grep -rs modules_disabled ${config}/etc/sysctl.conf ${config}/etc/sysctl.d ${config}/usr/lib/sysctl.d`,
  }];
}

/** Why the kernel wants signatures, or undefined. Source: admin-guide/module-signing.rst, kernel_lockdown(7). */
export function signatureEnforcement({ system, running }: DiagnosedTree): string | undefined {
  if (!running) return undefined;
  const { sys } = system.roots;
  const parameter = `${sys}/module/module/parameters/sig_enforce`;
  if (readText(system, parameter)?.trim() === 'Y') return `${parameter} is Y`;
  const lockdown = `${sys}/kernel/security/lockdown`;
  const mode = /\[(\w+)\]/.exec(readText(system, lockdown) ?? '')?.[1];
  return mode === undefined || mode === 'none' ? undefined : `${lockdown} is ${mode}`;
}
