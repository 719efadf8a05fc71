// The progress line of a terminal.

import { describe, expect, it } from 'vitest';

import { openProgress } from '../../src/applets/progress.ts';

function record(enabled: boolean) {
  const writes: string[] = [];
  return { writes, progress: openProgress((text) => writes.push(text), { enabled }) };
}

describe('openProgress', () => {
  it('replaces its line, makes way for others, and leaves nothing behind', () => {
    const { writes, progress } = record(true);
    progress.show('12 devices');
    progress.show('12 devices');
    progress.show('3 devices');
    progress.print('a line\n');
    progress.clear();
    progress.clear();
    expect(writes).toEqual(['\r12 devices', '\r3 devices ', '\r         \ra line\n3 devices', '\r         \r']);
  });

  it('writes nothing but the lines of others where there is no terminal', () => {
    const { writes, progress } = record(false);
    progress.show('12 devices');
    progress.print('a line\n');
    progress.clear();
    expect(writes).toEqual(['a line\n']);
  });
});
