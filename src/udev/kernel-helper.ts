// kernel.modprobe: which program the kernel runs for request_module(), and how that becomes ours and is set back.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, UsageError } from '../errors.ts';
import type { System } from '../system.ts';
import { removeFile, replaceFile } from './atomic-file.ts';

/** KMOD_PATH_LEN with its NUL: linux/kmod.h. */
const PATH_MAX = 255;
/** Bytes and words of helper.conf: native-bindings/modprobe-helper.c. */
const CONF_MAX = 4095;
const WORDS_MAX = 8;
/** What the kernel runs where nobody said anything: CONFIG_MODPROBE_PATH of all distributions that we know. */
const KERNELS_OWN = '/sbin/modprobe';
/** More than the helper's own limits together, for `--ping`. */
const PING_MS = 10_000;
/** Exit statuses of `HELPER --ping`. */
const PING_ANSWERED = 0;
const PING_NO_DAEMON = 3;

/** What a helper says to --ping; `fails` where it cannot be run, or is another program. */
export type HelperAnswer = 'daemon' | 'no-daemon' | 'fails';

export type HelperStatus = {
  /** What kernel.modprobe says; '' where the kernel asks nobody. */
  readonly program: string;
  readonly isOurs: boolean;
  /** Of ours only. */
  readonly answer?: HelperAnswer;
  /** What it runs where the daemon does not answer. */
  readonly command: readonly string[];
  /** What `remove` sets back. */
  readonly previous?: string;
  /** The file that sets it at boot, where it is there. */
  readonly sysctlFile?: string;
};

export type HelperInstallation = {
  /** The compiled helper; undefined where there is none for this machine: a script runs `command` then. */
  readonly program: string | undefined;
  /** Node, the CLI and `modprobe`, with absolute paths. */
  readonly command: readonly string[];
};

function paths({ roots: { config, proc } }: System) {
  const directory = join(config || '/', 'etc/tsmodprobe');
  return {
    kernel: join(proc, 'sys/kernel/modprobe'),
    conf: join(directory, 'helper.conf'),
    script: join(directory, 'helper.sh'),
    previous: join(directory, 'helper.previous'),
    sysctl: join(config || '/', 'etc/sysctl.d/60-tsmodprobe.conf'),
  };
}

/** Returns the path that the kernel runs from now on. Throws UsageError for a path that the kernel cannot take, and Node's errors. */
export function installHelper(system: System, { program, command }: HelperInstallation): string {
  const { kernel, conf, script, previous, sysctl } = paths(system);
  const text = command.map((word) => `${word}\n`).join('');
  const [first = ''] = command;
  if (!first.startsWith('/') || command.length > WORDS_MAX || Buffer.byteLength(text) > CONF_MAX || command.some((word) => word === '' || word.includes('\n'))) {
    throw new UsageError(`the helper cannot run '${command.join(' ')}': at most ${WORDS_MAX} words, the first an absolute path, none with a line break`);
  }
  const path = program ?? script;
  if (Buffer.byteLength(path) > PATH_MAX || /\s/.test(path)) {
    throw new UsageError(`the kernel cannot run '${path}': it takes at most ${PATH_MAX} bytes without blanks; install the package elsewhere`);
  }
  const before = readOr(kernel, '');
  const wasOurs = before === path || before === ownProgram(system);
  replaceFile(conf, text, 0o644);
  if (!wasOurs) replaceFile(previous, `${before}\n`, 0o644);
  if (program === undefined) replaceFile(script, scriptText(command), 0o755);
  else removeFile(script);
  replaceFile(sysctl, `# tskmod helper install: the program that the kernel runs when it wants a module.\nkernel.modprobe = ${path}\n`, 0o644);
  writeFileSync(kernel, `${path}\n`);
  return path;
}

/** Returns what the kernel runs from now on, and whether that was ours before. */
export function removeHelper(system: System): { readonly program: string; readonly wasOurs: boolean } {
  const { kernel, conf, script, previous, sysctl } = paths(system);
  const before = readOr(kernel, '');
  const own = ownProgram(system);
  const wasOurs = own !== undefined && before === own;
  const after = wasOurs ? readOr(previous, KERNELS_OWN) : before;
  // The kernel first: it must not run what is not there.
  if (wasOurs) writeFileSync(kernel, `${after}\n`);
  for (const path of [sysctl, previous, conf, script]) removeFile(path);
  return { program: after, wasOurs };
}

export function helperStatus(system: System): HelperStatus {
  const { kernel, conf, previous, sysctl } = paths(system);
  const program = readOr(kernel, '');
  const own = ownProgram(system);
  const isOurs = own !== undefined && program === own;
  const old = readOr(previous, undefined);
  return {
    program,
    isOurs,
    ...(isOurs ? { answer: askHelper(program) } : {}),
    command: readOr(conf, '').split('\n').filter(Boolean),
    ...(old === undefined ? {} : { previous: old }),
    ...(own === undefined ? {} : { sysctlFile: sysctl }),
  };
}

/** Runs `PROGRAM --ping`. */
export function askHelper(program: string): HelperAnswer {
  const { status } = spawnSync(program, ['--ping'], { stdio: 'ignore', timeout: PING_MS });
  return status === PING_ANSWERED ? 'daemon' : status === PING_NO_DAEMON ? 'no-daemon' : 'fails';
}

/** What the sysctl file of `install` names. */
function ownProgram(system: System): string | undefined {
  return /^kernel\.modprobe = (.*)$/m.exec(readOr(paths(system).sysctl, ''))?.[1];
}

/** For machines without the compiled helper. The kernel opens no descriptors for it. */
function scriptText(command: readonly string[]): string {
  const words = command.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
  return `#!/bin/sh
# tskmod helper install: no compiled helper runs on this machine.
[ "$1" = --ping ] && exit ${PING_NO_DAEMON}
exec < /dev/null > /dev/null 2>&1
exec ${words} "$@"
`;
}

function readOr<T>(path: string, absent: T): string | T {
  try {
    return readFileSync(path, 'utf8').replace(/\n$/, '');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return absent;
    throw error;
  }
}
