// libblkid: what file system, RAID member or partition table a block device holds.

import { messageOf } from '../src/errors.ts';
import type { CFunction, Koffi } from './koffi.ts';
import type { BlkidProbeOptions, BlkidResult, BlkidValue, NativeBlkid } from './native.ts';

const LIBBLKID = 'libblkid.so.1';

/** blkid/blkid.h. */
const BLKID_SUBLKS_LABEL = 1 << 1;
const BLKID_SUBLKS_UUID = 1 << 3;
const BLKID_SUBLKS_TYPE = 1 << 5;
const BLKID_SUBLKS_SECTYPE = 1 << 6;
const BLKID_SUBLKS_USAGE = 1 << 7;
const BLKID_SUBLKS_VERSION = 1 << 8;
const SUPERBLOCK_FLAGS =
  BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE | BLKID_SUBLKS_SECTYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_VERSION;
const BLKID_FLTR_NOTIN = 1;
const BLKID_USAGE_RAID = 1 << 2;
const BLKID_PARTS_ENTRY_DETAILS = 1 << 2;

/** 1.44 MB: floppies, which may have a partition table that is none. */
const SMALL_DISK = 1024 * 1440;

/** Probes at one time; a slow disk holds a thread of the libuv pool. */
const MAX_PROBES = 8;

/** Values of one probe; libblkid knows some forty names. */
const MAX_VALUES = 256;

/** Partitions of one table: GPT has 128 unless someone made it larger. */
const MAX_PARTITIONS = 1024;

/** A value with all its bytes escaped; libblkid refuses what does not fit. */
const MAX_ENCODED = 1024;

const PROTOTYPES = {
  blkid_new_probe: ['void *', []],
  blkid_free_probe: ['void', ['void *']],
  blkid_probe_set_device: ['int', ['void *', 'int', 'int64', 'int64']],
  blkid_probe_enable_superblocks: ['int', ['void *', 'int']],
  blkid_probe_set_superblocks_flags: ['int', ['void *', 'int']],
  blkid_probe_filter_superblocks_usage: ['int', ['void *', 'int', 'int']],
  blkid_probe_enable_partitions: ['int', ['void *', 'int']],
  blkid_probe_set_partitions_flags: ['int', ['void *', 'int']],
  blkid_probe_get_size: ['int64', ['void *']],
  blkid_probe_is_wholedisk: ['int', ['void *']],
  blkid_do_fullprobe: ['int', ['void *']],
  blkid_do_safeprobe: ['int', ['void *']],
  blkid_probe_numof_values: ['int', ['void *']],
  blkid_probe_get_value: ['int', ['void *', 'int', 'void *', 'void *', 'void *']],
  blkid_probe_has_value: ['int', ['void *', 'str']],
  blkid_probe_set_hint: ['int', ['void *', 'str', 'uint64']],
  blkid_probe_get_partitions: ['void *', ['void *']],
  blkid_partlist_numof_partitions: ['int', ['void *']],
  blkid_partlist_get_partition: ['void *', ['void *', 'int']],
  blkid_partition_get_uuid: ['str', ['void *']],
  blkid_partition_get_type_string: ['str', ['void *']],
  blkid_partition_get_name: ['str', ['void *']],
  blkid_partition_get_flags: ['uint64', ['void *']],
  blkid_encode_string: ['int', ['void *', 'void *', 'size_t']],
  blkid_safe_string: ['int', ['void *', 'void *', 'size_t']],
} as const;

type Name = keyof typeof PROTOTYPES;
type Bound = Readonly<Record<Name, CFunction>>;

/** undefined where libblkid is not installed or too old. Looked for once, when first asked for. */
export function openBlkid(koffi: Koffi): () => NativeBlkid | undefined {
  let opened: { readonly blkid: NativeBlkid | undefined } | undefined;
  return () => (opened ??= { blkid: bindBlkid(koffi) }).blkid;
}

function bindBlkid(koffi: Koffi): NativeBlkid | undefined {
  let library: Bound;
  try {
    const loaded = koffi.load(LIBBLKID);
    const bound: Partial<Record<Name, CFunction>> = {};
    for (const name of Object.keys(PROTOTYPES) as Name[]) {
      const [result, parameters] = PROTOTYPES[name];
      bound[name] = loaded.func(name, result, [...parameters]);
    }
    library = bound as Bound;
  } catch (error) {
    if (/^(Failed to load shared library|Cannot find function)/.test(messageOf(error))) return undefined;
    throw error;
  }
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    library: LIBBLKID,
    probe: async (fd, options) => {
      if (running >= MAX_PROBES) await new Promise<void>((resolve) => waiting.push(resolve));
      else running++;
      try {
        return await probe(koffi, library, fd, options);
      } finally {
        // The place goes straight to the next in line, which does not count itself again.
        const next = waiting.shift();
        if (next) next();
        else running--;
      }
    },
  };
}

