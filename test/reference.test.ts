import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { REFERENCE, referenceEntries, referenceText } from '../scripts/reference.mjs';

describe('docs/reference.md', () => {
  it('is what the sources say', () => {
    expect(readFileSync(REFERENCE, 'utf8') === referenceText(), 'npm run reference writes it anew').toBe(true);
  });

  it('says of every function, class and value what it is', () => {
    expect(referenceEntries().filter(({ kind, doc }) => kind === 'value' && doc === '').map(({ name, file }) => `${name} of ${file}`)).toEqual([]);
  });
});
