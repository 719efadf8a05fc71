// Runs one program for a rule: words, no shell, a session of its own, an end in time whatever it does.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

import { messageOf } from '../errors.ts';
import type { Log } from '../system.ts';

/** Bytes of standard output that are kept: udev's buffer, without its NUL. */
export const PROGRAM_OUTPUT_MAX = 16383;
/** Bytes of standard error that are logged. */
export const PROGRAM_STDERR_MAX = 4096;
/** How long the program of an event may run; a third of it brings a warning. */
export const PROGRAM_TIMEOUT_MS = 180_000;
/** What a killed process may take to go: longer means that it hangs in the kernel, and is given up. */
const REAP_MS = 5_000;

export type ProgramOptions = {
  /** All of it: nothing is inherited. */
  readonly environment: ReadonlyMap<string, string>;
  readonly log: Log;
  readonly timeoutMs?: number;
  readonly outputMax?: number;
  readonly signal?: AbortSignal;
  /** It runs, by this number. */
  readonly onStart?: (pid: number) => void;
};

export type ProgramResult = {
  /** The exit status; undefined when it could not be started, was killed, or was given up. */
  readonly status: number | undefined;
  /** Why there is no status. */
  readonly failure?: string;
  /** Up to `outputMax` bytes. */
  readonly stdout: string;
  readonly truncated: boolean;
};

/**
 * `argv[0]` is an absolute path. Never rejects, and does not wait for a grandchild that keeps the pipes open: what the program itself wrote is
 * there when it has ended. On the timeout or an abort the whole process group is killed.
 */
export function runProgramArgv(argv: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const { environment, log, timeoutMs = PROGRAM_TIMEOUT_MS, outputMax = PROGRAM_OUTPUT_MAX, signal, onStart } = options;
  const [file = '', ...args] = argv;
  const failed = (failure: string): ProgramResult => ({ status: undefined, failure, stdout: '', truncated: false });
  if (signal?.aborted) return Promise.resolve(failed('aborted'));
  let child: ChildProcess;
  try {
    // detached: setsid(2), so that its group can be killed as one, and nothing of ours gets its signals.
    child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environmentOf(environment), detached: true, cwd: '/' });
  } catch (error) {
    // A NUL in an argument.
    return Promise.resolve(failed(messageOf(error)));
  }
  if (child.pid !== undefined) onStart?.(child.pid);
  const stdout = collect(child.stdout, outputMax);
  const stderr = collect(child.stderr, PROGRAM_STDERR_MAX);

  return new Promise((resolve) => {
    let killed: string | undefined;
    let reap: ReturnType<typeof setTimeout> | undefined;
    const kill = (reason: string) => {
      if (killed !== undefined) return;
      killed = reason;
      killGroup(child, log);
      reap = setTimeout(() => finish(undefined, `${reason}, and did not end when killed`), REAP_MS);
    };
    const warning = setTimeout(() => log.warn({ code: 'program-slow', message: `'${argv.join(' ')}' (${child.pid}) is taking longer than ${timeoutMs / 3000}s to complete` }), timeoutMs / 3);
    const timer = setTimeout(() => kill(`timed out after ${timeoutMs / 1000}s`), timeoutMs);
    const onAbort = () => kill('aborted');
    signal?.addEventListener('abort', onAbort, { once: true });

    let done = false;
    const finish = (status: number | undefined, failure: string | undefined): void => {
      if (done) return;
      done = true;
      for (const each of [warning, timer, reap]) clearTimeout(each);
      signal?.removeEventListener('abort', onAbort);
      // Somebody else may hold the other ends for ever.
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      logStderr(argv, stderr, log);
      if (stdout.truncated) log.warn({ code: 'program-output', message: `'${argv.join(' ')}' wrote more than ${outputMax} bytes, the rest is dropped` });
      resolve({ status, ...(failure !== undefined && { failure }), stdout: stdout.text(), truncated: stdout.truncated });
    };
    child.on('error', (error) => finish(undefined, messageOf(error)));
    child.on('exit', (status, by) => {
      const failure = killed ?? (by === null ? undefined : `killed by ${by}`);
      const end = () => finish(failure === undefined ? status ?? undefined : undefined, failure);
      // All that it wrote is in the pipes by now; two turns of the loop read them empty. `close` would wait for grandchildren.
      setImmediate(() => setImmediate(end));
    });
  });
}

type Collected = { text(): string; readonly truncated: boolean };

function collect(stream: Readable | null, maximum: number): Collected {
  const chunks: Buffer[] = [];
  let length = 0;
  let truncated = false;
  stream?.on('data', (chunk: Buffer) => {
    const room = maximum - length;
    if (chunk.length > room) truncated = true;
    if (room <= 0) return;
    chunks.push(chunk.subarray(0, room));
    length += Math.min(chunk.length, room);
  });
  // The pipe of a killed program may end in an error; what was read counts.
  stream?.on('error', () => void (truncated ||= false));
  return {
    text() {
      const bytes = Buffer.concat(chunks);
      const nul = bytes.indexOf(0);
      return bytes.toString('utf8', 0, nul < 0 ? bytes.length : nul);
    },
    get truncated() {
      return truncated;
    },
  };
}

function killGroup(child: ChildProcess, log: Log): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // It has ended between the timer and now.
    log.debug({ code: 'kill-failed', message: `cannot kill process group ${child.pid}: ${messageOf(error)}` });
  }
}

function logStderr(argv: readonly string[], stderr: Collected, log: Log): void {
  const lines = stderr.text().split('\n').filter((line) => line !== '');
  for (const line of lines) log.warn({ code: 'program-stderr', message: `'${argv.join(' ')}'(err) '${line}'` });
  if (stderr.truncated) log.warn({ code: 'program-stderr', message: `'${argv.join(' ')}'(err) more than ${PROGRAM_STDERR_MAX} bytes, the rest is dropped` });
}

/** A name with `=` or a NUL, or a value with one, cannot be passed on. */
function environmentOf(environment: ReadonlyMap<string, string>): Record<string, string> {
  const env: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [key, value] of environment) {
    if (key !== '' && !/[=\0]/.test(key) && !value.includes('\0')) env[key] = value;
  }
  return env;
}
