// Serves a directory of this machine to a guest by virtiofs: finds and starts virtiofsd.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { findTool } from './host-tool.ts';

/** Where packages put it that do not put it in PATH: QEMU's up to 7.2, which Debian has in qemu-system-common; and virtiofsd's. */
const PLACES = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd', '/usr/lib/virtiofsd'];
/** What both say when their socket is there. */
const READY = 'Waiting for vhost-user socket connection';

/** The path of virtiofsd, or undefined where it is not installed, or where this process is not root, which it wants. */
export function findFileServer(): string | undefined {
  return process.getuid?.() === 0 ? findTool('virtiofsd') ?? PLACES.find((path) => existsSync(path)) : undefined;
}

/** Whether a kernel with this module tree, of which the guest has `modules`, mounts virtiofs. */
export function knowsVirtiofs(tree: string | undefined, modules: 'all' | readonly string[] = 'all'): boolean {
  const names = (list: string): boolean => tree !== undefined && existsSync(join(tree, list)) && /\/virtiofs\.ko/.test(readFileSync(join(tree, list), 'latin1'));
  return names('modules.builtin') || (modules === 'all' ? names('modules.dep') : modules.some((path) => /(?:^|\/)virtiofs\.ko/.test(path)));
}

/** Whether virtiofsd takes a directory of this name: its options are separated by commas. */
export function isServable(directory: string): boolean {
  return !/[,\\]/.test(directory);
}

export type FileServer = {
  /** Where the guest is not started after all: with QEMU's end it ends by itself. */
  stop(): void;
};

/**
 * Starts a virtiofsd for a directory, and waits until QEMU can connect to `socket`. `prefix` is a program before it, with its arguments, that ends it
 * with this process. undefined where it cannot serve here, as in many containers.
 */
export async function startFileServer(program: string, directory: string, socket: string, prefix: readonly string[]): Promise<FileServer | undefined> {
  const [file = program, ...args] = [...prefix, program, `--socket-path=${socket}`, '-o', `source=${directory}`];
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const isReady = await new Promise<boolean>((resolve) => {
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (said.length < 65_536) said += chunk.toString();
      if (said.includes(READY)) resolve(true);
    });
    child.once('error', () => resolve(false));
    child.once('close', () => resolve(false));
  });
  return isReady ? { stop: () => void child.kill('SIGKILL') } : undefined;
}
