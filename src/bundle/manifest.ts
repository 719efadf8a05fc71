// modules.bundle, the file in a bundle that says what made it and what sum each of its files has: formats it and reads it.

import { FormatError, LimitError } from '../errors.ts';

/** In the directory of the release. */
export const MANIFEST_NAME = 'modules.bundle';

/** A file with its CRC-32 (as gzip has it). `path` is below the directory of the release, of firmware `firmware/...`. */
export type ListedFile = { readonly path: string; readonly size: number; readonly crc32: number };

export type Manifest = {
  readonly builder: string;
  readonly release: string;
  /** What the modules were selected by, as it was asked; empty where all were taken. */
  readonly selected: readonly string[];
  readonly files: readonly ListedFile[];
};

const FIRST_LINE = 'tsmodprobe bundle 1';
const MAX_LINES = 1_000_000;

/**
 * ```
 * tsmodprobe bundle 1
 * builder tsmodprobe 0.1.0
 * release 6.12.0
 * selected --select=xfs
 * 1a2b3c4d 123456 kernel/fs/xfs/xfs.ko.xz
 * ```
 * All sums have eight digits, so that its size is known before they are.
 */
export function formatManifest(manifest: Manifest): Buffer {
  return Buffer.from([...headOf(manifest), ...manifest.files.map(({ path, size, crc32 }) => `${crc32.toString(16).padStart(8, '0')} ${size} ${path}`), ''].join('\n'));
}

/** Bytes of what formatManifest gives, whatever the sums are. */
export function manifestSize(manifest: Omit<Manifest, 'files'> & { readonly files: readonly Omit<ListedFile, 'crc32'>[] }): number {
  let size = Buffer.byteLength([...headOf(manifest), ''].join('\n'));
  for (const file of manifest.files) size += '01234567 '.length + `${file.size} `.length + Buffer.byteLength(file.path) + 1;
  return size;
}

function headOf({ builder, release, selected }: Omit<Manifest, 'files'>): string[] {
  return [FIRST_LINE, `builder ${builder}`, `release ${release}`, ...selected.map((text) => `selected ${text.replaceAll(/[\r\n]/g, ' ')}`)];
}

/** Throws FormatError and LimitError; `file` is what they name. */
export function parseManifest(bytes: Uint8Array, file: string): Manifest {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').split('\n');
  if (lines.length > MAX_LINES) throw new LimitError({ file, limit: 'MAX_LINES', maximum: MAX_LINES, actual: lines.length });
  if (lines[0] !== FIRST_LINE) throw new FormatError({ file, offset: 0, expected: JSON.stringify(FIRST_LINE), actual: JSON.stringify(lines[0]?.slice(0, 80)) });
  const files: ListedFile[] = [];
  const texts: Record<'builder' | 'release' | 'selected', string[]> = { builder: [], release: [], selected: [] };
  let offset = 0;
  for (const [index, line] of lines.entries()) {
    const listed = /^([0-9a-f]{8}) (\d{1,15}) (.+)$/.exec(line);
    const [, key = '', text = ''] = /^(builder|release|selected) (.*)$/.exec(line) ?? [];
    if (listed) files.push({ crc32: Number.parseInt(listed[1] ?? '', 16), size: Number(listed[2]), path: listed[3] ?? '' });
    else if (key === 'builder' || key === 'release' || key === 'selected') texts[key].push(text);
    // What later versions may add begins with a word and a blank; other than that only the end is left.
    else if (index > 0 && !/^[a-z]+ /.test(line) && (line !== '' || index < lines.length - 1)) {
      throw new FormatError({ file, offset, expected: 'a sum, a size and a path', actual: JSON.stringify(line.slice(0, 80)) });
    }
    offset += Buffer.byteLength(line) + 1;
  }
  return { builder: texts.builder[0] ?? '', release: texts.release[0] ?? '', selected: texts.selected, files };
}
