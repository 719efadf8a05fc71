// The QEMU Machine Protocol: a client that executes commands, gets events and speaks the human monitor's language.

import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

import { FormatError, LimitError } from '../errors.ts';

/** QEMU's answer that it did not do what was asked. */
export class QmpError extends Error {
  readonly command: string;
  /** `GenericError`, `CommandNotFound`, `DeviceNotFound`… (qapi/error.json). */
  readonly errorClass: string;

  constructor(command: string, errorClass: string, description: string) {
    super(`${command}: ${description}`);
    this.name = 'QmpError';
    this.command = command;
    this.errorClass = errorClass;
  }
}

export type QmpEvent = { readonly event: string; readonly data: Readonly<Record<string, unknown>> };

/** A connection after its handshake. */
export interface QmpClient {
  /** Resolves with `return` of the answer; rejects with a QmpError for `error`, and when the connection ends first. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** A command of the human monitor; resolves with what it prints. Its errors are text too: they start with `Error:`. */
  hmp(command: string): Promise<string>;
  close(): void;
}

export type QmpOptions = { readonly onEvent?: ((event: QmpEvent) => void) | undefined };

/** query-qmp-schema answers with 200 kB. */
const MAX_QMP_LINE = 16 * 1024 * 1024;
const FILE = 'QMP';

/** Connects to the UNIX socket that `-qmp unix:PATH,server=on` listens on. */
export async function connectQmp(path: string, options: QmpOptions = {}): Promise<QmpClient> {
  return openQmp(connect(path), options);
}

/** Makes the handshake on a stream: waits for the greeting, then negotiates no capabilities (docs/interop/qmp-spec.rst). */
export async function openQmp(stream: Duplex, options: QmpOptions = {}): Promise<QmpClient> {
  const connection = new Connection(stream, options);
  await connection.greeting;
  await connection.execute('qmp_capabilities');
  return connection;
}

type Pending = { readonly command: string; readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void };

class Connection implements QmpClient {
  readonly greeting: Promise<void>;
  private readonly stream: Duplex;
  private readonly options: QmpOptions;
  private readonly pending = new Map<number, Pending>();
  private greeted: { readonly resolve: () => void; readonly reject: (error: Error) => void } = { resolve: () => undefined, reject: () => undefined };
  private rest: Buffer[] = [];
  private restLength = 0;
  private nextId = 1;
  private failure: Error | undefined;

  constructor(stream: Duplex, options: QmpOptions) {
    this.stream = stream;
    this.options = options;
    this.greeting = new Promise((resolve, reject) => (this.greeted = { resolve, reject }));
    stream.on('data', (chunk: Buffer) => this.receive(chunk));
    stream.on('error', (error) => this.fail(error));
    stream.on('close', () => this.fail(new QmpError('connection', 'Closed', 'QEMU closed it')));
  }

  async execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.failure) throw this.failure;
    const id = this.nextId++;
    const line = JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) });
    return new Promise((resolve, reject) => {
      this.pending.set(id, { command, resolve, reject });
      this.stream.write(`${line}\n`);
    });
  }

  async hmp(command: string): Promise<string> {
    const text = await this.execute('human-monitor-command', { 'command-line': command });
    return typeof text === 'string' ? text.replaceAll('\r\n', '\n') : '';
  }

  close(): void {
    this.stream.destroy();
  }

  private receive(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...this.rest, chunk.subarray(start, end)]).toString();
      this.rest = [];
      this.restLength = 0;
      start = end + 1;
      if (line.trim() !== '') this.line(line);
    }
    this.rest.push(chunk.subarray(start));
    this.restLength += chunk.length - start;
    if (this.restLength > MAX_QMP_LINE) this.fail(new LimitError({ file: FILE, limit: 'MAX_QMP_LINE', maximum: MAX_QMP_LINE }));
  }

  private line(line: string): void {
    const message = parseObject(line);
    if (message === undefined) {
      this.fail(new FormatError({ file: FILE, offset: 0, expected: 'an object of JSON', actual: line.slice(0, 100) }));
      return;
    }
    if ('QMP' in message) this.greeted.resolve();
    else if (typeof message['event'] === 'string') this.options.onEvent?.({ event: message['event'], data: asObject(message['data']) ?? {} });
    else this.answer(message);
  }

  private answer(message: Readonly<Record<string, unknown>>): void {
    const { id } = message;
    const waiting = typeof id === 'number' ? this.pending.get(id) : undefined;
    if (typeof id !== 'number' || !waiting) return;
    this.pending.delete(id);
    const error = asObject(message['error']);
    if (error) waiting.reject(new QmpError(waiting.command, String(error['class']), String(error['desc'])));
    else waiting.resolve(message['return']);
  }

  private fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.stream.destroy();
    this.greeted.reject(error);
    for (const { reject } of this.pending.values()) reject(error);
    this.pending.clear();
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}
