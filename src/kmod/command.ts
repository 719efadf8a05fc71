// Runs the command of an install or remove line, as modprobe.d(5) defines it.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

import { errnoFailure, failureOf } from './failure.ts';
import type { Attempt } from './goal-run.ts';
import type { ProbeStep } from './probe.ts';

/**
 * The shell runs the text as it stands in the file, `$CMDLINE_OPTS` replaced by the parameters. This is the one place where a
 * shell is right: the format promises it, and the text comes from the administrator.
 */
export function runShellCommand(step: ProbeStep, env: Readonly<Record<string, string | undefined>>): Promise<Attempt> {
  const command = (step.command ?? '').replaceAll('$CMDLINE_OPTS', () => step.params);
  const child = spawn('/bin/sh', ['-c', command], { stdio: 'inherit', env: { ...env, MODPROBE_MODULE: step.module } });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ outcome: 'failed', failure: failureOf(error, command) }));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve({ outcome: 'ran' });
      // As a shell tells a signal.
      const retcode = signal === null ? code : 128 + constants.signals[signal];
      resolve({ outcome: 'failed', failure: { ...errnoFailure('EINVAL', 'sh'), text: `retcode ${retcode}` } });
    });
  });
}
