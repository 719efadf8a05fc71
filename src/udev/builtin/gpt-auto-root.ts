// Which partition of a GPT disk is the root of this system, where the boot loader said from which disk it came.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../../errors.ts';
import type { BlkidResult, System } from '../../system.ts';

type Partition = BlkidResult['partitions'][number];

/** UAPI Group, Discoverable Partitions Specification. */
const ESP = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';
const XBOOTLDR = 'bc13c2ff-59e6-4262-a352-b275fd6f7172';
const ROOT_TYPES: Readonly<Record<string, string>> = {
  x64: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  arm64: 'b921b045-1df0-41c3-af44-4c6f280d3fae',
  riscv64: '72ec70a6-cf74-40e6-bd49-4bda08e8f224',
};
const NO_AUTO = 1n << 63n;

/** The partition that the boot loader was started from (Boot Loader Interface). The first four bytes of the file are attributes. */
const DEVICE_PART_UUID = 'firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';

/** The UUID of the root partition, where this disk is the one that was booted from. Of several, the one with the latest name. */
export function gptAutoRoot(system: System, partitions: readonly Partition[]): string | undefined {
  if (partitions.length === 0) return undefined;
  const loader = loaderPartition(system);
  if (loader === undefined) return undefined;
  const isBootDisk = partitions.some(({ uuid, type }) => (type === ESP || type === XBOOTLDR) && uuid.toLowerCase() === loader);
  if (!isBootDisk) return undefined;
  const rootType = ROOT_TYPES[process.arch];
  const roots = partitions.filter(({ type, flags }) => type === rootType && (flags & NO_AUTO) === 0n);
  return roots.reduce<Partition | undefined>((best, next) => (best && compareVersions(next.name, best.name) <= 0 ? best : next), undefined)?.uuid;
}

function loaderPartition(system: System): string | undefined {
  try {
    const text = readFileSync(join(system.roots.sys, DEVICE_PART_UUID)).subarray(4).toString('utf16le');
    return text.replace(/\0.*$/s, '').toLowerCase();
  } catch (error) {
    // No EFI, or a boot loader that does not tell.
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

/** `root-9` before `root-10`. */
function compareVersions(a: string, b: string): number {
  return new Intl.Collator('en', { numeric: true }).compare(a, b);
}
