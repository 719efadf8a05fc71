// Builds dist/: the ESM library with its types (tsc), the CLI in CommonJS, V8's code cache of that, and the manual pages.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
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
const file = join(top, 'dist/tskmod.cjs');
const { executable, parts } = await bundle(join(top, 'src/cli.ts'), ['modprobe'], ['image-source', 'erofs']);
writeFileSync(file, executable);
chmodSync(file, 0o755);
writeFileSync(join(top, 'dist/tskmod.parts'), parts, 'latin1');
await makeCodeCache(file);
buildPages(file, join(top, 'dist/man'));
buildHelper(join(top, 'native-bindings/modprobe-helper.c'), join(top, 'dist/tskmod-helper'));

/**
 * The pages of docs/ as roff, by the program itself.
 * @param {string} program
 * @param {string} directory
 */
function buildPages(program, directory) {
  mkdirSync(directory);
  const help = (...words) => execFileSync(process.execPath, [program, 'help', ...words], { encoding: 'utf8' });
  for (const [, name, section] of help('--list').matchAll(/^([\w.-]+)\((\d)\)/gm)) writeFileSync(join(directory, `${name}.${section}`), help('--roff', name));
}

/**
 * The kernel's helper, where there is a compiler: without one `tskmod helper install` takes a script in its place (docs/helper.md).
 * @param {string} source
 * @param {string} output
 */
function buildHelper(source, output) {
  const { error, status, stderr } = spawnSync(process.env.CC ?? 'cc', [
    '-Os', '-Wall', '-Wextra', '-Werror', '-static', '-nostdlib', '-ffreestanding', '-fno-builtin', '-fno-stack-protector', '-fno-pic', '-no-pie',
    '-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns', '-Wl,--build-id=none', '-s', source, '-o', output,
  ], { encoding: 'utf8' });
  const reason = error ? error.message : status === 0 ? undefined : stderr.trim();
  if (reason !== undefined) console.error(`the kernel's helper was not compiled, a script will do its work: ${reason}`);
}
