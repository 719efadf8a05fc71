import { release } from 'node:os';
import { describe, expect, it } from 'vitest';

import { openSystem } from '../src/system.ts';
import { fixtureRoot } from './fixture-root.ts';

describe('openSystem', () => {
  it('takes the release from the /proc of the machine, and that of this one where that does not say', () => {
    expect(openSystem().release).toBe(release());
    expect(openSystem({ root: fixtureRoot({ 'proc/sys/kernel/osrelease': '6.1.0-x\n' }) }).release).toBe('6.1.0-x');
    expect(openSystem({ root: fixtureRoot({}) }).release).toBe(release());
    expect(openSystem({ root: fixtureRoot({ 'proc/sys/kernel/osrelease': '6.1.0-x\n' }), release: '7' }).release).toBe('7');
  });
});
