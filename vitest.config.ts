// Three kinds of tests: unit (pure, fast), oracle (beside the real tools), vm (in real kernels, two at a time).

import { defineConfig } from 'vitest/config';

/** Each is a small part of this on a quiet machine; on a busy one it is no failure to be slow. */
const UNIT_TIMEOUT = 60_000;
const ORACLE_TIMEOUT = 600_000;

/** A guest under software emulation on a busy machine takes its time; its own time limits are tighter than this. */
const VM_TIMEOUT = 300_000;

export default defineConfig({
  test: {
    pool: 'forks',
    // Vitest leaves a core for itself; our tests wait for the programs that they compare with, one core each.
    maxWorkers: '100%',
    reporters: ['default', './test/reporter.ts'],
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/oracle/**', 'test/vm/**'], testTimeout: UNIT_TIMEOUT, hookTimeout: UNIT_TIMEOUT } },
      { extends: true, test: { name: 'oracle', include: ['test/oracle/**/*.test.ts'], testTimeout: ORACLE_TIMEOUT, hookTimeout: ORACLE_TIMEOUT } },
      {
        extends: true,
        test: {
          name: 'vm', include: ['test/vm/**/*.test.ts'], testTimeout: VM_TIMEOUT, hookTimeout: VM_TIMEOUT,
          // A guest has one processor, and its memory is the host's.
          maxWorkers: 2, sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