/** Only the calls that read the device run on a thread; the object is used by one of them at a time. */
async function probe(koffi: Koffi, library: Bound, fd: number, options: BlkidProbeOptions): Promise<BlkidResult | undefined> {
  const handle: unknown = library.blkid_new_probe();
  if (!handle) return undefined;
  try {
    // Before the hint, as udev has it: a device sets back the hints.
    library.blkid_probe_set_superblocks_flags(handle, SUPERBLOCK_FLAGS);
    if (options.noRaid) library.blkid_probe_filter_superblocks_usage(handle, BLKID_FLTR_NOTIN, BLKID_USAGE_RAID);
    if ((await onThread(library.blkid_probe_set_device, [handle, fd, options.offset ?? 0, 0])) < 0) return undefined;
    for (const hint of options.hints ?? []) if (library.blkid_probe_set_hint(handle, hint, 0) < 0) return undefined;
    library.blkid_probe_enable_partitions(handle, 1);
    if (!(await isPartitionedSmallDisk(library, handle, options.isCharacterDevice ?? false))) {
      library.blkid_probe_set_partitions_flags(handle, BLKID_PARTS_ENTRY_DETAILS);
      library.blkid_probe_enable_superblocks(handle, 1);
      // 1: nothing found; -2: more than one thing, which is as good as nothing.
      if ((await onThread(library.blkid_do_safeprobe, [handle])) < 0) return undefined;
    }
    const values = valuesOf(koffi, library, handle);
    const isGpt = values.some(({ name, value }) => name === 'PTTYPE' && value === 'gpt');
    return { values, partitions: isGpt ? await partitionsOf(library, handle) : [] };
  } finally {
    library.blkid_free_probe(handle);
  }
}

/** A floppy with a partition table is not probed for file systems: boot sectors look like both. */
async function isPartitionedSmallDisk(library: Bound, handle: unknown, isCharacterDevice: boolean): Promise<boolean> {
  if (isCharacterDevice || library.blkid_probe_get_size(handle) > SMALL_DISK || !library.blkid_probe_is_wholedisk(handle)) return false;
  library.blkid_probe_enable_superblocks(handle, 0);
  if ((await onThread(library.blkid_do_fullprobe, [handle])) < 0) return false;
  return library.blkid_probe_has_value(handle, 'PTTYPE') === 1;
}

function valuesOf(koffi: Koffi, library: Bound, handle: unknown): BlkidValue[] {
  const values: BlkidValue[] = [];
  const count = Math.min(library.blkid_probe_numof_values(handle) as number, MAX_VALUES);
  // Three results: the name, the data, the length of the data with its NUL.
  const pointers = Buffer.alloc(24);
  for (let index = 0; index < count; index++) {
    const [name, data, length] = [pointers.subarray(0, 8), pointers.subarray(8, 16), pointers.subarray(16, 24)];
    if (library.blkid_probe_get_value(handle, index, name, data, length) < 0) continue;
    const address = data.readBigUInt64LE(0);
    values.push({
      name: stringAt(koffi, name.readBigUInt64LE(0)),
      value: stringAt(koffi, address),
      // In C, where the bytes are still those of the disk and need not be UTF-8.
      safe: convertedAt(library.blkid_safe_string, address),
      encoded: convertedAt(library.blkid_encode_string, address),
    });
  }
  return values;
}

/** The C string at an address. */
function stringAt(koffi: Koffi, address: bigint): string {
  return address === 0n ? '' : String(koffi.decode(address, 'char', -1));
}

function convertedAt(convert: CFunction, address: bigint): string {
  if (address === 0n) return '';
  const output = Buffer.alloc(MAX_ENCODED);
  if (convert(address, output, output.length) !== 0) return '';
  return output.toString('utf8', 0, output.indexOf(0));
}

async function partitionsOf(library: Bound, handle: unknown): Promise<BlkidResult['partitions']> {
  const list: unknown = await pointerOnThread(library.blkid_probe_get_partitions, handle);
  if (!list) return [];
  const partitions: BlkidResult['partitions'][number][] = [];
  const count = Math.min(library.blkid_partlist_numof_partitions(list) as number, MAX_PARTITIONS);
  for (let index = 0; index < count; index++) {
    const partition: unknown = library.blkid_partlist_get_partition(list, index);
    if (!partition) continue;
    partitions.push({
      uuid: (library.blkid_partition_get_uuid(partition) as string | null) ?? '',
      type: (library.blkid_partition_get_type_string(partition) as string | null) ?? '',
      name: (library.blkid_partition_get_name(partition) as string | null) ?? '',
      flags: BigInt(library.blkid_partition_get_flags(partition) as number | bigint),
    });
  }
  return partitions;
}

function onThread(fn: CFunction, values: readonly unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    fn.async(...values, (error: unknown, result: number) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}

function pointerOnThread(fn: CFunction, handle: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    fn.async(handle, (error: unknown, result: unknown) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}
