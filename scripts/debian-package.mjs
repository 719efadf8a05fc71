// Debian packages that are used and not installed: apt-get fetches them, and they are unpacked into the cache.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Signs every suite of Debian; of the package debian-archive-keyring. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * The directory of an unpacked package, of the release that this machine is set up for. Throws with apt's words.
 * @param {string} name
 * @returns {string}
 */
export function unpackedPackage(name) {
  return unpackedOnce(name, (scratch) => run('apt-get', ['download', '-q', name], scratch));
}

/**
 * Packages of another suite of Debian, unpacked into one directory. This machine's own sources and lists stay as they are: the
 * suite is looked up in a throw-away directory, on the mirror that this machine uses. Throws with apt's words.
 * @param {string} suite
 * @param {readonly string[]} packages
 * @param {string} [architecture] as Debian calls it; this machine's when absent
 * @returns {string}
 */
export function unpackedFromSuite(suite, packages, architecture) {
  return unpackedOnce([suite, ...architecture === undefined ? [] : [architecture], ...packages].join('_'), (scratch) => {
    const targets = run('apt-get', ['indextargets', '--format', '$(LABEL) $(COMPONENT) $(REPO_URI)', 'Created-By: Packages'], scratch);
    const mirror = /^Debian main (\S+)$/m.exec(targets)?.[1];
    if (mirror === undefined) throw new Error('apt knows no mirror of Debian');
    const apt = join(scratch, 'apt');
    for (const directory of ['state/lists/partial', 'cache/archives/partial', 'parts']) mkdirSync(join(apt, directory), { recursive: true });
    writeFileSync(join(apt, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
    const options = Object.entries({
      'Dir::Etc::sourcelist': join(apt, 'sources.list'), 'Dir::Etc::sourceparts': join(apt, 'parts'), 'Dir::State': join(apt, 'state'),
      'Dir::Cache': join(apt, 'cache'), 'Acquire::Languages': 'none', 'APT::Sandbox::User': 'root', 'APT::Default-Release': suite,
      ...(architecture === undefined ? {} : { 'APT::Architecture': architecture }),
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    run('apt-get', [...options, '-q', '--error-on=any', 'update'], scratch);
    run('apt-get', [...options, 'download', '-q', ...packages], scratch);
  });
}

/**
 * @param {string} name of the directory in the cache
 * @param {(scratch: string) => void} fetch leaves .deb files in the directory that it is given
 * @returns {string}
 */
function unpackedOnce(name, fetch) {
  const directory = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tsmodprobe/packages');
  const target = join(directory, name);
  if (existsSync(target)) return target;
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-package-'));
  const temporary = `${target}.${process.pid}`;
  try {
    fetch(scratch);
    const debs = readdirSync(scratch).filter((file) => file.endsWith('.deb'));
    if (debs.length === 0) throw new Error(`${name}: apt-get left no package`);
    mkdirSync(temporary, { recursive: true });
    for (const deb of debs) run('dpkg', ['-x', join(scratch, deb), temporary], scratch);
    // Where another process was faster, its directory stays.
    if (!existsSync(target)) renameSync(temporary, target);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    rmSync(temporary, { recursive: true, force: true });
  }
  return target;
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {string} cwd
 * @returns {string} what it printed
 */
function run(program, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
}
