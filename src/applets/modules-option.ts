// --modules PATH: where the modules are, for the tools that look them up by name.

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError, UsageError } from '../errors.ts';
import { openModules } from '../kmod/find-modules.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import type { System } from '../system.ts';
import type { OptionSpec } from './getopt.ts';

export const MODULES_OPTION: OptionSpec = { long: 'modules', argument: 'required', exact: true };

/** The values of --modules, in order; undefined where it was not given. */
export function modulesIn(options: readonly { readonly name: string; readonly value: string }[]): readonly string[] | undefined {
  const places = options.filter(({ name }) => name === 'modules').map(({ value }) => value);
  return places.length === 0 ? undefined : places;
}

/** The modules there, or where they are by default. Throws UsageError where nothing can be read there. */
export async function modulesAt(system: System, places: readonly string[] | undefined, program: string): Promise<ModuleSource> {
  try {
    return await openModules(system, places);
  } catch (error) {
    const foreseen = error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError || codeOf(error) !== undefined;
    if (!foreseen) throw error;
    throw new UsageError(`${program}: ERROR: ${messageOf(error)}`);
  }
}
