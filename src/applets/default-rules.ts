// Where our own rules are, for a machine that has none.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Our own rules: beside the executable, or above it in the package. */
export function defaultRulesDirectory(): string | undefined {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (let level = 0; level < 4; level++, directory = dirname(directory)) {
    const rules = join(directory, 'rules');
    if (existsSync(join(rules, '80-modules.rules'))) return rules;
  }
  return undefined;
}
