// A running QEMU: its process, its console, the requests of its guest, and how it ended.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { messageOf, UnsupportedError } from '../errors.ts';
import { ControlLineParser, formatAnswer, type GuestRequest } from './control-line.ts';
import { findTool, runTool } from './host-tool.ts';
import { openQmp, type QmpClient, type QmpEvent } from './qmp.ts';

export type VmOutcome = 'exited' | 'timeout' | 'panic' | 'gone';

export type SessionResult = {
  /** The command's own; 124 after the timeout; 125 when the guest was gone before its command ended. */
  readonly exitCode: number;
  readonly outcome: VmOutcome;
  /** What the kernel said when it panicked. */
  readonly panic: string | undefined;
  /** Everything on ttyS0, with plain newlines. */
  readonly console: string;
  /** After a timeout, all tasks of the guest with their stacks, as its kernel shows them for SysRq; '' where it says nothing any more. */
  readonly tasks: string;
  /** `vmctl mark NAME`: milliseconds since QEMU was started. `shell` is when /init was ready. The last of one name counts. */
  readonly marks: ReadonlyMap<string, number>;
  /** `vmctl put FILE`, by base name. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** Requests of the guest that were refused, and what QEMU said. */
  readonly warnings: readonly string[];
  /** From QEMU's start to its end. */
  readonly ms: number;
};

export type SessionOptions = {
  readonly qemu: string;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly outDirectory?: string | undefined;
  /** A guest that powers off or reboots by itself has ended well, with 0. */
  readonly mayPowerOff?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onConsole?: ((text: string) => void) | undefined;
  readonly onConsoleInput?: ((type: (bytes: Uint8Array) => void) => void) | undefined;
  readonly onMark?: ((name: string, ms: number) => void) | undefined;
  readonly onQmpEvent?: ((event: QmpEvent) => void) | undefined;
};

/** The descriptors that QEMU inherits, in the order of its stdio. */
export const DESCRIPTORS = { console: 3, control: 4, qmp: 5 } as const;

export const EXIT_TIMEOUT = 124;
export const EXIT_GUEST_GONE = 125;

/** Of the console; what comes after is only streamed. */
const MAX_CONSOLE = 64 * 1024 * 1024;
const MAX_QEMU_MESSAGES = 64 * 1024;
/** A machine whose guest has said good-bye, or panicked, may take so long to end. */
const GRACE_MS = 10_000;
/** How long a guest that has timed out may take to show its tasks: 200 take one second. */
const TASKS_MS = 5000;
/** Nothing more has come for so long: that was all. */
const TASKS_QUIET_MS = 500;
/** SysRq: everything to the console, then the tasks. */
const SYSRQ_TASKS = ['9', 't'];
const MAX_TASKS = 1024 * 1024;

/** QEMUs that must not outlive this process. */
const live = new Set<ChildProcess>();

/**
 * Starts QEMU; resolves when its machine is made, so that all files in its arguments are open. Throws an UnsupportedError with
 * QEMU's words when it refuses them.
 */
export async function startSession(options: SessionOptions): Promise<Session> {
  options.signal?.throwIfAborted();
  const session = new Session(options, await withParent(options.qemu, options.args));
  await session.ready();
  return session;
}

