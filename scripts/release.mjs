// npm run release -- [--dry-run] VERSION: checks that the tree is ready, runs CI on a fresh clone, packs, and tags. It publishes and pushes nothing.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const USAGE = 'usage: npm run release -- [--dry-run] VERSION';

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2);
  const isDry = words.includes('--dry-run');
  const [version, ...more] = words.filter((word) => word !== '--dry-run');
  if (version === undefined || more.length > 0 || version.startsWith('-')) {
    console.error(USAGE);
    process.exit(1);
  }
  process.exit(release(dirname(dirname(fileURLToPath(import.meta.url))), version, { isDry, say: console.log }));
}

/**
 * Returns the exit code.
 * @param {string} directory of the repository
 * @param {string} version without `v`
 * @param {{ isDry: boolean, say: (line: string) => void }} how `isDry`: only the checks, and what would be done
 * @returns {number}
 */
export function release(directory, version, { isDry, say }) {
  const problems = releaseProblems(directory, version);
  for (const problem of problems) say(`not ready: ${problem}`);
  const target = join(directory, 'dist/release');
  if (isDry) {
    say(`would run .ci/run on a clone of ${git(directory, 'rev-parse', '--short', 'HEAD').trim()}, pack it to ${target}, and tag it v${version}:`);
    say(changesOf(directory, version) ?? '(no changes are told)');
  }
  if (problems.length > 0 || isDry) return problems.length === 0 ? 0 : 1;
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-release-'));
  try {
    const clone = join(scratch, 'clone');
    git(directory, 'clone', '--quiet', '--no-hardlinks', directory, clone);
    if (!run('bash', ['.ci/run'], clone)) {
      say('CI failed: nothing was packed or tagged');
      return 1;
    }
    mkdirSync(target, { recursive: true });
    // Its scripts have run: CI has built it.
    if (!run('npm', ['pack', '--ignore-scripts', '--pack-destination', target], clone)) return 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  git(directory, 'tag', '--annotate', '--cleanup=verbatim', '--message', `tsmodprobe ${version}\n\n${changesOf(directory, version)}\n`, `v${version}`);
  say(`tagged v${version}. What is left to you: git push origin v${version}; npm publish ${join(target, `tsmodprobe-${version}.tgz`)}`);
  return 0;
}

/**
 * What is in the way of a release, all of it.
 * @param {string} directory
 * @param {string} version
 * @returns {string[]}
 */
export function releaseProblems(directory, version) {
  const text = (name) => (existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8') : '');
  const versions = [
    ['package.json', JSON.parse(text('package.json') || '{}').version],
    ['package-lock.json', JSON.parse(text('package-lock.json') || '{}').version],
    ['src/version.ts', /VERSION = '(.*)'/.exec(text('src/version.ts'))?.[1]],
  ];
  const heading = text('CHANGELOG.md').split('\n').find((line) => line.startsWith(`## ${version} `) || line === `## ${version}`);
  const changed = git(directory, 'status', '--porcelain').split('\n').filter((line) => line !== '').length;
  const branch = git(directory, 'rev-parse', '--abbrev-ref', 'HEAD').trim();
  return [
    ...(/^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$/.test(version) ? [] : [`${version} is no version such as 1.2.3`]),
    ...versions.filter(([, has]) => has !== version).map(([name, has]) => `${name} says ${has ?? 'nothing'}, not ${version}`),
    ...(heading === undefined ? [`CHANGELOG.md has no section '## ${version} (YEAR-MONTH-DAY)'`]
      : /\(\d{4}-\d\d-\d\d\)$/.test(heading) ? [] : [`CHANGELOG.md says '${heading}': it must have the date, as in '## ${version} (2026-01-31)'`]),
    ...(heading !== undefined && (changesOf(directory, version) ?? '') === '' ? [`CHANGELOG.md tells no changes of ${version}`] : []),
    ...(changed > 0 ? [`${changed} file${changed === 1 ? ' is' : 's are'} changed or not committed: git status`] : []),
    ...(branch === 'main' ? [] : [`this is ${branch}, not main`]),
    ...(git(directory, 'tag', '--list', `v${version}`).trim() === '' ? [] : [`there is a tag v${version} already`]),
    ...(existsSync(join(directory, '.ci/run')) ? [] : ['there is no .ci/run']),
  ];
}

/** The section of CHANGELOG.md without its heading. @param {string} directory @param {string} version @returns {string | undefined} */
function changesOf(directory, version) {
  const sections = readFileSync(join(directory, 'CHANGELOG.md'), 'utf8').split(/^## /m);
  const section = sections.find((each) => each.split(/[ \n]/, 1)[0] === version);
  return section === undefined ? undefined : section.slice(section.indexOf('\n') + 1).trim();
}

/** @param {string} directory @param {string[]} args @returns {string} */
function git(directory, ...args) {
  const { error, status, stdout, stderr } = spawnSync('git', args, { cwd: directory, encoding: 'utf8' });
  if (error || status !== 0) throw new Error(`git ${args[0]}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/** @param {string} program @param {readonly string[]} args @param {string} cwd @returns {boolean} */
function run(program, args, cwd) {
  const { error, status } = spawnSync(program, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) throw error;
  return status === 0;
}
