// Makes dist/tskmod.cache: what V8 compiled while the executable did a typical dry run. Only this Node takes it; any other
// compiles for itself, and so does this one when the file is missing or damaged.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);

/**
 * Runs the executable on a small module tree in a process of its own, and keeps the code.
 * @param {string} executable
 */
export async function makeCodeCache(executable) {
  const cache = join(dirname(executable), 'tskmod.cache');
  const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-build-'));
  try {
    rmSync(cache, { force: true });
    await writeTree(root);
    const args = ['-n', '-d', root, '-C', join(root, 'modprobe.d'), 'a'];
    const done = spawnSync(process.execPath, [self, cache, executable, 'modprobe', ...args], { encoding: 'utf8' });
    if (done.error) throw done.error;
    if (done.status !== 0) throw new Error(`the dry run for the code cache failed: ${done.stderr || done.signal || done.status}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Module a needs b, and by an alias c. The indexes are so large that they are read in parts. */
async function writeTree(root) {
  const { buildIndex } = await import(join(dirname(dirname(self)), 'dist/src/kmod/index-build.js'));
  const tree = join(root, 'lib/modules', release());
  const write = (name, entries) => writeFileSync(join(tree, name), buildIndex(entries.map(([key, value], priority) => ({ key, value, priority }))).bytes);
  mkdirSync(tree, { recursive: true });
  mkdirSync(join(root, 'modprobe.d'));
  const many = Array.from({ length: 1000 }, (_, i) => [`m${i}`, `kernel/m/m${i}.ko.xz:`]);
  write('modules.dep.bin', [['a', 'kernel/a.ko.xz: kernel/b.ko.xz'], ['b', 'kernel/b.ko.xz:'], ['c', 'kernel/c.ko.xz:'], ['cd', 'kernel/cd.ko.xz:'], ...many]);
  write('modules.alias.bin', [['crypto_c', 'c'], ['crypto_c*', 'c'], ['crypto_[d-f]?', 'd'], ['fs_a', 'a'], ['pci:v*d*', 'cd'], ...many]);
  write('modules.builtin.bin', [['vt', '']]);
  writeFileSync(join(tree, 'modules.softdep'), '# a comment\nsoftdep a pre: crypto-c\n');
  writeFileSync(join(root, 'modprobe.d/a.conf'), '# a comment\nblacklist cd\noptions a debug=1\nalias net-pf-1 a\n');
}

if (process.argv[1] === self) {
  const [node, , cache, executable, ...args] = process.argv;
  process.argv = [node, executable, ...args];
  let made;
  // The executable ends the process itself.
  process.on('exit', () => {
    const code = made.script.createCachedData();
    writeFileSync(cache, Buffer.concat([Buffer.from(made.header, 'latin1'), code, code]));
  });
  made = createRequire(self)(executable);
}
