// --machine FILE: a recording in place of this machine, for the applets that look at devices or at what a kernel has loaded.

import { codeOf, LimitError, messageOf, ParseError, UsageError } from '../errors.ts';
import type { Machine, OpenMachineOptions } from '../machine/open-machine.ts';
import type { AppletContext, Signal } from './applet.ts';
import type { OptionSpec } from './getopt.ts';

/** In the tables of the applets that take it. */
export const MACHINE_OPTION: OptionSpec = { long: 'machine', argument: 'required', exact: true };

const SIGNALS: readonly Signal[] = ['SIGHUP', 'SIGINT', 'SIGTERM'];

type Run = (argv: readonly string[], context: AppletContext) => Promise<number>;

export type MachineOptions = {
  /** Modules and modaliases are all that is looked at. */
  readonly modulesOnly?: boolean;
  /** Words of the command line that begin with /sys or /dev are paths of the recorded machine. */
  readonly devicePaths?: boolean;
};

/**
 * Runs an applet on the recording that `--machine FILE` names, and else as it is. Paths are those that the machine had, both ways. Throws
 * UsageError for a file that is no recording.
 */
export async function withMachine(argv: readonly string[], context: AppletContext, run: Run, { modulesOnly = false, devicePaths = false }: MachineOptions = {}): Promise<number> {
  const { file, rest } = takeMachine(argv, context.program);
  if (file === undefined) return run(argv, context);
  return useMachine(file, context, { modulesOnly }, (machine) => {
    const words = devicePaths ? rest.map((word) => word.replace(/^(--?[a-z-]+=)?(?=\/(?:sys|dev)(?:\/|$))/, `$1${machine.root}`)) : rest;
    const own = (text: string): string => text.replaceAll(machine.root, '');
    return run(words, { ...context, machine: file, stdout: (text) => context.stdout(own(text)), stderr: (text) => context.stderr(own(text)), openSystem: machine.openSystem });
  });
}

/** What `use` makes of the machine in a recording, whose directory is gone afterwards, whatever ends it. Throws UsageError for a file that is no recording. */
export async function useMachine<T>(file: string, context: AppletContext, options: Pick<OpenMachineOptions, 'modulesOnly'>, use: (machine: Machine) => Promise<T>): Promise<T> {
  const machine = await openRecording(file, options, context);
  process.on('exit', machine.close);
  const restore = context.signals(Object.fromEntries(SIGNALS.map((signal) => [signal, () => {
    machine.close();
    restore();
    process.kill(process.pid, signal);
  }])));
  try {
    return await use(machine);
  } finally {
    restore();
    process.off('exit', machine.close);
    machine.close();
  }
}

/** Throws UsageError on a recording, for what only a running kernel can do. */
export function requireRunningKernel({ machine, program }: AppletContext, instead: string): void {
  if (machine !== undefined) throw new UsageError(`${program}: ${machine} is a recording, which has no kernel to ask: ${instead}`);
}

/** The option is of ours alone, and is taken out before the applet reads its own. */
function takeMachine(argv: readonly string[], program: string): { readonly file: string | undefined; readonly rest: readonly string[] } {
  const end = argv.indexOf('--');
  const at = argv.findLastIndex((word, index) => (end < 0 || index < end) && (word === '--machine' || word.startsWith('--machine=')));
  if (at < 0) return { file: undefined, rest: argv };
  const isOneWord = argv[at] !== '--machine';
  const file = isOneWord ? argv[at]?.slice('--machine='.length) : argv[at + 1];
  if (file === undefined || file === '') throw new UsageError(`${program}: option '--machine' requires an argument`);
  return { file, rest: argv.toSpliced(at, isOneWord ? 1 : 2) };
}

async function openRecording(file: string, options: Pick<OpenMachineOptions, 'modulesOnly'>, context: AppletContext): Promise<Machine> {
  const { openMachine } = await import('../machine/open-machine.ts');
  try {
    return openMachine(file, { ...options, open: (roots) => context.openSystem(roots) });
  } catch (error) {
    if (!(error instanceof ParseError) && !(error instanceof LimitError) && codeOf(error) === undefined) throw error;
    throw new UsageError(`${context.program}: --machine: ${messageOf(error)}`);
  }
}
