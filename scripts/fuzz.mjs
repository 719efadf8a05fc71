// npm run fuzz -- PARSER...: bundles test/fuzz/run.ts, which is TypeScript.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { ensureNodeModules, top } from './setup.mjs';

ensureNodeModules();
const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-fuzz-'));
try {
  const outfile = join(directory, 'fuzz.mjs');
  await build({ entryPoints: [join(top, 'test/fuzz/run.ts')], outfile, bundle: true, platform: 'node', format: 'esm', external: ['koffi'], sourcemap: 'inline', logLevel: 'error' });
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', outfile, ...process.argv.slice(2)], { cwd: top, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  rmSync(directory, { recursive: true });
}
