// npm test: sets up what the tests need, runs them all, and ends with one line of counts.
//   npm test [-- VITEST-ARGUMENT...]      for instance: npm test -- --project unit

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuild, ensureDebianPackages, ensureNodeModules, top } from './setup.mjs';

/** What the comparisons and the virtual machines use. Of others only files are taken, whose libraries come with these. */
const PACKAGES = ['kmod', 'busybox-static', 'xz-utils', 'zstd', 'cpio', 'e2fsprogs', 'fdisk', 'squashfs-tools', 'xfsprogs', 'umockdev', 'qemu-system-x86', 'zsh', 'fish', 'mandoc', 'groff'];

const inCi = process.env.CI === 'true';
ensureNodeModules();
ensureBuild();
const missing = ensureDebianPackages(PACKAGES);
if (missing !== undefined) console.log(`setup: tests beside the real tools and in virtual machines may be skipped: ${missing}`);

const counts = [runVitest(process.execPath, process.argv.slice(2))];
if (inCi) counts.push(runOnNewestNode());
const total = counts.reduce((sum, run) => ({
  passed: sum.passed + run.passed, skipped: sum.skipped + run.skipped, failures: [...sum.failures, ...run.failures],
}));
// Said again at the end, where whoever sees only the last lines of a long log finds them.
for (const failure of total.failures) console.log(`failed: ${failure}`);
console.log(`${total.passed} passed, ${total.failures.length} failed, ${total.skipped} skipped`);
process.exit(total.failures.length === 0 && total.passed > 0 ? 0 : 1);

/**
 * @param {string} node
 * @param {readonly string[]} args
 * @returns {{ passed: number, skipped: number, failures: string[] }}
 */
function runVitest(node, args) {
  const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-test-'));
  try {
    const file = join(directory, 'counts.json');
    const vitest = join(top, 'node_modules/vitest/vitest.mjs');
    const done = spawnSync(node, [vitest, 'run', ...args], {
      cwd: top, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, TSMODPROBE_TEST_COUNTS: file },
    });
    const how = `vitest ended with ${done.signal ?? `exit code ${done.status}`}`;
    if (!existsSync(file)) return { passed: 0, skipped: 0, failures: [`${how} and left no result`] };
    const result = JSON.parse(readFileSync(file, 'utf8'));
    // Vitest also fails for reasons that are no test, such as an error after the end of one.
    return done.status !== 0 && result.failures.length === 0 ? { ...result, failures: [`${how}, no test failed`] } : result;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The unit tests once more, on the newest line of Node, from the npm package `node`. */
function runOnNewestNode() {
  const prefix = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tsmodprobe/newest-node');
  console.log('setup: npm install node@latest');
  spawnSync('npm', ['install', '--prefix', prefix, '--no-fund', '--no-audit', '--loglevel=error', 'node@latest'], { stdio: 'inherit' });
  const node = join(prefix, 'node_modules/node/bin/node');
  if (!existsSync(node)) {
    return { passed: 0, skipped: 0, failures: ['the newest Node could not be installed'] };
  }
  console.log(`unit tests on Node ${spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()}`);
  return runVitest(node, ['--project', 'unit']);
}
