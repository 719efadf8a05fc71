// Builds dist/: the ESM library with its types (tsc) and the one-file CommonJS CLI (esbuild).

import { execFileSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(join(top, 'dist'), { recursive: true, force: true });
execFileSync(process.execPath, [tsc, '-p', join(top, 'tsconfig.build.json')], { stdio: 'inherit' });

const outfile = join(top, 'dist/tskmod.cjs');
await build({
  entryPoints: [join(top, 'src/cli.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  // koffi carries a .node file that cannot be inlined; native-bindings finds it beside the bundle or in node_modules.
  external: ['koffi'],
  minifyWhitespace: true,
  minifySyntax: true,
  banner: { js: '#!/usr/bin/env node\nconst importMetaUrl=require("node:url").pathToFileURL(__filename).href;' },
  define: { 'import.meta.url': 'importMetaUrl' },
  logLevel: 'warning',
});
chmodSync(outfile, 0o755);
