// What --json prints: one object a line, each with the version of the schema and its kind. docs/json.md describes them all.

/** Raised when a field goes away or changes its meaning; new fields and kinds come without. */
export const JSON_SCHEMA = 1;

export type JsonKind =
  | 'plan' | 'result' | 'alias' | 'config' | 'symbols' | 'insertion' | 'removal' | 'loaded-module' | 'module-info' | 'depmod'
  | 'static-node' | 'lint' | 'diagnosis' | 'helper' | 'probe' | 'check' | 'diff' | 'replay' | 'why' | 'timeline' | 'bundle' | 'bundle-file' | 'verification' | 'extraction'
  | 'initramfs' | 'stage' | 'guest' | 'error';

/** @param end takes the place of the newline: NUL, for `modinfo -0` */
export function jsonLine(kind: JsonKind, value: object, end: '\n' | '\0' = '\n'): string {
  return `${JSON.stringify({ schema: JSON_SCHEMA, kind, ...value })}${end}`;
}
