// Which rules files a machine has, in which order, and reading them.

import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { devNull } from 'node:os';
import { join } from 'node:path';

import { codeOf, LimitError, messageOf, SystemError } from '../../errors.ts';
import { describeErrno, errnoByName, type System } from '../../system.ts';
import { linkTarget, resolveBelow } from '../below-root.ts';
import { parseNames, STANDARD_GROUPS, STANDARD_USERS } from './names.ts';
import { parseRules, RULES_FILE_MAX } from './parse.ts';
import type { ParseContext } from './parse-context.ts';
import type { RuleFile, RuleProblem, RuleSet } from './rule.ts';

/** Earlier directories shadow later ones, by file name. Source: udev(7); lib is Debian's. */
const RULES_DIRECTORIES = ['etc', 'run', 'usr/local/lib', 'usr/lib', 'lib'];

/** A rules file that has not been read yet. */
export type RulesPath = { readonly name: string; readonly path: string };

export type LoadRulesOptions = ParseContext & {
  /** Read instead of the default directories; earlier ones shadow later ones. */
  readonly directories?: readonly string[];
  /** These files, in this order, in place of directories: by their paths on this machine, whatever the system's roots are. */
  readonly paths?: readonly RulesPath[];
};

export type LoadedRules = {
  readonly rules: RuleSet;
  readonly problems: readonly RuleProblem[];
  /** Changes when a file comes, goes or is written: compare with `rulesSignature`. */
  readonly signature: string;
};

/** The directories that are read by default, whether they exist or not: what a daemon watches. */
export function rulesDirectories({ roots: { config, run } }: System): string[] {
  return RULES_DIRECTORIES.map((directory) => `${directory === 'run' ? run : `${config}/${directory}`}/udev/rules.d`);
}

/** Whether a file of this name in a rules directory is read. */
export function isRulesName(name: string): boolean {
  return name.endsWith('.rules') && !name.startsWith('.');
}

/**
 * The rules files of directories (or the files that `accepts` takes), sorted by name; of two with one name that of the first directory, also
 * where it only masks the other.
 */
export function listRulesFiles(directories: readonly string[], root = '', accepts: (name: string) => boolean = isRulesName): RulesPath[] {
  const files = new Map<string, RulesPath>();
  for (const directory of directories) {
    for (const name of namesIn(resolveBelow(root, directory))) {
      const path = join(directory, name);
      if (accepts(name) && !files.has(name) && !isDirectory(resolveBelow(root, path))) files.set(name, { name, path });
    }
  }
  return [...files.values()].sort(byName);
}

/** In the order of strcmp(3). */
export function byName(a: RulesPath, b: RulesPath): number {
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
}

/**
 * The bytes of a rules file; none where it is empty or a link to /dev/null, which is how a file masks another. Throws SystemError, and
 * LimitError.
 */
export function readRulesFile(path: string, root = ''): Uint8Array {
  if (linkTarget(path) === devNull) return new Uint8Array();
  let fd: number;
  try {
    fd = openSync(resolveBelow(root, path), 'r');
  } catch (error) {
    throw asSystemError(error, 'open', path);
  }
  try {
    // /dev/zero and its like: udev takes all devices for empty.
    return fstatSync(fd).isCharacterDevice() ? new Uint8Array() : readBounded(fd, path);
  } catch (error) {
    throw error instanceof LimitError ? error : asSystemError(error, 'read', path);
  } finally {
    closeSync(fd);
  }
}

/** Reads all rules of the machine. A file that cannot be read is a problem, and the others are read. */
export function loadRules(system: System, options: LoadRulesOptions = {}): LoadedRules {
  const { directories = rulesDirectories(system), paths: chosen, ...given } = options;
  const root = chosen ? '' : system.roots.config;
  const paths = chosen?.filter(({ name }) => isRulesName(name)) ?? listRulesFiles(directories, root);
  const signature = signatureOf(paths, root);
  const context = { ...nameResolvers(system), ...given };
  const files: RuleFile[] = [];
  const problems: RuleProblem[] = [];
  for (const { path } of paths) {
    try {
      const parsed = parseRules(readRegularFile(path, root), path, context);
      problems.push(...parsed.problems);
      if (parsed.rules.lines.length > 0) files.push(parsed.rules);
    } catch (error) {
      if (!(error instanceof SystemError) && !(error instanceof LimitError)) throw error;
      problems.push({ file: path, line: 0, severity: 'error', message: error.message });
    }
  }
  return { rules: { files }, problems, signature };
}

/** Something to compare: the same as long as no rules file of the machine changes. */
export function rulesSignature(system: System, directories: readonly string[] = rulesDirectories(system)): string {
  return signatureOf(listRulesFiles(directories, system.roots.config), system.roots.config);
}

/** Looks names up in passwd(5) and group(5) of the machine, which are read with the first name that is asked for. */
export function nameResolvers({ roots: { config } }: System): Required<Pick<ParseContext, 'resolveUser' | 'resolveGroup'>> {
  let users: ReadonlyMap<string, number> | undefined;
  let groups: ReadonlyMap<string, number> | undefined;
  return {
    resolveUser: (name) => STANDARD_USERS.get(name) ?? (users ??= readNames(`${config}/etc/passwd`, config)).get(name),
    resolveGroup: (name) => STANDARD_GROUPS.get(name) ?? (groups ??= readNames(`${config}/etc/group`, config)).get(name),
  };
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw asSystemError(error, 'opendir', directory);
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** A daemon shall not wait for the writer of a pipe that somebody left in its directory. */
function readRegularFile(path: string, root: string): Uint8Array {
  const stat = statSync(resolveBelow(root, path), { throwIfNoEntry: false });
  if (stat && !stat.isFile() && !stat.isCharacterDevice()) throw new SystemError({ ...describeErrno(EINVAL), errno: EINVAL, syscall: 'read', path });
  return readRulesFile(path, root);
}

const EINVAL = 22;

function readBounded(fd: number, path: string): Uint8Array {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (let size = Math.min(fstatSync(fd).size + 1, RULES_FILE_MAX + 1); ; size = CHUNK) {
    const chunk = Buffer.allocUnsafe(size);
    const length = readSync(fd, chunk);
    if (length === 0) return chunks.length === 1 ? chunks[0] ?? chunk : Buffer.concat(chunks);
    total += length;
    if (total > RULES_FILE_MAX) throw new LimitError({ file: path, limit: 'RULES_FILE_MAX', maximum: RULES_FILE_MAX });
    chunks.push(chunk.subarray(0, length));
  }
}

const CHUNK = 65536;

function readNames(path: string, root: string): ReadonlyMap<string, number> {
  try {
    return parseNames(readFileSync(resolveBelow(root, path), 'utf8'));
  } catch (error) {
    // A machine without accounts has no such file.
    if (codeOf(error) === 'ENOENT') return new Map();
    throw asSystemError(error, 'open', path);
  }
}

/** The same as long as no file comes, goes or is written. */
export function signatureOf(paths: readonly RulesPath[], root: string): string {
  return paths.map(({ path }) => {
    const stat = statSync(resolveBelow(root, path), { bigint: true, throwIfNoEntry: false });
    return stat ? `${path} ${stat.dev}:${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}\n` : `${path}\n`;
  }).join('');
}

function asSystemError(error: unknown, syscall: string, path: string): SystemError {
  if (error instanceof SystemError) return error;
  const code = codeOf(error) ?? 'EIO';
  const errno = errnoByName(code);
  const text = errno === undefined ? messageOf(error) : describeErrno(errno).text;
  return new SystemError({ code, errno: errno ?? 5, syscall, text, path, cause: error });
}
