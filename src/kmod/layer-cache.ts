// Indexes that were computed, kept in a file: for one set of places, until one of these changes.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { temporaryName, writeAll } from './depmod-output.ts';
import type { LayerIndexes } from './layered-source.ts';
import type { ModuleSource } from './module-source.ts';

/** Another one for each change of the format, or of what is computed. */
const MAGIC = 'tsmodprobe indexes 1';
/** The indexes of Debian's largest kernel take 5 MB. */
const MAX_CACHE_SIZE = 1 << 28;
const WRITABLE_BY_OTHERS = 0o022;

type Header = {
  readonly key: readonly string[];
  /** Names and sizes of the indexes that follow. */
  readonly files: readonly (readonly [name: string, size: number])[];
  readonly owners: readonly (readonly [path: string, layer: number])[];
};

/** undefined where there is none, or one that is damaged, old, or of somebody else. */
export function readLayerCache(system: System, layers: readonly ModuleSource[], key: readonly string[]): LayerIndexes | undefined {
  const path = cachePath(system, layers);
  try {
    const fd = openSync(path, 'r');
    try {
      const { uid, mode, size } = fstatSync(fd);
      // What modules root loads is nobody else's to say.
      if (uid !== process.geteuid?.() || (mode & WRITABLE_BY_OTHERS) !== 0 || size > MAX_CACHE_SIZE) return undefined;
      return parseCache(readFileSync(fd), key);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) !== 'ENOENT') system.log.debug({ code: 'no-cache', file: path, message: `could not read ${path}: ${messageOf(error)}` });
    return undefined;
  }
}

/** Goes without where it cannot be written. */
export function writeLayerCache(system: System, layers: readonly ModuleSource[], key: readonly string[], { files, owners }: LayerIndexes): void {
  const path = cachePath(system, layers);
  const header: Header = { key, files: [...files].map(([name, bytes]) => [name, bytes.length]), owners: [...owners] };
  const body = Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...files.values()]);
  const temporary = temporaryName(path);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    try {
      const fd = openSync(temporary, 'w', 0o644);
      try {
        writeAll(fd, Buffer.concat([Buffer.from(`${MAGIC} ${digestOf(body)}\n`), body]));
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'no-cache', file: path, message: `could not write ${path}: ${messageOf(error)}` });
  }
}

function parseCache(bytes: Buffer, key: readonly string[]): LayerIndexes | undefined {
  const head = bytes.indexOf('\n');
  const body = bytes.subarray(head + 1);
  if (head < 0 || bytes.toString('latin1', 0, head) !== `${MAGIC} ${digestOf(body)}`) return undefined;
  const end = body.indexOf('\n');
  // The digest says that it is as we wrote it.
  const header = JSON.parse(body.toString('utf8', 0, end)) as Header;
  if (header.key.join('\0') !== key.join('\0')) return undefined;
  const files = new Map<string, Uint8Array>();
  let at = end + 1;
  for (const [name, size] of header.files) files.set(name, body.subarray(at, at += size));
  return { files, owners: new Map(header.owners) };
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** One file for these places in this order: what is old is replaced, and nothing piles up. */
function cachePath({ env, release }: System, layers: readonly ModuleSource[]): string {
  const places = [release, ...layers.map(({ name }) => resolve(name))].join('\0');
  const base = env['XDG_CACHE_HOME'] ?? '';
  const ofUser = base.startsWith('/') ? base : process.geteuid?.() === 0 ? '/var/cache' : join(homedir(), '.cache');
  return join(ofUser, 'tsmodprobe', `${digestOf(Buffer.from(places)).slice(0, 32)}.indexes`);
}
