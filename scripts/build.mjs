// Builds dist/: the ESM library with its types (tsc), the one-file CommonJS CLI, and V8's code cache of that.

import { execFileSync } from 'node:child_process';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';
import { makeCodeCache } from './code-cache.mjs';

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(join(top, 'dist'), { recursive: true, force: true });
try {
  execFileSync(process.execPath, [tsc, '-p', join(top, 'tsconfig.build.json')], { stdio: 'inherit' });
} catch (error) {
  // The compiler has said what is wrong.
  process.exit(error.status ?? 1);
}
const executable = join(top, 'dist/tskmod.cjs');
writeFileSync(executable, await bundle(join(top, 'src/cli.ts'), ['modprobe']));
chmodSync(executable, 0o755);
await makeCodeCache(executable);