export class Session {
  readonly pid: number;
  private readonly options: SessionOptions;
  private readonly child: ChildProcess;
  private readonly control: Duplex;
  private readonly monitor: Promise<QmpClient>;
  private readonly ended: Promise<void>;
  private readonly started = performance.now();
  private readonly decoder = new TextDecoder();
  private readonly parser = new ControlLineParser();
  private readonly marks = new Map<string, number>();
  private readonly files = new Map<string, Buffer>();
  private readonly warnings: string[] = [];
  /** Requests that are being answered. */
  private readonly answering = new Set<Promise<void>>();
  private text = '';
  private heldBack = '';
  private messages = '';
  private status: number | undefined;
  private panic: string | undefined;
  private timedOut = false;
  /** Of the console since the timeout. */
  private tasks = '';
  private endedAfter = 0;
  private grace: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions, [file, args]: readonly [string, readonly string[]]) {
    this.options = options;
    this.child = spawnOwned(file, args);
    this.pid = this.child.pid ?? 0;
    this.control = socketOf(this.child, DESCRIPTORS.control);
    const line = socketOf(this.child, DESCRIPTORS.console);
    const type = (bytes: Uint8Array): void => void line.write(bytes);
    options.onConsoleInput?.(type);
    line.on('data', (chunk: Buffer) => this.hear(this.decoder.decode(chunk, { stream: true })));
    this.control.on('data', (chunk: Buffer) => {
      for (const request of this.parser.push(chunk)) this.serve(request);
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.messages = (this.messages + chunk.toString()).slice(-MAX_QEMU_MESSAGES)));
    }
    this.monitor = openQmp(socketOf(this.child, DESCRIPTORS.qmp), { onEvent: options.onQmpEvent });
    // Whoever wants the monitor hears of its failure; a guest that is done needs it no more.
    this.monitor.catch(() => undefined);
    const timer = setTimeout(() => {
      this.timedOut = true;
      void this.showTasks(type).finally(() => this.child.kill('SIGKILL'));
    }, options.timeoutMs);
    const abort = (): void => void this.child.kill('SIGKILL');
    options.signal?.addEventListener('abort', abort);
    this.ended = new Promise<void>((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', () => resolve());
    }).finally(() => {
      clearTimeout(timer);
      clearTimeout(this.grace);
      options.signal?.removeEventListener('abort', abort);
      release(this.child);
      this.endedAfter = Math.round(performance.now() - this.started);
    });
    this.ended.catch(() => undefined);
  }

  /** Resolves when QEMU has made its machine. */
  async ready(): Promise<void> {
    try {
      await this.monitor;
    } catch (error) {
      await this.ended;
      // Killed by us, or quicker than its greeting: wait() tells.
      if (this.timedOut || this.options.signal?.aborted || this.status !== undefined || this.text !== '') return;
      throw new UnsupportedError(this.messages.trim() || `${this.options.qemu}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** The QMP connection of the host. */
  qmp(): Promise<QmpClient> {
    return this.monitor;
  }

  /** Ends the guest now. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** Resolves when QEMU has ended; rejects with the reason of the signal when that ended it, and when a file could not be written. */
  async wait(): Promise<SessionResult> {
    await this.ended;
    await Promise.all(this.answering);
    this.options.signal?.throwIfAborted();
    this.hear(this.decoder.decode(), true);
    const outcome = this.outcome();
    const messages = this.messages.trim();
    return {
      outcome,
      exitCode: outcome === 'exited' ? this.status ?? 0 : outcome === 'timeout' ? EXIT_TIMEOUT : EXIT_GUEST_GONE,
      panic: this.panic,
      console: this.text,
      tasks: this.tasks,
      marks: this.marks,
      files: this.files,
      warnings: messages === '' ? this.warnings : [...this.warnings, ...messages.split('\n')],
      ms: this.endedAfter,
    };
  }

  private outcome(): VmOutcome {
    if (this.status !== undefined) return 'exited';
    if (this.timedOut) return 'timeout';
    if (this.panic !== undefined) return 'panic';
    return this.options.mayPowerOff === true && this.child.exitCode === 0 ? 'exited' : 'gone';
  }

  private hear(chunk: string, last = false): void {
    const all = this.heldBack + chunk;
    // The kernel ends its lines with CR LF; one half of that may be still to come.
    const cut = last || !all.endsWith('\r') ? all.length : all.length - 1;
    this.heldBack = all.slice(cut);
    const text = all.slice(0, cut).replaceAll('\r\n', '\n');
    if (text === '') return;
    if (this.timedOut) {
      if (this.tasks.length < MAX_TASKS) this.tasks += text;
      return;
    }
    if (this.text.length < MAX_CONSOLE) this.text += text;
    this.options.onConsole?.(text);
    if (this.panic === undefined) {
      const recent = this.text.slice(-text.length - 200);
      this.panic = /Kernel panic - not syncing: ([^\n]*)\n/.exec(recent)?.[1];
      if (this.panic !== undefined) this.endSoon();
    }
  }

  /** Has the kernel say what everyone is about. It hears a break on its console whatever else it is stuck in. */
  private async showTasks(type: (bytes: Uint8Array) => void): Promise<void> {
    try {
      const monitor = await this.monitor;
      for (const key of SYSRQ_TASKS) {
        await monitor.execute('chardev-send-break', { id: 'console' });
        type(Buffer.from(key));
        await sleep(TASKS_QUIET_MS);
      }
      for (let [waited, before] = [0, '']; waited < TASKS_MS && before !== this.tasks; waited += TASKS_QUIET_MS) {
        before = this.tasks;
        await sleep(TASKS_QUIET_MS);
      }
    } catch (error) {
      this.warnings.push(`the guest's tasks cannot be shown: ${messageOf(error)}`);
    }
  }

  private serve(request: GuestRequest): void {
    if (request.kind === 'mark') {
      const ms = Math.round(performance.now() - this.started);
      this.marks.set(request.name, ms);
      this.options.onMark?.(request.name, ms);
    } else if (request.kind === 'exit') {
      this.status = request.status;
      // What it printed has arrived before this line: the guest waited for that.
      void this.hmp('quit');
      this.endSoon();
    } else {
      const answer = this.answer(request).finally(() => this.answering.delete(answer));
      this.answering.add(answer);
      // wait() reports it; a guest without its answer would wait for ever.
      answer.catch(() => void this.child.kill('SIGKILL'));
    }
  }

  private async answer(request: Exclude<GuestRequest, { kind: 'mark' | 'exit' }>): Promise<void> {
    if (request.kind === 'refused') {
      this.warnings.push(request.reason);
      if (request.id !== undefined) this.control.write(formatAnswer(request.id, 1, `vmctl: ${request.reason}`));
    } else if (request.kind === 'put') {
      this.files.set(request.name, request.data);
      const { outDirectory } = this.options;
      if (outDirectory !== undefined) {
        await mkdir(outDirectory, { recursive: true });
        await writeFile(join(outDirectory, request.name), request.data);
      }
      this.control.write(formatAnswer(request.id, 0));
    } else {
      const text = await this.hmp(request.command);
      this.control.write(formatAnswer(request.id, text.startsWith('Error:') ? 1 : 0, text));
    }
  }

  private async hmp(command: string): Promise<string> {
    try {
      return await (await this.monitor).hmp(command);
    } catch (error) {
      return `Error: ${messageOf(error)}`;
    }
  }

  private endSoon(): void {
    this.grace ??= setTimeout(() => this.child.kill('SIGKILL'), GRACE_MS);
  }
}

