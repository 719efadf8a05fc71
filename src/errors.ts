// The errors of tsmodprobe: one class for each way in which a request cannot be answered.

/** A system call or file operation that failed. Has the shape of Node's own errors: `err.code === 'ENOENT'` works. */
export class SystemError extends Error {
  /** Symbolic name, such as `EKEYREJECTED`; `E<number>` where the table has no name. */
  readonly code: string;
  /** The positive errno value. */
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(options: { code: string; errno: number; syscall: string; text: string; path?: string | undefined; cause?: unknown }) {
    const { code, errno, syscall, text, path } = options;
    super(`${syscall}${path === undefined ? '' : ` ${path}`}: ${text} (${code})`, { cause: options.cause });
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** A text that cannot be read. `line` and `column` count from 1. */
export class ParseError extends Error {
  readonly file: string;
  readonly line: number;
  readonly column: number | undefined;

  constructor(options: { file: string; line: number; column?: number; message: string }) {
    const { file, line, column, message } = options;
    super(`${file}:${line}${column === undefined ? '' : `:${column}`}: ${message}`);
    this.name = 'ParseError';
    this.file = file;
    this.line = line;
    this.column = column;
  }
}

/** Binary data that cannot be read. `offset` counts bytes from the start of `file`. */
export class FormatError extends Error {
  readonly file: string;
  readonly offset: number;
  readonly expected: string;
  readonly actual: string;

  constructor(options: { file: string; offset: number; expected: string; actual: string }) {
    const { file, offset, expected, actual } = options;
    super(`${file}: at offset ${offset}: expected ${expected}, found ${actual}`);
    this.name = 'FormatError';
    this.file = file;
    this.offset = offset;
    this.expected = expected;
    this.actual = actual;
  }
}

/** Data that is well-formed as far as it was read, but exceeds a named limit of ours. */
export class LimitError extends Error {
  readonly file: string;
  readonly limit: string;
  readonly maximum: number;

  constructor(options: { file: string; limit: string; maximum: number; actual?: number | string }) {
    const { file, limit, maximum, actual } = options;
    super(`${file}: ${actual === undefined ? 'more than' : `${actual} exceeds`} ${limit} (${maximum})`);
    this.name = 'LimitError';
    this.file = file;
    this.limit = limit;
    this.maximum = maximum;
  }
}

/** Something that this build, machine or Node cannot do; the message says what to install or do instead. */
export class UnsupportedError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'UnsupportedError';
  }
}

/** A command line that cannot be understood. The applet prints it and exits with its usage status. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** The text of any thrown value, for a message of our own. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node or tsmodprobe error, or undefined. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
