// Says which tests were skipped and why, and leaves the counts for scripts/test.mjs.

import { writeFileSync } from 'node:fs';

import type { Reporter, TestModule } from 'vitest/node';

export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      // A file that could not be read at all has no tests to fail.
      if (module.state() === 'failed' && module.children.size === 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') counts.passed++;
        else if (result.state === 'failed') counts.failed++;
        else {
          counts.skipped++;
          const reason = (result.state === 'skipped' && result.note) || 'no reason given';
          process.stdout.write(`skipped: ${module.relativeModuleId} > ${test.fullName}: ${reason}\n`);
        }
      }
    }
    const file = process.env['TSMODPROBE_TEST_COUNTS'];
    if (file) writeFileSync(file, JSON.stringify(counts));
  }
}
