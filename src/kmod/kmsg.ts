// The kernel's own words: records of /dev/kmsg, and those that appeared while something was tried.

import { closeSync, openSync, readSync, constants } from 'node:fs';

import { codeOf } from '../errors.ts';
import { errnoText, type System } from '../system.ts';

/** Records are at most this long (PRINTK_MESSAGE_MAX and prefix). Source: Documentation/ABI/testing/dev-kmsg. */
const RECORD_SIZE = 8192;
/** Lines kept, and records looked at in one go. */
const MAX_LINES = 16;
const MAX_RECORDS = 1024;
/** Of a whole log; the largest buffers have some hundred thousand. */
const LOG_RECORDS_MAX = 1 << 19;
const LOG_KERN = 0;

export type KmsgRecord = { readonly level: number; readonly facility: number; readonly seq: number; readonly text: string };

/** `PRIORITY,SEQ,TIMESTAMP,FLAGS[,…];TEXT`, then ` KEY=VALUE` lines, which are dropped. Undefined for anything else. */
export function parseKmsgRecord(record: string): KmsgRecord | undefined {
  const match = /^(\d+),(\d+),\d+,[^;]*;([^\n]*)/.exec(record);
  if (!match) return undefined;
  const priority = Number(match[1]);
  // Bytes that are not printable come as \xNN.
  const text = (match[3] ?? '').replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return { level: priority & 7, facility: priority >> 3, seq: Number(match[2]), text };
}

/** The end of the kernel's log: lines are kept from the opening on, so that each user can ask what came since its own mark. */
export class KmsgTail {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(RECORD_SIZE);
  #recent: string[] = [];
  /** Lines seen so far; the last of them are in `#recent`. */
  #seen = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined where the log cannot be read, with the reason logged for debugging. */
  static async open(system: System): Promise<KmsgTail | undefined> {
    const path = `${system.roots.dev}/kmsg`;
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      system.log.debug({ code: 'no-kmsg', message: `could not open ${path}: ${codeOf(error)}` });
      return undefined;
    }
    const errno = (await system.native()).seekEnd(fd);
    if (errno === 0) return new KmsgTail(fd);
    closeSync(fd);
    system.log.debug({ code: 'no-kmsg', message: `could not seek in ${path}: ${errnoText(errno)}` });
    return undefined;
  }

  /** A mark at the present end, for `since`. */
  mark(): number {
    this.#drain();
    return this.#seen;
  }

  /** The kernel's lines since a mark, oldest first; the newest MAX_LINES of them. */
  since(mark: number): string[] {
    this.#drain();
    const count = Math.min(this.#recent.length, this.#seen - mark);
    return this.#recent.slice(this.#recent.length - count);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #drain(): void {
    for (let i = 0; i < MAX_RECORDS; i++) {
      const record = nextRecord(this.#fd, this.#buffer);
      if (record === 'end') return;
      const parsed = record === undefined ? undefined : parseKmsgRecord(record);
      if (parsed?.facility !== LOG_KERN) continue;
      this.#recent = [...this.#recent.slice(1 - MAX_LINES), parsed.text];
      this.#seen++;
    }
  }
}

/** The kernel's own lines since its start, oldest first, as far as its buffer has them. Empty, with a debug record, where they may not be read. */
export function readKernelLog(system: System): string[] {
  const path = `${system.roots.dev}/kmsg`;
  const lines: string[] = [];
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const buffer = Buffer.alloc(RECORD_SIZE);
      for (let i = 0; i < LOG_RECORDS_MAX; i++) {
        const record = nextRecord(fd, buffer);
        if (record === 'end') break;
        const parsed = record === undefined ? undefined : parseKmsgRecord(record);
        if (parsed?.facility === LOG_KERN) lines.push(parsed.text);
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'no-kmsg', message: `could not read ${path}: ${codeOf(error)}` });
  }
  return lines;
}

function nextRecord(fd: number, buffer: Buffer): string | undefined | 'end' {
  try {
    const size = readSync(fd, buffer);
    return size === 0 ? 'end' : buffer.toString('utf8', 0, size);
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return 'end';
    // EPIPE: records were overwritten before they were read; the next read goes on behind the gap.
    if (codeOf(error) === 'EPIPE') return undefined;
    throw error;
  }
}
