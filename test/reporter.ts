// Says which tests were skipped and why, and leaves the counts and the failures for scripts/test.mjs.

import { writeFileSync } from 'node:fs';

import type { Reporter, TestModule } from 'vitest/node';

export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, skipped: 0, failures: unhandled.map((error) => `outside of tests: ${firstLine(error)}`) };
    for (const module of modules) {
      // Where a file could not be read or a hook failed, no test fails: its tests are skipped.
      for (const error of module.errors()) counts.failures.push(`${module.relativeModuleId}: ${firstLine(error)}`);
      for (const suite of module.children.allSuites()) {
        for (const error of suite.errors()) counts.failures.push(`${module.relativeModuleId} > ${suite.fullName}: ${firstLine(error)}`);
      }
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') counts.passed++;
        else if (result.state === 'failed') counts.failures.push(`${module.relativeModuleId} > ${test.fullName}: ${firstLine(result.errors[0])}`);
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

/** @param error whatever was thrown; Vitest hands over plain objects that have the message of the error */
function firstLine(error: unknown): string {
  const message = typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  return message.split('\n', 1).join('');
}
