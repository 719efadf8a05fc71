// --select and --machine: which modules belong into an initramfs or a bundle.

import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { LimitError, messageOf, ParseError, UsageError } from '../errors.ts';
import { readMachine } from '../kmod/select-reader.ts';
import type { NeedyMachine } from '../kmod/select.ts';
import { machineNeeds } from '../machine/open-machine.ts';
import type { OptionSpec, ParsedOption } from './getopt.ts';

export const SELECT_OPTIONS: readonly OptionSpec[] = [{ long: 'select', argument: 'required' }, { long: 'machine', argument: 'required' }];

/** The patterns as they were typed, and the devices of machines. Throws UsageError for a machine that is none. */
export function selectionIn(options: readonly ParsedOption[]): { readonly select: readonly string[]; readonly machines: readonly NeedyMachine[] } {
  const all = (name: string): string[] => options.filter((option) => option.name === name).map(({ value }) => value);
  return { select: all('select'), machines: all('machine').map(machineAt) };
}

/** A recording, or a directory with a copy of /sys. */
function machineAt(directory: string): NeedyMachine {
  if (statSync(directory, { throwIfNoEntry: false })?.isFile()) {
    try {
      return machineNeeds(directory);
    } catch (error) {
      if (!(error instanceof ParseError) && !(error instanceof LimitError)) throw error;
      throw new UsageError(`--machine ${messageOf(error)}`);
    }
  }
  if (!existsSync(join(directory, 'sys'))) throw new UsageError(`--machine ${directory}: no sys below it`);
  return readMachine(directory);
}
