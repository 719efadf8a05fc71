// The package as npm would publish it: what is in it, and what those who install it can do.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const TOP = join(import.meta.dirname, '../..');
/** Packed, in bytes: what a new file or dependency may not silently double. */
const SIZE_MAX = 2 * 1024 * 1024;
const DEPENDENCIES = ['koffi', '@koromix', 'chokidar', 'readdirp', 'minimatch', 'brace-expansion', 'balanced-match'];

let consumer = '';
let packed: { readonly filename: string; readonly size: number; readonly files: readonly { readonly path: string; readonly mode: number }[] };

beforeAll(() => {
  consumer = mkdtempSync(join(tmpdir(), 'tsmodprobe-consumer-'));
  // Without its scripts: dist is there already, and other tests are using it.
  [packed] = JSON.parse(run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', consumer], TOP).stdout) as [typeof packed];
  const installed = join(consumer, 'node_modules/tsmodprobe');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', join(consumer, packed.filename), '-C', installed, '--strip-components=1'], consumer);
  for (const name of DEPENDENCIES) symlinkSync(join(TOP, 'node_modules', name), join(consumer, 'node_modules', name));
  writeFileSync(join(consumer, 'package.json'), '{ "private": true }\n');
});
afterAll(() => rmSync(consumer, { recursive: true, force: true }));

describe('npm pack', () => {
  it('takes the build, the rules, the documents, the examples and packaging, and nothing of development', () => {
    const kinds = /^(dist\/(src|native-bindings)\/.*\.(js|d\.ts)|dist\/tskmod\.(cjs|parts|cache\/[\w.-]+)|dist\/tskmod-helper|dist\/man\/[\w.-]+\.\d|rules\/.*|docs\/(man\/)?[\w.-]+\.(md|svg)|packaging\/.*|examples\/.*\.mjs|[A-Z]+\.md|LICENSE|package\.json)$/;
    expect(packed.files.map(({ path }) => path).filter((path) => !kinds.test(path))).toEqual([]);
    expect(packed.files.filter(({ path }) => path.startsWith('dist/src/index.')).map(({ path }) => path)).toEqual(['dist/src/index.d.ts', 'dist/src/index.js']);
    expect(packed.files.find(({ path }) => path === 'dist/tskmod.cjs')?.mode.toString(8)).toBe('755');
    expect(packed.size).toBeLessThan(SIZE_MAX);
  });

  it('names in its manifest only files that it has', () => {
    const { main, types, bin, exports } = JSON.parse(readFileSync(join(TOP, 'package.json'), 'utf8')) as { main: string; types: string; bin: Record<string, string>; exports: Record<string, string | Record<string, string>> };
    const named = [main, types, ...Object.values(bin), ...Object.values(exports).flatMap((target) => (typeof target === 'string' ? [target] : Object.values(target)))];
    const paths = new Set(packed.files.map(({ path }) => path));
    expect(named.filter((path) => !paths.has(path.replace(/^\.\//, '')))).toEqual([]);
  });
});

describe('a consumer', () => {
  const code = 'Object.keys(kmod.openKmod(kmod.openSystem({ root: "/nowhere", release: "1" }))).includes("plan")';

  it.each([
    ['ESM', ['--input-type=module', '-e', `import * as kmod from 'tsmodprobe'; console.log(${code})`]],
    ['CommonJS, by import()', ['--input-type=commonjs', '-e', `import('tsmodprobe').then((kmod) => console.log(${code}))`]],
    ['CommonJS, by require()', ['--input-type=commonjs', '-e', `const kmod = require('tsmodprobe'); console.log(${code})`]],
  ])('uses the library from %s', (_, args) => {
    expect(run(process.execPath, ['--no-warnings', ...args], consumer)).toEqual({ status: 0, stdout: 'true\n', stderr: '' });
  });

  it.each([['nodenext', 'nodenext'], ['esnext', 'bundler']])('gets its types with module %s, resolution %s', (module, moduleResolution) => {
    writeFileSync(join(consumer, 'use.mts'), 'import { openKmod, openSystem, type ProbePlan } from \'tsmodprobe\';\nexport const plan: ProbePlan = openKmod(openSystem()).plan(\'xfs\');\n// @ts-expect-error: a plan is no number\nexport const wrong: number = plan;\n');
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2023', '--module', module, '--moduleResolution', moduleResolution, '--types', 'node', '--typeRoots', join(TOP, 'node_modules/@types')];
    expect(run(process.execPath, [join(TOP, 'node_modules/typescript/bin/tsc'), ...options, 'use.mts'], consumer)).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('runs the command line', () => {
    const cli = join(consumer, 'node_modules/tsmodprobe/dist/tskmod.cjs');
    const { version } = JSON.parse(readFileSync(join(TOP, 'package.json'), 'utf8')) as { version: string };
    expect(run(cli, ['--version'], consumer)).toEqual({ status: 0, stdout: `tsmodprobe ${version}\n`, stderr: '' });
  });
});

function run(program: string, args: readonly string[], cwd: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error) throw error;
  return { status, stdout, stderr };
}
