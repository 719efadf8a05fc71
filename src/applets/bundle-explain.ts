// What tskmod bundle create --explain prints: why each file is there, what it costs, and what would go if it went.

import { goesWith, type SelectedFile, type Selection, type SelectReason } from '../kmod/select.ts';
import { sizeText, table } from './bundle-text.ts';
import { jsonLine } from './json.ts';

/** More reasons of one kind are counted. */
const SHOWN = 3;

const WORDS: Readonly<Record<SelectReason['kind'], string>> = {
  name: 'asked for as', glob: 'asked for as', alias: 'asked for as', device: 'drives', dep: 'needed by', softdep: 'softdep of', weakdep: 'weakdep of', firmware: 'firmware of',
};

/** The largest first. */
export function explainText(selection: Selection): string {
  const rows = bySize(selection).map((file) => {
    const { paths, bytes } = goesWith(selection, file.path);
    const goes = paths.length > 1 ? `; without it go ${paths.length} files, ${sizeText(bytes)}` : '';
    return [pathOf(file), sizeText(file.bytes), reasonsText(file.reasons) + goes];
  });
  const absent = selection.missing.map(({ kind, name, reasons }) => [name, 'missing', `${kind}: ${reasonsText(reasons)}`]);
  return table([...rows, ...absent]);
}

/** One object a file, in the same order. */
export function explainJson(selection: Selection): string {
  return bySize(selection).map((file) => {
    const { paths, bytes } = goesWith(selection, file.path);
    return jsonLine('bundle-file', { type: file.kind, path: pathOf(file), bytes: file.bytes, reasons: file.reasons, goesWith: { bytes, paths } });
  }).join('');
}

/** Each kind of reason once. */
function reasonsText(reasons: readonly SelectReason[]): string {
  const kinds = new Map<string, Set<string>>();
  for (const reason of reasons) kinds.set(WORDS[reason.kind], (kinds.get(WORDS[reason.kind]) ?? new Set()).add(nameOf(reason)));
  return [...kinds].map(([words, those]) => {
    const names = [...those];
    const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
    return `${words} ${names.slice(0, SHOWN).join(', ')}${more}`;
  }).join('; ');
}

function nameOf(reason: SelectReason): string {
  switch (reason.kind) {
    case 'device': return reason.root === '/' ? reason.devpath : `${reason.devpath} of ${reason.root}`;
    case 'alias': return reason.pattern === reason.from ? reason.from : `${reason.from} (alias ${reason.pattern})`;
    default: return reason.from;
  }
}

function bySize({ files }: Selection): SelectedFile[] {
  return files.toSorted((a, b) => b.bytes - a.bytes || (a.path < b.path ? -1 : 1));
}

function pathOf({ kind, path }: SelectedFile): string {
  return kind === 'firmware' ? `firmware/${path}` : path;
}
