// Where a tool of kmod says what went wrong: on stderr, or in the system's log (-s, and where there is no stderr).

import { fstatSync, readFileSync } from 'node:fs';

import { codeOf, UnsupportedError } from '../errors.ts';
import { errnoText, type Native, type System } from '../system.ts';
import type { AppletContext } from './applet.ts';

/** syslog.h. */
const LOG_DAEMON = 3 << 3;
const LOG_CRIT = 2;
const LOG_ERR = 3;
const PRIORITIES: Readonly<Record<string, number>> = { FATAL: LOG_CRIT, ERROR: LOG_ERR, WARNING: 4, NOTICE: 5, INFO: 6, DEBUG: 7 };

const STDERR = 2;
/** Character device 1:3, Documentation/admin-guide/devices.txt. */
const NULL_DEVICE = (1 << 8) | 3;

/** fcntl.h. */
const O_ACCMODE = 3;
const O_RDWR = 2;

/** Receivers of the old protocol cut at 1024 bytes (RFC 3164); journald and rsyslog take more, no datagram is endless. */
const MAX_TEXT = 8192;

/**
 * The function that lines `PROGRAM: LEVEL: text` are to be written with: to syslog when `wanted`, or when the program was started
 * without a stderr, as the kernel starts modprobe; else to stderr.
 */
export async function messageWriter(context: AppletContext, system: System, wanted: boolean): Promise<(line: string) => void> {
  const toStderr = (line: string): void => context.stderr(line);
  return wanted || stderrIsMissing(system) ? syslogWriter(context.program, system, toStderr) : toStderr;
}

/** Each line becomes a datagram for /dev/log, facility LOG_DAEMON; where that cannot be sent, `fallback` gets the line. */
async function syslogWriter(program: string, system: System, fallback: (line: string) => void): Promise<(line: string) => void> {
  const socket = `${system.roots.dev}/log`;
  const native = await nativeOf(system);
  if (!native) return fallback;
  return (line) => {
    const text = line.startsWith(`${program}: `) ? line.slice(program.length + 2) : line;
    const level = /^([A-Z]+): /.exec(text)?.[1] ?? '';
    // Without a time: the receiver knows it as well, and the format has no year and no zone.
    const record = `<${LOG_DAEMON | (PRIORITIES[level] ?? LOG_ERR)}>${program}: ${text.trimEnd().slice(0, MAX_TEXT)}`;
    const errno = native.sendUnixDatagram(socket, Buffer.from(record));
    if (errno === 0) return;
    fallback(line);
    system.log.debug({ code: 'no-syslog', message: `${socket}: ${errnoText(errno)}` });
  };
}

async function nativeOf(system: System): Promise<Native | undefined> {
  try {
    return await system.native();
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    system.log.debug({ code: 'no-syslog', message: error.message });
    return undefined;
  }
}

/**
 * Node opens /dev/null, for reading and writing, in the place of a descriptor that it does not get: a shell that is told
 * `2>/dev/null` opens it for writing only, so the two can be told apart.
 */
function stderrIsMissing(system: System): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`${system.roots.proc}/self/fdinfo/2`, 'latin1'))?.[1];
    if (flags === undefined || (Number.parseInt(flags, 8) & O_ACCMODE) !== O_RDWR) return false;
    const { rdev } = fstatSync(STDERR);
    return rdev === NULL_DEVICE;
  } catch (error) {
    // Another root has no processes, and then stderr is what it always was.
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}
