// Programs of this machine: where they are, and what one run of them printed.

import { spawn } from 'node:child_process';
import { accessSync, constants, createWriteStream } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { LimitError, messageOf, UnsupportedError } from '../errors.ts';
import { hostEnvironment } from '../system.ts';

export type ToolResult = { readonly status: number; readonly stdout: string; readonly stderr: string };

export type ToolOptions = {
  readonly cwd?: string | undefined;
  readonly input?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Over those of ours; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
};

/** No tool that is run here prints more; apt-cache prints a few thousand lines. */
const MAX_TOOL_OUTPUT = 64 * 1024 * 1024;

/** Administrators' programs are not in everybody's PATH. */
const MORE_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The path of a program, or undefined where it is not installed. */
export function findTool(name: string): string | undefined {
  for (const directory of [...(hostEnvironment()['PATH'] ?? '').split(delimiter), ...MORE_DIRECTORIES]) {
    const path = join(directory, name);
    if (directory !== '' && isExecutable(path)) return path;
  }
  return undefined;
}

/** The path of a program; throws an UnsupportedError that says which Debian package has it. */
export function requireTool(name: string, debianPackage: string): string {
  const path = findTool(name);
  if (path === undefined) throw new UnsupportedError(`${name} is not installed: run apt-get install ${debianPackage}`);
  return path;
}

/** Runs a program to its end and returns its exit status (128 + n would need a shell; a signal gives -1) and its output. */
export async function runTool(path: string, args: readonly string[], options: ToolOptions = {}): Promise<ToolResult> {
  const child = spawn(path, [...args], {
    cwd: options.cwd,
    signal: options.signal,
    // Messages that are read here must not be translated.
    env: { ...hostEnvironment(), LC_ALL: 'C', ...options.env },
    stdio: [options.input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? -1));
  });
  const output = Promise.all([collect(child.stdout, path), collect(child.stderr, path)]);
  // A program that ends early closes its input; its status tells the rest.
  child.stdin?.on('error', () => undefined).end(options.input);
  const [status, [stdout, stderr]] = await Promise.all([ended, output]);
  return { status, stdout, stderr };
}

/** Runs a filter over `input` into `file`; throws an UnsupportedError with the last thing it said when it fails. */
export async function filterToFile(path: string, args: readonly string[], input: Uint8Array, file: string): Promise<void> {
  const child = spawn(path, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? -1));
  });
  child.stdin.on('error', () => undefined).end(input);
  const [status, stderr] = await Promise.all([ended, collect(child.stderr, path), pipeline(child.stdout, createWriteStream(file))]);
  if (status !== 0) throw new UnsupportedError(`${path} ${args.join(' ')}: ${stderr.trim() || `exit status ${status}`}`);
}

/** The text of a failure: what the program said last, else its status. */
export function failureOf(result: ToolResult): string {
  return result.stderr.trim().split('\n').at(-1) || `exit status ${result.status}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw new UnsupportedError(messageOf(error), { cause: error });
  }
}

async function collect(stream: NodeJS.ReadableStream | null, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream ?? []) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_TOOL_OUTPUT) throw new LimitError({ file: path, limit: 'MAX_TOOL_OUTPUT', maximum: MAX_TOOL_OUTPUT });
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}
