// What a module says of itself: the entries of .modinfo or modules.builtin.modinfo, its build id, signature and parameters.

import { FormatError, LimitError } from '../errors.ts';
import { ElfFile } from './elf.ts';
import { readSignature } from './signature.ts';
import type { ModuleSignature } from './signature.ts';

/** One `key=value`, as MODULE_INFO() wrote it. */
export type ModinfoEntry = { readonly key: string; readonly value: string };

/** A parameter: `parm` has its description, `parmtype` its type. */
export type ModuleParameter = { readonly name: string; readonly description?: string; readonly type?: string };

export type ModuleInfo = {
  /** In file order, `parm` and `parmtype` included. An entry without `=` has an empty value. */
  readonly entries: readonly ModinfoEntry[];
  /** In the order in which they first appear. */
  readonly parameters: readonly ModuleParameter[];
  /** Entries that claim to be of a parameter and name none. */
  readonly badParameters: readonly ModinfoEntry[];
  readonly buildId: Uint8Array | undefined;
  readonly signature: ModuleSignature | undefined;
};

/** The most bytes of entries that are read; amdgpu has 60 KiB, all built-in modules together about as much. */
export const MAX_MODINFO_SIZE = 16 * 1024 * 1024;

/** Below this libkmod does not even ask what a file is. */
const MIN_IMAGE_SIZE = 6;
/** elf.h. */
const NT_GNU_BUILD_ID = 3;
const NOTE_HEADER = 12;

/** A module, decompressed. Throws FormatError for what is not an ELF file; for one of a few bytes as libkmod, which tells these apart. */
export function openImage(image: Uint8Array, file: string): ElfFile {
  if (image.length >= MIN_IMAGE_SIZE) return new ElfFile(image, file);
  throw new FormatError({ file, offset: image.length, expected: `${MIN_IMAGE_SIZE} bytes or more`, actual: `${image.length}` });
}

/**
 * The information in a module, decompressed. undefined where it has no section .modinfo: an ELF file, but not a module.
 * Throws FormatError for what is not an ELF file, LimitError for entries beyond all measure.
 */
export function parseModuleInfo(image: Uint8Array, file: string): ModuleInfo | undefined {
  const elf = openImage(image, file);
  const section = elf.section('.modinfo');
  if (!section) return undefined;
  const note = elf.section('.note.gnu.build-id');
  return {
    ...infoOf(splitEntries(elf.contents(section), file)),
    buildId: note && buildIdOf(elf.contents(note), elf.littleEndian),
    signature: readSignature(image, file),
  };
}

/** The information of a built-in module from modules.builtin.modinfo: its entries stand together there. */
export function parseBuiltinInfo(bytes: Uint8Array, module: string, file: string): ModuleInfo {
  const prefix = `${module}.`;
  const entries: ModinfoEntry[] = [];
  for (const { key, value } of splitEntries(bytes, file)) {
    if (key.startsWith(prefix)) entries.push({ key: key.slice(prefix.length), value });
    else if (entries.length > 0) break;
  }
  return { ...infoOf(entries), buildId: undefined, signature: undefined };
}

/** `NAME:DESCRIPTION` of parm and `NAME:TYPE` of parmtype as one list. The last of several descriptions or types holds. */
export function mergeParameters(entries: readonly ModinfoEntry[]): Pick<ModuleInfo, 'parameters' | 'badParameters'> {
  const merged = new Map<string, { description?: string; type?: string }>();
  const badParameters: ModinfoEntry[] = [];
  for (const entry of entries) {
    if (entry.key !== 'parm' && entry.key !== 'parmtype') continue;
    const colon = entry.value.indexOf(':');
    if (colon < 0) {
      badParameters.push(entry);
      continue;
    }
    const name = entry.value.slice(0, colon);
    const text = entry.value.slice(colon + 1);
    merged.set(name, { ...merged.get(name), ...(entry.key === 'parm' ? { description: text } : { type: text }) });
  }
  return { parameters: [...merged].map(([name, rest]) => ({ name, ...rest })), badParameters };
}

function infoOf(entries: readonly ModinfoEntry[]): Pick<ModuleInfo, 'entries' | 'parameters' | 'badParameters'> {
  return { entries, ...mergeParameters(entries) };
}

/** `key=value` ended by NUL; more NULs than one are padding. */
function splitEntries(bytes: Uint8Array, file: string): ModinfoEntry[] {
  if (bytes.length > MAX_MODINFO_SIZE) {
    throw new LimitError({ file, limit: 'size of module information', maximum: MAX_MODINFO_SIZE, actual: bytes.length });
  }
  return decode(bytes).split('\0').filter((text) => text !== '').map((text) => {
    const equals = text.indexOf('=');
    return equals < 0 ? { key: text, value: '' } : { key: text.slice(0, equals), value: text.slice(equals + 1) };
  });
}

/** The kernel's sources are UTF-8; a module that is not shall still show its authors. */
function decode(bytes: Uint8Array): string {
  try {
    return STRICT_UTF8.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return Buffer.from(bytes).toString('latin1');
    throw error;
  }
}

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** struct elf_note: namesz, descsz, type, then `GNU\0` and the id, each padded to four bytes. */
function buildIdOf(notes: Uint8Array, littleEndian: boolean): Uint8Array | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength);
  for (let at = 0; at + NOTE_HEADER <= notes.length;) {
    const nameSize = view.getUint32(at, littleEndian);
    const size = view.getUint32(at + 4, littleEndian);
    const type = view.getUint32(at + 8, littleEndian);
    const name = at + NOTE_HEADER;
    const start = name + padded(nameSize);
    if (start + size > notes.length) return undefined;
    if (type === NT_GNU_BUILD_ID && Buffer.from(notes.subarray(name, name + nameSize)).toString('latin1') === 'GNU\0') {
      // A copy: the image may be a buffer that is used again.
      return Uint8Array.from(notes.subarray(start, start + size));
    }
    at = start + padded(size);
  }
  return undefined;
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
