// Logs for programs: lines on stderr, or records of the kernel's log.

import { closeSync, constants, openSync, writeSync } from 'node:fs';

import { messageOf } from '../errors.ts';
import type { Log, LogLevel, LogRecord } from '../system.ts';

/** From the gravest to the most talkative. */
export const LOG_LEVELS: readonly LogLevel[] = ['error', 'warn', 'notice', 'info', 'debug'];

/** A record of /dev/kmsg may have 1024 bytes with its prefix (PRINTKRB_RECORD_MAX, kernel/printk/printk.c); more is EINVAL. */
const KMSG_TEXT_MAX = 960;
/** syslog(3): LOG_DAEMON, shifted as in the `<N>` of a record. */
const LOG_DAEMON = 3 << 3;
const PRIORITIES: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, notice: 5, info: 6, debug: 7 };
const LABELS: Readonly<Record<LogLevel, string>> = { error: 'ERROR', warn: 'WARNING', notice: 'NOTICE', info: 'INFO', debug: 'DEBUG' };

/** For `-q`. */
export const silentLog: Log = logOf('error', () => undefined);

export type StderrLogOptions = {
  readonly program: string;
  /** The most talkative level that is printed; a function where it may change. */
  readonly level: LogLevel | (() => LogLevel);
  readonly write: (text: string) => void;
};

/** `PROGRAM: LEVEL: message` lines. */
export function stderrLog({ program, level, write }: StderrLogOptions): Log {
  return logOf(level, (recordLevel, text) => write(`${program}: ${LABELS[recordLevel]}: ${text}\n`));
}

export type KmsgLogOptions = {
  /** The device, `/dev/kmsg` of the root in use. */
  readonly path: string;
  readonly program: string;
  readonly pid: number;
  readonly level: LogLevel | (() => LogLevel);
  /** Where records go when the device does not take them. */
  readonly fallback: Log;
};

/** `<30>PROGRAM[PID]: message` records. */
export function kmsgLog({ path, program, pid, level, fallback }: KmsgLogOptions): Log {
  return logOf(level, (recordLevel, text, record) => {
    const prefix = `<${LOG_DAEMON | PRIORITIES[recordLevel]}>${program}[${pid}]: `;
    try {
      writeRecord(path, Buffer.from(prefix + text).subarray(0, KMSG_TEXT_MAX));
    } catch (error) {
      fallback[recordLevel](record);
      fallback.debug({ code: 'kmsg-failed', message: `${path}: ${messageOf(error)}` });
    }
  });
}

/** The level that a person typed, or undefined: our names, and those of syslog(3) that udev takes. */
export function logLevelOf(text: string): LogLevel | undefined {
  const aliases: Readonly<Record<string, LogLevel>> = { err: 'error', warning: 'warn' };
  return LOG_LEVELS.find((level) => level === text) ?? (Object.hasOwn(aliases, text) ? aliases[text] : undefined);
}

function logOf(level: LogLevel | (() => LogLevel), write: (level: LogLevel, text: string, record: LogRecord) => void): Log {
  const limit = (): number => LOG_LEVELS.indexOf(typeof level === 'function' ? level() : level);
  const at = (recordLevel: LogLevel) => (record: LogRecord): void => {
    // Names of devices are in messages: a newline would make two records, an escape sequence recolour a terminal.
    if (LOG_LEVELS.indexOf(recordLevel) <= limit()) write(recordLevel, record.message.replace(/\p{Cc}/gu, '?'), record);
  };
  return { error: at('error'), warn: at('warn'), notice: at('notice'), info: at('info'), debug: at('debug') };
}

/** One write is one record. No O_CREAT: where there is no such device, no file shall take its place. */
function writeRecord(path: string, record: Uint8Array): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NOCTTY);
  try {
    writeSync(fd, record);
  } finally {
    closeSync(fd);
  }
}
