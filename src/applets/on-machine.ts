// What check and diff share: a recording and the modules of one or two kernels, opened, closed, and what is wrong with them said.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError, UsageError } from '../errors.ts';
import { placesOf } from '../kmod/tree-source.ts';
import type { KernelFiles } from '../machine/kernel-files.ts';
import { openKernelFiles } from '../machine/kernel-files.ts';
import type { Machine } from '../machine/open-machine.ts';
import type { AppletContext } from './applet.ts';
import { stderrLog } from './log.ts';
import { useMachine } from './machine-option.ts';

/** What was given cannot be looked at. */
const CANNOT_TELL = 2;

export type OnMachine = {
  readonly file: string | undefined;
  /** Images, directories, or releases that this machine has. */
  readonly kernels: readonly string[];
  readonly count: number;
  readonly release: string | undefined;
};

/** The exit code of `use`, or 2. */
export async function onMachine(
  context: AppletContext, { file, kernels, count, release }: OnMachine, use: (machine: Machine, opened: readonly KernelFiles[]) => Promise<number>,
): Promise<number> {
  const { program } = context;
  try {
    if (kernels.length !== count) throw new UsageError(`${program}: ${count === 1 ? 'one image or directory is' : 'two images or directories are'} needed, not ${kernels.length}`);
    if (file === undefined) throw new UsageError(`${program}: --machine is needed: a recording (tskmod record)`);
    const log = stderrLog({ program, level: 'warn', write: (text) => context.stderr(text) });
    const withLog: AppletContext = { ...context, openSystem: (options) => context.openSystem({ log, ...options }) };
    return await useMachine(file, withLog, { modulesOnly: true }, async (machine) => {
      const opened: KernelFiles[] = [];
      try {
        for (const kernel of kernels) opened.push(await openKernelFiles(machine, placeOf(kernel, context), release));
        return await use(machine, opened);
      } finally {
        for (const kernel of opened) await kernel.close();
      }
    });
  } catch (error) {
    const isForeseen = error instanceof UsageError || error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError || codeOf(error) !== undefined;
    if (!isForeseen) throw error;
    context.stderr(`${error instanceof UsageError ? '' : `${program}: `}${messageOf(error)}\n`);
    return CANNOT_TELL;
  }
}

/** A release stands for its tree. */
function placeOf(kernel: string, context: AppletContext): string {
  if (existsSync(kernel) || kernel.includes('/')) return kernel;
  const { modules } = context.openSystem({}).roots;
  return placesOf(kernel).slice(0, -1).map((place) => join(modules || '/', place)).find((place) => existsSync(place)) ?? kernel;
}
