import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { release, releaseProblems } from '../scripts/release.mjs';
import { fixtureRoot } from './fixture-root.ts';

const FILES = {
  'package.json': '{ "name": "tsmodprobe", "version": "1.2.3", "files": ["src"] }\n',
  'package-lock.json': '{ "name": "tsmodprobe", "version": "1.2.3", "lockfileVersion": 3 }\n',
  'src/version.ts': "export const VERSION = '1.2.3';\n",
  'CHANGELOG.md': '# Changelog\n\n## 1.2.3 (2026-01-31)\n- # of things: more\n- less\n\n## 1.2.2 (2026-01-01)\n- older\n',
  '.ci/run': 'test -f src/version.ts\n',
  '.gitignore': 'dist\n',
};

/** Nothing of this machine's configuration of git counts. */
beforeEach(() => {
  for (const [name, value] of Object.entries({ GIT_CONFIG_GLOBAL: '/nonexistent', GIT_CONFIG_SYSTEM: '/nonexistent', GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@example.org', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@example.org' })) vi.stubEnv(name, value);
  return () => vi.unstubAllEnvs();
});

function repository(files: Readonly<Record<string, string>> = {}): string {
  const directory = fixtureRoot({ ...FILES, ...files });
  git(directory, 'init', '--quiet', '--initial-branch=main');
  git(directory, 'add', '--all');
  git(directory, 'commit', '--quiet', '--message', 'all');
  return directory;
}

function git(directory: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: directory, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

function released(directory: string, version: string, isDry: boolean) {
  const lines: string[] = [];
  const status = release(directory, version, { isDry, say: (line) => lines.push(line) });
  return { status, lines };
}

describe('release', () => {
  it('of a tree that is ready packs and tags it, after CI on a clone', () => {
    const directory = repository();
    const { status, lines } = released(directory, '1.2.3', false);
    expect(status).toBe(0);
    expect(lines).toEqual([`tagged v1.2.3. What is left to you: git push origin v1.2.3; npm publish ${directory}/dist/release/tsmodprobe-1.2.3.tgz`]);
    expect(readdirSync(join(directory, 'dist/release'))).toEqual(['tsmodprobe-1.2.3.tgz']);
    expect(git(directory, 'tag', '--list', '--format=%(refname:short) %(objecttype) %(contents)')).toBe('v1.2.3 tag tsmodprobe 1.2.3\n\n- # of things: more\n- less\n\n');
    expect(releaseProblems(directory, '1.2.3')).toEqual(['there is a tag v1.2.3 already']);
  });

  it('does nothing where CI fails', () => {
    const directory = repository({ '.ci/run': 'exit 1\n' });
    expect(released(directory, '1.2.3', false)).toEqual({ status: 1, lines: ['CI failed: nothing was packed or tagged'] });
    expect(git(directory, 'tag', '--list')).toBe('');
  });

  it('--dry-run says what would be done', () => {
    const directory = repository({ '.ci/run': 'exit 1\n' });
    const head = git(directory, 'rev-parse', '--short', 'HEAD').trim();
    expect(released(directory, '1.2.3', true)).toEqual({
      status: 0, lines: [`would run .ci/run on a clone of ${head}, pack it to ${directory}/dist/release, and tag it v1.2.3:`, '- # of things: more\n- less'],
    });
    expect(git(directory, 'tag', '--list') + git(directory, 'status', '--porcelain')).toBe('');
  });

  it('names all that is in the way', () => {
    const directory = repository({ 'CHANGELOG.md': '# Changelog\n\n## 1.2.4 (unreleased)\n' });
    git(directory, 'checkout', '--quiet', '-b', 'side');
    writeFileSync(join(directory, 'new'), '');
    expect(releaseProblems(directory, '1.2.4')).toEqual([
      'package.json says 1.2.3, not 1.2.4', 'package-lock.json says 1.2.3, not 1.2.4', 'src/version.ts says 1.2.3, not 1.2.4',
      "CHANGELOG.md says '## 1.2.4 (unreleased)': it must have the date, as in '## 1.2.4 (2026-01-31)'", 'CHANGELOG.md tells no changes of 1.2.4',
      '1 file is changed or not committed: git status', 'this is side, not main',
    ]);
    expect(releaseProblems(directory, '1.2')).toContain('1.2 is no version such as 1.2.3');
    expect(releaseProblems(directory, '1.2')).toContain("CHANGELOG.md has no section '## 1.2 (YEAR-MONTH-DAY)'");
  });

  it('as a command wants a version', () => {
    const script = join(dirname(dirname(fileURLToPath(import.meta.url))), 'scripts/release.mjs');
    for (const words of [[], ['--dry-run'], ['1.2.3', '1.2.4'], ['--publish']]) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...words], { encoding: 'utf8' });
      expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: 'usage: npm run release -- [--dry-run] VERSION\n' });
    }
  });
});
