// What rules ask of the machine while they are applied, and what they do to it: the seam below the evaluator.

import type { Log, Roots, System } from '../../system.ts';
import type { Builtin } from '../builtin/builtin.ts';
import type { Device } from '../device.ts';
import type { ProgramResult } from '../program.ts';
import type { DeviceRecord } from '../record.ts';

/**
 * Of one machine, for many events. All paths are as the rules name them, and of the machine that is meant: a host of a captured machine
 * looks below its own directory.
 */
export interface RulesHost {
  readonly system: System;
  readonly roots: Pick<Roots, 'sys' | 'dev'>;
  readonly log: Log;
  /** What `udevadm control --property` set: ENV matches look there when the device has no such property. */
  readonly globals: ReadonlyMap<string, string>;
  /** Of PROGRAM and IMPORT{program}. The command is substituted, and still one text. Never rejects. */
  runProgram(command: string, environment: ReadonlyMap<string, string>): ProgramResult | Promise<ProgramResult>;
  builtin(name: string): Builtin | undefined;
  /** `[subsystem/sysname]`. */
  lookup(subsystem: string, sysname: string): Device | undefined;
  /** By its id (`deviceId`). */
  readonly deviceOf: (id: string) => Device | undefined;
  /** The database's record of another device than the one of the event. */
  record(device: Device): DeviceRecord | undefined;
  userId(name: string): number | undefined;
  groupId(name: string): number | undefined;
  /** The kernel's command line. */
  cmdline(): string;
  /** CONST: `arch`, `virt`. */
  constant(name: string): string | undefined;
  /** The text of a file; undefined where there is none. */
  readText(path: string): string | undefined;
  /** st_mode of what is there, links followed. */
  modeOf(path: string): number | undefined;
  /** The names in a directory, none where it cannot be read. */
  namesIn(path: string): readonly string[];
  readSysctl(name: string): string | undefined;
  /** Why it could not be written, or undefined. */
  writeAttribute(path: string, value: string): string | undefined;
  writeSysctl(name: string, value: string): string | undefined;
}
