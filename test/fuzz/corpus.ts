// The inputs that are kept: of each target a directory, in which a crash that was found stays as a test.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { BINARY_TARGETS } from './binary-targets.ts';
import type { FuzzTarget } from './fuzz.ts';
import { TEXT_TARGETS } from './text-targets.ts';

export const TARGETS: Readonly<Record<string, FuzzTarget>> = { ...TEXT_TARGETS, ...BINARY_TARGETS };

export type Kept = { readonly name: string; readonly input: Buffer };

/** The inputs in `directory`/`target`, by name. */
export function keptInputs(directory: string, target: string): readonly Kept[] {
  const inputs = join(directory, target);
  if (!existsSync(inputs)) return [];
  return readdirSync(inputs).sort().map((name) => ({ name, input: readFileSync(join(inputs, name)) }));
}
