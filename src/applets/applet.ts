// What an applet is: a name, a line of help, and a function from arguments to an exit code.

import type { System, SystemOptions } from '../system.ts';
import type { OptionSpec } from './getopt.ts';

export type Signal = 'SIGTERM' | 'SIGINT' | 'SIGHUP';

/** A terminal that somebody types at. */
export interface TerminalInput {
  /** Every key as it is typed, Ctrl-C too, until the returned function is called. */
  raw(onKeys: (bytes: Uint8Array) => void): () => void;
  /** Columns and rows of what shows the answers. */
  readonly size: readonly [columns: number, rows: number];
}

/** All that an applet touches of the process it runs in. */
export interface AppletContext {
  /** The name it was called by, as its messages print it. */
  readonly program: string;
  stdout(text: string): void;
  stderr(text: string): void;
  readonly isTty: { readonly stdout: boolean; readonly stderr: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  openSystem(options: SystemOptions): System;
  /** The terminal on standard input; undefined where that is none. */
  terminal(): TerminalInput | undefined;
  /** The recording that stands for the machine, where one does. */
  readonly machine?: string;
  /** Installs handlers; the returned function takes them away again. */
  signals(handlers: Partial<Record<Signal, () => void>>): () => void;
}

export type Applet = {
  readonly name: string;
  readonly summary: string;
  /** What getopt reads of its command line; completions and the checks of its manual page read it, too. */
  readonly options: readonly OptionSpec[];
  /** The applets that its first operand names. */
  readonly subcommands?: readonly Subcommand[];
  /** Resolves with the exit code. Prints its own errors; a UsageError may be thrown and is printed by the caller, exit code 1. */
  run(argv: readonly string[], context: AppletContext): Promise<number>;
};

/** A word of the command line that stands for an applet. It is loaded when it is called. */
export type Subcommand = { readonly name: string; readonly summary: string; readonly load: () => Promise<Applet> };
