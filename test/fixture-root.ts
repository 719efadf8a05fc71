// Roots that look like /, made in a temporary directory from plain objects.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

import type { Log, LogRecord } from '../src/system.ts';

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

/** A log that keeps what is said, as `level code: message`. */
export function recordingLog(): Log & { readonly lines: readonly string[] } {
  const lines: string[] = [];
  const at = (level: string) => ({ code, message }: LogRecord) => void lines.push(`${level} ${code}: ${message}`);
  return { error: at('error'), warn: at('warn'), notice: at('notice'), info: at('info'), debug: at('debug'), lines };
}
