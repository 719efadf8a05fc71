// The host of rules on a System: its files, its users, its programs, and what is kept of them from event to event.

import { accessSync, closeSync, constants, opendirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../../errors.ts';
import type { System } from '../../system.ts';
import type { Builtin } from '../builtin/builtin.ts';
import type { Device } from '../device.ts';
import { deviceById, deviceBySubsystem } from '../device-lookup.ts';
import { runProgramArgv } from '../program.ts';
import type { ProgramResult } from '../program.ts';
import { splitCommand } from '../program-words.ts';
import type { DeviceRecord } from '../record.ts';
import { isSafeName } from '../sysfs-attribute.ts';
import { architecture, virtualization } from '../virtualization.ts';
import type { RulesHost } from './host.ts';
import { nameResolvers } from './rule-files.ts';

/** Files of IMPORT{file} are small; what is larger is something else. */
const IMPORT_FILE_MAX = 1 << 20;
/** Directories in which programs with a relative name are. */
const PROGRAM_DIRECTORIES = ['usr/lib/udev', 'lib/udev'];

export type SystemHostOptions = {
  readonly globals?: ReadonlyMap<string, string>;
  /** The database; without it no device has a record. */
  readonly record?: (device: Device) => DeviceRecord | undefined;
  readonly builtin?: (name: string) => Builtin | undefined;
  readonly timeoutMs?: number;
  /** Programs and writes are what a test must not do: `writes: false` says that they went well. */
  readonly writes?: boolean;
  readonly signal?: AbortSignal;
  /** A program of a rule has started. */
  readonly onProgram?: (pid: number) => void;
};

/** Users, groups, the command line and the constants are read once. */
export function systemRulesHost(system: System, options: SystemHostOptions = {}): RulesHost {
  const { roots, log } = system;
  const { writes = true, record = () => undefined, builtin = () => undefined, globals = new Map() } = options;
  const { resolveUser, resolveGroup } = nameResolvers(system);
  const cmdline = once(() => readOptional(join(roots.proc, 'cmdline'))?.trimEnd() ?? '');
  const virt = once(() => virtualization(system));
  const unknown = new Set<string>();
  const write = (path: string, value: string) => (writes ? writeValue(path, value) : undefined);
  const sysctlPath = (name: string) => {
    const below = sysctlName(name);
    return isSafeName(below) ? join(roots.proc, 'sys', below) : undefined;
  };
  return {
    system, log, globals, record, cmdline,
    roots: { sys: roots.sys, dev: roots.dev },
    runProgram: (command, environment) => runCommand(system, command, environment, options),
    builtin(name) {
      const found = builtin(name);
      if (!found && !unknown.has(name)) {
        unknown.add(name);
        log.warn({ code: 'no-builtin', message: `there is no builtin '${name}' here: rules that import from it do not match` });
      }
      return found;
    },
    deviceOf: (id) => deviceById(system, id),
    lookup: (subsystem, sysname) => deviceBySubsystem(system, subsystem, sysname),
    userId: resolveUser,
    groupId: resolveGroup,
    constant: (name) => (name === 'arch' ? architecture() : name === 'virt' ? virt() : undefined),
    readText: (path) => readOptional(path),
    modeOf: modeOf,
    namesIn: namesIn,
    readSysctl(name) {
      const path = sysctlPath(name);
      return path === undefined ? undefined : readOptional(path)?.replace(/\n+$/, '');
    },
    writeAttribute: write,
    writeSysctl(name, value) {
      const path = sysctlPath(name);
      return path === undefined ? 'no such name' : write(path, `${value}\n`);
    },
  };
}

async function runCommand(system: System, command: string, environment: ReadonlyMap<string, string>, { timeoutMs, signal, onProgram }: SystemHostOptions): Promise<ProgramResult> {
  const [name = '', ...args] = splitCommand(command);
  const file = programPath(system, name);
  if (file === undefined) {
    system.log.debug({ code: 'no-program', message: `'${command}': there is no ${name} in ${PROGRAM_DIRECTORIES.join(' or ')}` });
    return { status: undefined, failure: 'not found', stdout: '', truncated: false };
  }
  const result = await runProgramArgv([file, ...args], {
    environment, log: system.log, ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }), ...(onProgram && { onStart: onProgram }),
  });
  if (result.failure !== undefined) system.log.warn({ code: 'program-failed', message: `Process '${command}' ${result.failure}.` });
  return result;
}

/** Relative names are of udev's own directory, never of a PATH. */
export function programPath({ roots }: System, name: string): string | undefined {
  if (name.startsWith('/')) return isExecutable(name) ? name : undefined;
  if (!isSafeName(name)) return undefined;
  return PROGRAM_DIRECTORIES.map((directory) => join(roots.config, '/', directory, name)).find(isExecutable);
}

/** `net.ipv4.ip_forward` and `net/ipv4/ip_forward`: where the first of the two separators is a slash, dots are dots (sysctl.d(5)). */
function sysctlName(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== '.') return name;
  return name.replace(/[./]/g, (ch) => (ch === '.' ? '/' : '.'));
}

/** One write, as the kernel wants it; no O_TRUNC, no O_CREAT. */
function writeValue(path: string, value: string): string | undefined {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function modeOf(path: string): number | undefined {
  return unlessMissing(() => statSync(path, { throwIfNoEntry: false })?.mode);
}

/** In the order of the directory, as udev takes them: which of several fits first is the same then. (readdirSync sorts.) */
function namesIn(path: string): readonly string[] {
  return unlessMissing(() => {
    const directory = opendirSync(path);
    try {
      const names: string[] = [];
      for (let entry = directory.readSync(); entry; entry = directory.readSync()) names.push(entry.name);
      return names;
    } finally {
      directory.closeSync();
    }
  }) ?? [];
}

function readOptional(path: string): string | undefined {
  return unlessMissing(() => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat?.isFile() && stat.size <= IMPORT_FILE_MAX ? readFileSync(path, 'utf8') : undefined;
  });
}

function isExecutable(path: string): boolean {
  return unlessMissing(() => {
    accessSync(path, constants.X_OK);
    return true;
  }) ?? false;
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
