// Brings a fresh clone to the point where it runs: npm packages, and on Debian as root the packages that are named.
// Plain JavaScript without dependencies: it runs before npm ci.

import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const top = dirname(dirname(fileURLToPath(import.meta.url)));

const oldest = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')).engines.node.replace('>=', '');
if (process.versions.node.localeCompare(oldest, undefined, { numeric: true }) < 0) {
  console.error(`setup: Node ${process.versions.node} is too old: ${oldest} or newer is needed (packaging/README.md says how to get it)`);
  process.exit(1);
}

/** Runs `npm ci` where node_modules is missing or older than the lock file. `npm ci` builds too. */
export function ensureNodeModules() {
  // A link leads to the packages of another checkout, which npm ci would empty.
  if (lstatSync(join(top, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) return;
  const installed = join(top, 'node_modules/.package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(top, 'package-lock.json')).mtimeMs) return;
  console.log('setup: npm ci');
  run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error']);
}

/** Builds dist/ from the sources as they are. */
export function ensureBuild() {
  run(process.execPath, [join(top, 'scripts/build.mjs')]);
}

/**
 * Installs Debian packages that are missing. Returns undefined when all are there, else why they are not.
 * @param {readonly string[]} packages
 * @returns {string | undefined}
 */
export function ensureDebianPackages(packages) {
  if (!existsSync('/etc/debian_version')) return 'this is not Debian';
  const missing = packages.filter((name) => !isInstalled(name));
  if (missing.length === 0) return undefined;
  if (process.getuid?.() !== 0) return `not root, so that apt-get install ${missing.join(' ')} is up to you`;
  console.log(`setup: apt-get install ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update', '-qq'], ['install', '-y', '-qq', '--no-install-recommends', ...missing]]) {
    const done = spawnSync('apt-get', args, { env, encoding: 'utf8' });
    if (done.error) return `apt-get: ${done.error.message}`;
    if (done.status !== 0) return `apt-get ${args[0]} failed:\n${done.stderr}${done.stdout}`.trim();
  }
  return undefined;
}

/** @param {string} name */
function isInstalled(name) {
  const asked = spawnSync('dpkg-query', ['-W', '-f', '${Status}', name], { encoding: 'utf8' });
  return asked.stdout?.endsWith(' installed') ?? false;
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
function run(command, args) {
  const done = spawnSync(command, args, { cwd: top, stdio: 'inherit' });
  if (done.error) throw done.error;
  if (done.status !== 0) {
    console.error(`setup: ${command} ${args.join(' ')} failed (${done.signal ?? done.status})`);
    process.exit(1);
  }
}
