// What modinfo prints of a module: kmod's lines, the values of one field, or a JSON object.

import type { ModinfoEntry, ModuleInfo, ModuleParameter } from '../kmod/modinfo.ts';

/** One module that was asked for. `path` is undefined for a built-in one. */
export type ModinfoSubject = { readonly module: string; readonly path: string | undefined };

export type ModinfoFormat = {
  /** One field only. */
  readonly field: string | undefined;
  /** Ends each value: newline, or NUL of -0. */
  readonly separator: '\n' | '\0';
};

/** Columns before a value. */
const WIDTH = 16;
/** Bytes on a line of hexadecimal digits. */
const HEX_LINE = 20;
const DIGITS = Buffer.from('0123456789ABCDEF');
const LINE_BREAK = Buffer.from('\n\t\t');
const COLON = 0x3a;

/** Whether a field can be told without reading the module. */
export function isAboutFile(field: string | undefined): boolean {
  return field === 'filename';
}

/** The lines that come before those of the module itself: they are printed for one that cannot be read, too. */
export function formatSubject({ module, path }: ModinfoSubject, { field, separator }: ModinfoFormat): string {
  const filename = path ?? '(builtin)';
  if (field === 'filename') return filename + separator;
  if (field !== undefined) return field === 'name' && path === undefined ? module + separator : '';
  const name = path === undefined ? labelled('name', module, separator) : '';
  return name + labelled('filename', filename, separator);
}

/** The module's own lines: entries in file order, then build id and signature, then parameters, the last one first. */
export function formatInfo(info: ModuleInfo, { field, separator }: ModinfoFormat): string {
  const parameters = info.parameters.toReversed();
  if (field === 'parm') return parameters.map((parameter) => bareParameter(parameter) + separator).join('');
  const entries = [...info.entries, ...derivedEntries(info)];
  if (field !== undefined) return entries.filter(({ key }) => key === field).map(({ value }) => value + separator).join('');
  const lines = entries.filter(({ key }) => key !== 'parm' && key !== 'parmtype')
    .map(({ key, value }) => (separator === '\0' ? `${key}=${value}${separator}` : labelled(key, value, separator)));
  return [...lines, ...parameters.map((parameter) => labelled('parm', labelledParameter(parameter), separator))].join('');
}

/**
 * The module as a JSON object: the same names for all modules, whatever -0 does to the lines. Bytes are lower-case
 * hexadecimal; what a module does not have is null. With a field, only the values of that field.
 */
export function infoObject({ module, path }: ModinfoSubject, info: ModuleInfo | undefined, field: string | undefined): object {
  const head = { module, path: path ?? null, builtin: path === undefined };
  if (field !== undefined) return { ...head, field, values: fieldValues({ module, path }, info, field) };
  const { buildId, signature } = info ?? {};
  return {
    ...head,
    entries: (info?.entries ?? []).filter(({ key }) => key !== 'parm' && key !== 'parmtype'),
    parameters: (info?.parameters ?? []).map(({ name, type, description }) => ({ name, type: type ?? null, description: description ?? null })),
    buildId: buildId ? hex(buildId) : null,
    signature: signature ? {
      id: signature.id, signer: signature.signer, keyId: hex(signature.keyId), hashAlgorithm: signature.hashAlgorithm,
      algorithm: signature.algorithm ?? null, signature: hex(signature.signature),
    } : null,
  };
}

function fieldValues(subject: ModinfoSubject, info: ModuleInfo | undefined, field: string): string[] {
  const format: ModinfoFormat = { field, separator: '\0' };
  // No value holds a NUL: entries end at one.
  return (formatSubject(subject, format) + (info ? formatInfo(info, format) : '')).split('\0').slice(0, -1);
}

/** What kmod makes entries of, though it stands in no .modinfo. */
function derivedEntries({ buildId, signature }: ModuleInfo): ModinfoEntry[] {
  const entries = buildId ? [{ key: 'build-id', value: hexLines(buildId) }] : [];
  if (!signature) return entries;
  return [
    ...entries,
    { key: 'sig_id', value: signature.id },
    { key: 'signer', value: signature.signer },
    { key: 'sig_key', value: hexLines(signature.keyId) },
    { key: 'sig_hashalgo', value: signature.hashAlgorithm },
    { key: 'signature', value: hexLines(signature.signature) },
  ];
}

/** Behind a key that is too wide the value follows at once, as in the newest kmod; kmod 30 pads by the excess. */
function labelled(key: string, value: string, separator: string): string {
  return `${key}:${' '.repeat(Math.max(0, WIDTH - 1 - Buffer.byteLength(key)))}${value}${separator}`;
}

function bareParameter({ name, description, type }: ModuleParameter): string {
  if (description === undefined) return `${name}: (${type})`;
  return type === undefined ? `${name}:${description}` : `${name}:${description} (${type})`;
}

function labelledParameter(parameter: ModuleParameter): string {
  return parameter.description === undefined ? `${parameter.name}:${parameter.type}` : bareParameter(parameter);
}

/** `15:FD:60`, with a new line and two tabs after each 20 bytes. Signatures are most of what modinfo prints, so it goes by bytes. */
function hexLines(bytes: Uint8Array): string {
  const breaks = Math.max(0, Math.ceil(bytes.length / HEX_LINE) - 1);
  const text = Buffer.alloc(Math.max(0, bytes.length * 3 - 1) + breaks * LINE_BREAK.length);
  let at = 0;
  bytes.forEach((byte, index) => {
    if (index > 0) text[at++] = COLON;
    if (index > 0 && index % HEX_LINE === 0) for (const code of LINE_BREAK) text[at++] = code;
    text[at++] = DIGITS[byte >> 4] ?? 0;
    text[at++] = DIGITS[byte & 15] ?? 0;
  });
  return text.toString('latin1');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
