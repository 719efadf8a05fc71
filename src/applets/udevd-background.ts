// tsudevd --daemon: starts ourselves once more, detached, and returns when that one listens.

import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';

import { messageOf } from '../errors.ts';
import type { AppletContext } from './applet.ts';
import type { UdevdCommand } from './udevd-options.ts';

/** Resolves with 0 when the daemon listens: nothing that happens from then on is missed. 1, and a message, when it ended before. */
export function startInBackground(argv: readonly string[], context: AppletContext, { readyFd, logTarget }: UdevdCommand): Promise<number> {
  const listeningFd = readyFd === 3 ? 4 : 3;
  const stdio: ('ignore' | 'pipe' | number)[] = Array.from({ length: Math.max(listeningFd, readyFd ?? 0) + 1 }, () => 'ignore');
  // Whoever waits for the end of our output must not wait for the daemon's.
  if (logTarget === 'stderr') stdio[2] = 2;
  if (readyFd !== undefined) stdio[readyFd] = readyFd;
  stdio[listeningFd] = 'pipe';
  // How we were called, be it by a link or with a word for the applet, up to the applet's own arguments.
  const called = process.argv.slice(1, process.argv.length - argv.length);
  const child = spawn(process.execPath, [...process.execArgv, ...called, `--listening-fd=${listeningFd}`, ...argv], { stdio, detached: true });
  const pipe = child.stdio[listeningFd] as Readable;
  return new Promise((resolve) => {
    const fail = (why: string): void => {
      context.stderr(`${context.program}: ERROR: the daemon ${why}${logTarget === 'kmsg' ? '; the kernel log (dmesg) has its reason' : ''}\n`);
      resolve(1);
    };
    child.on('error', (error) => fail(`cannot be started: ${messageOf(error)}`));
    child.on('exit', (status, signal) => fail(`ended before it listened (${signal ?? `exit code ${status}`})`));
    pipe.on('data', () => {
      child.removeAllListeners('exit');
      child.unref();
      pipe.destroy();
      resolve(0);
    });
    // What its end means, the exit says.
    pipe.on('error', () => undefined);
  });
}

/** Tells who started us in the background. */
export function signalListening(fd: number | undefined): void {
  if (fd === undefined) return;
  writeSync(fd, '\n');
  closeSync(fd);
}
