// Roots that look like /, made in a temporary directory from plain objects.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

import type { Log, LogLevel, LogRecord } from '../src/system.ts';

/** Writes files below a new directory, which goes away when the test ends. Returns the directory. */
export function fixtureRoot(files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

export type RecordingLog = Log & {
  readonly records: readonly { readonly level: LogLevel; readonly code: string; readonly message: string }[];
  /** The same, as `level code: message`. */
  readonly lines: readonly string[];
};

/** A log that keeps what is said. */
export function recordingLog(): RecordingLog {
  const records: { level: LogLevel; code: string; message: string }[] = [];
  const lines: string[] = [];
  const at = (level: LogLevel) => ({ code, message }: LogRecord) => {
    records.push({ level, code, message });
    lines.push(`${level} ${code}: ${message}`);
  };
  return { error: at('error'), warn: at('warn'), notice: at('notice'), info: at('info'), debug: at('debug'), records, lines };
}
