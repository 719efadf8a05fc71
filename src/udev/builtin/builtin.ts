// The interface of a builtin, and what it is given.

import type { System } from '../../system.ts';
import type { Device } from '../device.ts';

export type BuiltinContext = {
  readonly system: System;
  readonly device: Device;
  /** The properties of the event so far. */
  readonly properties: ReadonlyMap<string, string>;
  readonly action: string;
  readonly signal?: AbortSignal;
  /** Of RUN: the rule that asked. */
  readonly rule?: { readonly file: string; readonly line: number };
  /** A device by its id (`+pci:0000:00:03.0`, `n2`), for `hwdb --device`; absent: none is found. */
  readonly findDevice?: (id: string) => Device | undefined;
};

/**
 * `properties`: in the order in which they are set, to be added to the event; an IMPORT matches. `undefined`: failed, does not match.
 * The reason goes to the log at debug level.
 */
export type BuiltinOutcome = ReadonlyMap<string, string> | undefined;

export interface Builtin {
  readonly name: string;
  /** One line of `udevadm test-builtin --help`. */
  readonly help: string;
  /** Within one event a second IMPORT gets the first one's outcome. */
  readonly runOnce: boolean;
  /** `argv[0]` is the name. Synchronous where nothing blocks: most events run many builtins. */
  run(context: BuiltinContext, argv: readonly string[]): BuiltinOutcome | Promise<BuiltinOutcome>;
}