/**
 * The command that starts QEMU so that the kernel kills it when this process dies in whatever way: setpriv(1) of util-linux sets
 * PR_SET_PDEATHSIG, which survives the execve(2). busybox has a setpriv without it; then our exit handler must do.
 */
async function withParent(qemu: string, args: readonly string[]): Promise<readonly [string, readonly string[]]> {
  const [setpriv, ...words] = await parentPrefix();
  return setpriv === undefined ? [qemu, args] : [setpriv, [...words, qemu, ...args]];
}

/** A program with its arguments that runs another and has it end with this process; empty where it is not installed. */
export async function parentPrefix(): Promise<readonly string[]> {
  const setpriv = findTool('setpriv');
  return setpriv !== undefined && (await runTool(setpriv, ['--help'])).stdout.includes('--pdeathsig') ? [setpriv, '--pdeathsig', 'KILL', '--'] : [];
}

function spawnOwned(file: string, args: readonly string[]): ChildProcess {
  const child = spawn(file, [...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'] });
  if (live.size === 0) process.on('exit', killAll);
  live.add(child);
  return child;
}

function release(child: ChildProcess): void {
  live.delete(child);
  if (live.size === 0) process.off('exit', killAll);
}

function killAll(): void {
  for (const child of live) child.kill('SIGKILL');
}

function socketOf(child: ChildProcess, descriptor: number): Duplex {
  const stream = child.stdio[descriptor];
  if (!(stream instanceof Duplex)) throw new UnsupportedError(`descriptor ${descriptor} of QEMU is not a socket`);
  // QEMU may go first; its end is what counts.
  return stream.on('error', () => undefined);
}
